"""Which pieces of work the benchmark consists of, and what one costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.recall import DIRECTIONS, measure_recall
from ringwatch.benchmarks.flags.stage import Scene
from ringwatch.simulated_beamline.bench_geometries import (
    BENCH_GEOMETRIES,
    BENCH_SAMPLES,
)

__all__ = ["Form", "Piece", "recall_pieces"]

Form = Literal["quick", "standard", "slow"]

_DECADES = (1e4, 1e6, 1e8)
_TRIALS = 60
_TARGET_TRIALS = 400
_TARGET_DIRECTIONS = 48  # a second each on the reference geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One recall to be measured.

    Attributes
    ----------
    case : str
        Key of ``CASES``.
    amplitude : float
    scene : Scene
    trials : int
    pixels : bool
        Frames pixel by pixel, to confirm what cakes have shown.
    group : str
        Which part of the report it belongs to: ``target``, ``curve``, ``no fault``,
        ``grid`` or ``confirm``.
    directions : int
    """

    case: str
    amplitude: float
    scene: Scene
    trials: int
    pixels: bool = False
    group: str = "target"
    directions: int = DIRECTIONS

    @property
    def name(self) -> str:
        """Key in the ledger."""
        how = "frames" if self.pixels else "cakes"
        return f"{self.group}|{self.case}|{self.amplitude:g}|{self.scene}|{how}"

    def measure(self, seed: int) -> dict[str, Any]:
        """Do the work."""
        found = measure_recall(
            self.case,
            self.amplitude,
            self.scene,
            trials=self.trials,
            seed=seed,
            pixels=self.pixels,
            directions=self.directions,
        )
        return {"group": self.group, **found}


def recall_pieces(form: Form) -> Iterator[Piece]:
    """All pieces of a form of the benchmark.

    ``quick``: the amplitudes that were asked for, 25 trials on a small detector.
    ``standard`` and ``slow``: these with 400 trials in 48 directions on the reference
    geometry, curves of recall at three levels of counts with what is no fault beside
    them, the grid of geometries and materials, and frames to confirm the cakes.
    """
    targets = {name: case for name, case in CASES.items() if case.target is not None}
    if form == "quick":
        for name, case in targets.items():
            assert case.target is not None
            small = Scene(geometry="cheap")
            yield Piece(case=name, amplitude=case.target, scene=small, trials=25)
        return
    for name, case in targets.items():
        assert case.target is not None
        yield Piece(
            case=name,
            amplitude=case.target,
            scene=Scene(),
            trials=_TARGET_TRIALS,
            directions=_TARGET_DIRECTIONS,
        )
    for name, case in CASES.items():
        for counts in (case.counts,) if case.counts else _DECADES:
            for amplitude in case.amplitudes:
                yield Piece(
                    case=name,
                    amplitude=amplitude,
                    scene=Scene(geometry="cheap", counts=counts),
                    trials=case.trials or _TRIALS,
                    group="curve",
                )
            if case.no_fault is not None:
                yield Piece(
                    case=name,
                    amplitude=case.no_fault,
                    scene=Scene(geometry="cheap", counts=counts),
                    trials=case.trials or _TRIALS,
                    group="no fault",
                )
    for name, case in targets.items():
        assert case.target is not None
        yield from _grid(name, case.target)
        if not case.pixels:
            yield Piece(
                case=name,
                amplitude=case.target,
                scene=Scene(geometry="cheap"),
                trials=_TRIALS,
                pixels=True,
                group="confirm",
            )


def _grid(name: str, amplitude: float) -> Iterator[Piece]:
    """One step away from the reference in geometry or material."""
    scenes = [Scene(geometry=g) for g in BENCH_GEOMETRIES if g != "reference"]
    scenes += [Scene(geometry="cheap", sample=s) for s in BENCH_SAMPLES if s != "cubic"]
    for scene in scenes:
        yield Piece(
            case=name, amplitude=amplitude, scene=scene, trials=_TRIALS, group="grid"
        )
