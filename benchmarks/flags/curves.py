"""Recall against amplitude: from where on a fault is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ringwatch.benchmarks.flags.case import Case
from ringwatch.simulated_beamline.bench_geometries import BENCH_GEOMETRIES

__all__ = [
    "ENOUGH",
    "SIGMAS",
    "Limit",
    "amount",
    "curve_name",
    "limits",
    "place_of",
    "statistical_limit",
]

Row = Mapping[str, Any]

ENOUGH = 0.95
"""Share of the trials in which a fault is seen that counts as seen."""
SIGMAS = 3.0
"""Scatter of single trials that a fault exceeds at the statistical limit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on a fault is seen in 95 of 100 trials.

    Attributes
    ----------
    amplitude : float
        The weakest that was tried and seen as often, in the case's unit.
    below : bool
        Whether the stronger faults are the smaller amplitudes.
    weakest : bool
        Whether none weaker was tried: the limit may lie lower still.
    missed : tuple of float
        Stronger ones that were seen less often.
    """

    amplitude: float
    below: bool
    weakest: bool
    missed: tuple[float, ...]

    @property
    def side(self) -> str:
        """The word before the amplitude."""
        return "up to" if self.below else "from"


def amount(value: float, unit: str) -> str:
    """A number with its unit; shares have none."""
    return f"{value:g}" if unit == "1" else f"{value:g} {unit}"


def curve_name(case: str) -> str:
    """Name of the figure of a case."""
    return "recall-" + "-".join("".join(c for c in case if c not in ",.").split())


def place_of(row: Row) -> str:
    """Where the faults of a row were injected: detector, distance, sample."""
    about = BENCH_GEOMETRIES[row["geometry"]]
    pixels = np.prod(about.detector.shape) / 2**20
    place = row["geometry"].replace("_", " ")
    sample = row["sample"].replace("_", " ")
    return f"{place} ({pixels:.2g} Mpx, {about.distance:g} m), {sample} sample"


def limits(curve: Sequence[Row], about: Case) -> Iterator[Limit]:
    """The weakest amplitudes that are seen, below and above what is no fault.

    Parameters
    ----------
    curve : sequence of mapping
        Of ``measure_recall``, of one case at one level of counts.
    about : Case
    """
    nothing = about.no_fault or 0.0
    for side in (-1, 1):
        away = {side * (r["amplitude"] - nothing): r for r in curve}
        strengths = sorted(s for s in away if s > 0)
        seen = [s for s in strengths if away[s]["recall"] >= ENOUGH]
        if not seen:
            continue
        missed = [s for s in strengths if s > seen[0] and s not in seen]
        yield Limit(
            amplitude=away[seen[0]]["amplitude"],
            below=side < 0,
            weakest=seen[0] == strengths[0],
            missed=tuple(away[s]["amplitude"] for s in missed),
        )


def statistical_limit(curve: Sequence[Row], about: Case) -> float | None:
    """Amplitude of three standard deviations of what single trials find; None: unknown.

    From the weakest fault whose value is told in most of the trials: there no other way
    of measuring takes over, as it may for faults that leap to the eye.

    Parameters
    ----------
    curve : sequence of mapping
        Of ``measure_recall``, of one case at one level of counts.
    about : Case
    """
    if about.injected is None or about.patience > 1:
        return None
    told = [r for r in curve if r.get("recovered_scatter") and r["amplitude"]]
    if not told:
        return None
    nothing = about.no_fault or 0.0
    weakest = min(told, key=lambda r: abs(r["amplitude"] - nothing))
    return SIGMAS * float(weakest["recovered_scatter"]) * abs(weakest["amplitude"])
