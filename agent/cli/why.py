"""Why a file got its label: the peaks that decided, and the classes much alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ringwatch.agent.labelling import Classifies
from ringwatch.agent.nouns import Verdict
from ringwatch.models.ambiguity import Ambiguity, ambiguities
from ringwatch.models.inputs import network_input
from ringwatch.models.symmetry import POWDER_CLASSES

__all__ = ["DecidingPeak", "Reasons", "find_reasons"]

_PEAKS = 5
_LEAST = 0.1
"""Change of log odds; below, a probability of 0.50 stays within 0.475 to 0.525."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidingPeak:
    """A peak, and what the answer would be without it.

    Attributes
    ----------
    q : float
        Its highest point, 1/Angstrom.
    two_theta : float or None
        The same in degrees; None without a wavelength, or where it cannot reach.
    share : float
        Its change of the answer's log odds over the sum of all such changes, signs
        left out; in 0..1.
    probability_without : float
        Of the same class once the peak is smoothed away. Larger than before where the
        peak speaks against the answer.
    """

    q: float
    two_theta: float | None
    share: float
    probability_without: float

    def to_object(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why a pattern got its first label.

    Attributes
    ----------
    peaks : tuple of DecidingPeak
        Those that changed most, five at most, most first.
    tried : int
        Peaks that were smoothed away, one by one.
    ambiguities : tuple of Ambiguity
        Classes that differ from the label in a few lines, likeliest first.
    wavelength : float or None
        Angstrom, of ``two_theta``.
    """

    peaks: tuple[DecidingPeak, ...] = ()
    tried: int = 0
    ambiguities: tuple[Ambiguity, ...] = ()
    wavelength: float | None = None

    def to_object(self) -> dict[str, Any]:
        """As ``--json`` prints it: the keys ``decided_by`` and ``ambiguities``."""
        return {
            "decided_by": [peak.to_object() for peak in self.peaks],
            "ambiguities": [
                {
                    "class": found.number,
                    "symbol": found.symbol,
                    "probability": found.probability,
                    "lines": list(found.lines),
                    "cell_edges": list(found.edges),
                    "measured": _measured(found),
                    "sentence": found.sentence,
                }
                for found in self.ambiguities
            ],
        }

    def show(self, name: str, verdict: Verdict) -> RenderableType:
        """As people read it, for any width of the terminal.

        Parameters
        ----------
        name : str
            Of the file.
        verdict : Verdict
            Of the same file.
        """
        prediction = verdict.prediction
        if prediction is None:
            text = escape(f"{name}: no label, so nothing to give reasons for")
            return Padding(text, (1, 0, 0, 0))
        label, number = prediction.label, prediction.classes[0].number
        found = next(c for c in POWDER_CLASSES if c.number == number)
        groups = ", ".join(map(str, found.space_groups))
        plural = "s" * (len(found.space_groups) > 1)
        parts: list[RenderableType] = [
            f"[bold]{escape(f'{name}: why {label}')}[/]",
            escape(
                f"Class {number}, {' or '.join(found.crystal_systems)}, space "
                f"group{plural} {groups}; probability {prediction.label_prob:.2f}"
                + (", so unsure." if prediction.unsure else ".")
            ),
            "",
            *self._show_peaks(label, prediction.label_prob),
            "",
            *self._show_ambiguities(label),
        ]
        return Padding(Group(*parts), (1, 0, 0, 0))

    def _show_peaks(self, label: str, probability: float) -> list[RenderableType]:
        if not self.peaks:
            return ["No single peak decided: without any one it is much the same."]
        table = Table(box=None, pad_edge=False)
        angles = ["2theta"] if self.wavelength else []
        for column in ("peak at q", *angles, "speaks", "share", "without it"):
            right = column in ("share", "without it")
            table.add_column(column, justify="right" if right else "left")
        for peak in self.peaks:
            shown = "-" if peak.two_theta is None else f"{peak.two_theta:.2f}"
            table.add_row(
                f"{peak.q:.3f}",
                *([shown] if self.wavelength else []),
                "for" if peak.probability_without < probability else "against",
                f"{peak.share:.0%}",
                f"{peak.probability_without:.2f}",
            )
        unit = "q in 1/Angstrom"
        if self.wavelength:
            unit += f", 2theta in degrees at {self.wavelength:.5g} Angstrom"
        return [
            escape(
                "Peaks that changed the answer most when smoothed away one by one: "
                f"their share of the changes of all {self.tried} tried, and the "
                f"probability of {label} without them ({unit}):"
            ),
            Padding(table, (0, 0, 0, 2)),
            "Lines that are missing decide as well, but cannot be weighed this way.",
        ]

    def _show_ambiguities(self, label: str) -> list[RenderableType]:
        if not self.ambiguities:
            return [
                escape(
                    f"No class of the same lattice is so like {label} that twelve "
                    "lines or fewer tell them apart."
                )
            ]
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for found in self.ambiguities:
            table.add_row(f"{found.probability:.2f}", escape(found.sentence))
        heading = (
            f"Classes of the same lattice that few lines tell from {label}, and their "
            "probabilities (lines are named by their indices hkl):"
        )
        return [
            escape(heading),
            Padding(table, (0, 0, 0, 2)),
        ]


def find_reasons(
    classifier: Classifies | None, verdict: Verdict, wavelength: float | None = None
) -> Reasons:
    """Find out why a pattern got its label; empty where it has none.

    Takes as long as 49 labels.

    Parameters
    ----------
    classifier : Classifier, optional
        Whose label; only the classifier of `ringwatch.models` can be asked.
    verdict : Verdict
        With its pattern.
    wavelength : float, optional
        Angstrom, to say angles.
    """
    # Imported here: only who asks for reasons waits for the inference engine.
    from ringwatch.models.attribution import attribution  # noqa: PLC0415
    from ringwatch.models.classifier import Classifier  # noqa: PLC0415

    pattern, prediction = verdict.pattern, verdict.prediction
    if not isinstance(classifier, Classifier) or pattern is None or prediction is None:
        return Reasons()
    points = pattern.measured()
    q = points[0]
    best = prediction.classes[0]
    weights = attribution(classifier, *points, number=best.number)
    grid = classifier.grid
    height = network_input(*points, grid=grid)[0]
    tops = [low + int(height[low:high].argmax()) for low, high in _windows(weights)]
    total = float(sum(abs(weights[top]) for top in tops))
    tried = len(tops)
    tops = sorted(tops, key=lambda top: -abs(weights[top]))[:_PEAKS]
    # What lies outside the grid had no say.
    first, last = max(q[q > 0].min(), grid.q_min), min(q.max(), grid.q_max)
    return Reasons(
        tried=tried,
        peaks=tuple(
            DecidingPeak(
                q=float(grid.q[top]),
                two_theta=_two_theta(grid.q[top], wavelength),
                share=float(abs(weights[top]) / total),
                probability_without=_lowered(best.probability, weights[top]),
            )
            for top in tops
            if abs(weights[top]) >= _LEAST
        ),
        ambiguities=ambiguities(prediction, (float(first), float(last))),
        wavelength=wavelength,
    )


def _windows(weights: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Bins (first, one past the last) of each run of one weight that is not zero."""
    ends = [0, *(np.flatnonzero(np.diff(weights)) + 1).tolist(), len(weights)]
    return [(low, high) for low, high in pairwise(ends) if weights[low]]


def _two_theta(q: float, wavelength: float | None) -> float | None:
    """Scattering angle in degrees: q = 4 pi sin(theta) / wavelength."""
    sine = q * (wavelength or math.inf) / (4 * math.pi)
    return math.degrees(2 * math.asin(sine)) if sine < 1 else None


def _lowered(probability: float, by: float) -> float:
    """Probability whose log odds are lower by so much."""
    p = min(max(probability, 1e-12), 1 - 1e-12)  # as attribution cuts it
    return 1 / (1 + math.exp(min(by - math.log(p / (1 - p)), 700.0)))


def _measured(found: Ambiguity) -> str:
    """Whether the range holds deciding lines: for which cells of usual edges."""
    if found.outside:
        return "never"
    return "always" if found.always else "sometimes"
