"""Recall: how often a fault of known size is seen, and named as the root cause."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import MASKED_CELL
from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality import FrameFacts, QualitySettings
from ringwatch.benchmarks.flags.baselines import Baselines
from ringwatch.benchmarks.flags.case import Case
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.injections import Fading, Restructured
from ringwatch.benchmarks.flags.scores import score, worst_direction
from ringwatch.benchmarks.flags.stage import Light, Scene, Stage
from ringwatch.simulated_beamline.cell_counts import CellRates
from ringwatch.simulated_beamline.conditions import Fault
from ringwatch.simulated_beamline.geometry import Geometry
from ringwatch.simulated_beamline.light_faults import CountRateLoss
from ringwatch.simulated_beamline.readout_faults import NotANumber, SaturatedPixel

__all__ = ["DIRECTIONS", "measure_recall"]

DIRECTIONS = 12
"""Directions, signs or places in which an amplitude is tried, in turn."""

_DARKS = 10


@dataclass(frozen=True, slots=True)
class _Lit:
    """What a frame expects, where the detector really stands, and the beam."""

    light: Light
    stands: Geometry
    beam: float
    i0: float


class _Bench:
    """A case at one amplitude on one scene."""

    def __init__(
        self,
        name: str,
        amplitude: float,
        scene: Scene,
        seed: int,
        *,
        pixels: bool,
        directions: int,
    ) -> None:
        self.case: Case = CASES[name]
        self.amplitude = amplitude
        if self.case.geometry:
            scene = replace(scene, geometry=self.case.geometry)
        if self.case.counts:
            scene = replace(scene, counts=self.case.counts)
        pixels = pixels or self.case.pixels
        self.stage = Stage(scene, seed, pixels=pixels, **self.case.stage)
        full = float(self.stage.experiment.geometry.detector.saturation_value)
        settings = QualitySettings(saturation=full, **self.case.settings)
        has_dark = "dark_rate" in self.case.stage
        self.dark = self.stage.take_dark(_DARKS) if has_dark else None
        self.sound = self._light(())
        edge = min(self.stage.binning.shape)
        self.turns = [k / directions for k in range(directions)]
        rate = self.stage.brightest_rate() if self.case.per_rate else 1.0
        self.faults = [
            self.case.made(amplitude, turn, edge, rate) for turn in self.turns
        ]
        for fault in self.faults:
            if isinstance(fault, CountRateLoss):  # the detector's, so its owner knows
                settings = replace(settings, dead_time_s=fault.dead_time_s)
        self.settings = settings
        self._faulty: dict[Fault, _Lit] = {}
        self._used = np.flatnonzero(self.stage.binning.cell != MASKED_CELL)
        self._on_rings = self._find_rings() if pixels else np.empty(0, np.int64)

    def _light(self, faults: tuple[Fault, ...]) -> _Lit:
        experiment = self.stage.experiment
        conditions, own = experiment.conditions(faults), experiment.microstructure
        for fault in faults:
            if isinstance(fault, Restructured):
                experiment.microstructure = fault.sample
        light = self.stage.light(conditions)
        experiment.microstructure = own
        return _Lit(
            light=light,
            stands=conditions.geometry,
            beam=conditions.beam,
            i0=conditions.beam * conditions.i0_gain,
        )

    def _find_rings(self) -> NDArray[np.int64]:
        """Pixels that are used and among the brightest fifth of those expected."""
        assert isinstance(self.sound.light, np.ndarray)
        expected = self.sound.light.reshape(-1)[self._used]
        return self._used[expected > np.quantile(expected, 0.8)]

    def trial(self, number: int, seed: int) -> dict[str, Any]:
        """Sound frames, then faulty ones until the flag comes or patience ends."""
        rng = np.random.default_rng([seed, number])
        direction = number % len(self.faults)
        case, fault = self.case, self.faults[direction]
        fold, baselines = self.stage.fold(self.settings), Baselines()
        wanted = next(flag for flag in Flag if flag.label == case.flag)
        before: NDArray[Any] | None = None
        simple: set[str] = set()
        delay: int | None = None
        first = case.sound
        for index in range(first + max(case.patience, 2)):
            wrong = index >= first
            lit = self._lit(fault) if wrong or case.from_start else self.sound
            facts, before = self._take(lit, fault, index, before, rng)
            quality = fold.judge(facts)
            found = baselines.judge(facts)
            if not wrong:
                continue
            if index == first:
                simple, shown = found, quality
            if wanted in quality.raised:
                delay, shown = index - first, quality
                break
            if index - first + 1 >= case.patience:
                break
        turn = self.turns[direction]
        return {
            "direction": direction,
            "seen": delay is not None,
            "delay": delay,
            "cause": shown.primary.label if shown.primary else "none",
            "word": shown.word.value,
            "value": shown.values.get(wanted.value_key, math.nan),
            "recovered": case.recovered(shown.values, self.amplitude, turn),
            "simple": sorted(simple),
        }

    def _lit(self, fault: Fault) -> _Lit:
        """Made once for each fault: many have no direction."""
        if fault not in self._faulty:
            self._faulty[fault] = self._light((fault,))
        return self._faulty[fault]

    def _take(
        self,
        lit: _Lit,
        fault: Fault,
        index: int,
        before: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> tuple[FrameFacts, NDArray[Any] | None]:
        wrong = lit is not self.sound
        number = float(index)
        if wrong and fault.in_force(index):
            number = fault.renumber(index, index)
            lost = fault.disturb(self.stage.experiment.conditions()).frames_lost
            number = float(number + lost)
        readbacks = {
            "i0": 1e6 * lit.i0 * (1.0 + 5e-4 * rng.standard_normal()),
            "detector_frame_number": number,
            "detector_exposure_time": self.stage.experiment.exposure_s,
        }
        if self.case.readbacks is not None:
            readbacks |= self.case.readbacks(lit.stands)
        since = index - self.case.sound + 1
        left = fault.left(since) if wrong and isinstance(fault, Fading) else 1.0
        if isinstance(lit.light, CellRates):
            cake = self.stage.cake(lit.light, scale=left)
            return self.stage.facts(cake, index, readbacks), None
        frame = self.stage.frame(lit.light, scale=left)
        if wrong and fault.in_force(index):
            frame = self._struck(frame, fault, before, rng)
        cake = self.stage.reduction.cake(frame, self.dark)
        return (
            self.stage.facts(cake, index, readbacks, dark=self.dark, frame=frame),
            frame,
        )

    def _struck(
        self,
        frame: NDArray[Any],
        fault: Fault,
        before: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """The frame with the fault in it; single pixels are struck where it matters."""
        if isinstance(fault, SaturatedPixel):
            full = self.stage.experiment.geometry.detector.saturation_value
            frame.reshape(-1)[rng.choice(self._on_rings)] = full
            return frame
        if isinstance(fault, NotANumber):  # of a detector that writes floating point
            frame = frame.astype(np.float32)
            struck = rng.choice(self._used, fault.count, replace=False)
            frame.reshape(-1)[struck] = np.nan
            return frame
        return fault.corrupt(frame, before, rng)


def measure_recall(
    name: str,
    amplitude: float,
    scene: Scene,
    *,
    trials: int,
    seed: int,
    pixels: bool = False,
    directions: int = DIRECTIONS,
) -> dict[str, Any]:
    """Recall of one case at one amplitude.

    Parameters
    ----------
    name : str
        Key of ``CASES``.
    amplitude : float
        In the case's unit.
    scene : Scene
    trials : int
    seed : int
    pixels : bool
        Frames pixel by pixel, even where cakes would do.
    directions : int
        In which the fault is injected, one trial after the other. All trials share one
        sample, and those of a direction one image of expected counts: new in each trial
        are the counting noise and the monitor's.

    Returns
    -------
    dict
        Counts, shares with their Wilson intervals at 95 %, delays, root causes.
    """
    bench = _Bench(name, amplitude, scene, seed, pixels=pixels, directions=directions)
    outcomes = [bench.trial(k, seed) for k in range(trials)]
    return {
        "case": name,
        "flag": bench.case.flag,
        "unit": bench.case.unit,
        "amplitude": amplitude,
        "geometry": bench.stage.scene.geometry,
        "sample": scene.sample,
        "counts": bench.stage.scene.counts,
        "level": "frames" if bench.stage.pixels else "cakes",
        "patience": bench.case.patience,
        **score(bench.case, outcomes),
        **worst_direction(bench.faults, outcomes),
    }
