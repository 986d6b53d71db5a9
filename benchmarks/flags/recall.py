"""Recall: how often a fault of known size is seen, and named as the root cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import MASKED_CELL
from ringwatch.agent.nouns import Cake, Flag, Quality
from ringwatch.agent.quality import FrameFacts, QualitySettings, turn_image
from ringwatch.agent.reduction import Dark
from ringwatch.benchmarks.flags.baselines import Baselines
from ringwatch.benchmarks.flags.case import FIRST, Case
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.models.calibration import wilson_interval
from ringwatch.simulated_beamline.cell_counts import CellRates
from ringwatch.simulated_beamline.conditions import Fault
from ringwatch.simulated_beamline.readout_faults import SaturatedPixel

__all__ = ["DIRECTIONS", "measure_recall"]

DIRECTIONS = 12
"""Directions, signs or places in which each amplitude is tried."""


@dataclass(frozen=True, slots=True)
class _Light:
    """What a frame expects: an image for frames, cells for cakes."""

    image: NDArray[np.float32] | None
    rates: CellRates | None
    beam: float
    i0: float


class _Bench:
    """A case at one amplitude on one scene."""

    def __init__(
        self, name: str, amplitude: float, scene: Scene, seed: int, *, pixels: bool
    ) -> None:
        self.case: Case = CASES[name]
        self.amplitude = amplitude
        self.pixels = pixels or self.case.pixels
        if self.case.geometry:
            scene = replace(scene, geometry=self.case.geometry)
        self.stage = Stage(scene, seed, **self.case.stage)
        full = float(self.stage.experiment.geometry.detector.saturation_value)
        self.settings = QualitySettings(saturation=full, **self.case.settings)
        self.dark = self._take_dark() if "dark_rate" in self.case.stage else None
        self.sound = self._light(())
        edge = min(self.stage.binning.shape) if self.case.per_edge else 1
        self.faults = [
            self.case.make(amplitude * edge, k / DIRECTIONS) for k in range(DIRECTIONS)
        ]
        self._faulty: dict[int, _Light] = {}
        self._on_rings = self._find_rings() if self.pixels else np.empty(0, np.int64)

    def _light(self, faults: tuple[Fault, ...]) -> _Light:
        conditions = self.stage.experiment.conditions(faults)
        image = self.stage.experiment.expected(conditions)
        rates = None
        if not self.pixels:
            binning = self.stage.binning
            rates = CellRates.from_image(image, binning.cell, binning.pixels.size)
        return _Light(
            image=image if self.pixels else None,
            rates=rates,
            beam=conditions.beam,
            i0=conditions.beam * conditions.i0_gain,
        )

    def _find_rings(self) -> NDArray[np.int64]:
        """Pixels that are used and among the brightest fifth of those expected."""
        assert self.sound.image is not None
        used = np.flatnonzero(self.stage.binning.cell != MASKED_CELL)
        expected = self.sound.image.reshape(-1)[used]
        return used[expected > np.quantile(expected, 0.8)]

    def _take_dark(self) -> Dark:
        """Ten frames with the shutter closed."""
        experiment = self.stage.experiment
        experiment.shutter_open = False
        closed = experiment.expected(experiment.conditions())
        experiment.shutter_open = True
        frames = [self.stage.frame(closed).astype(np.float64) for _ in range(10)]
        mean = self.stage.reduction.prepare_dark([np.mean(frames, axis=0)])
        return replace(mean, frames=len(frames))

    def trial(self, turn: int, seed: int) -> dict[str, Any]:
        """Sound frames, then faulty ones until the flag comes or patience ends."""
        rng = np.random.default_rng([seed, turn])
        case, fault = self.case, self.faults[turn % DIRECTIONS]
        fold, baselines = self.stage.fold(self.settings), Baselines()
        wanted = next(flag for flag in Flag if flag.label == case.flag)
        before: Any = None
        simple: set[str] = set()
        for index in range(FIRST + max(case.patience, 2)):
            wrong = index >= FIRST
            light = self._lit(turn) if wrong or case.from_start else self.sound
            facts, before = self._take(light, fault, index, before, rng)
            quality = fold.judge(facts)
            found = baselines.judge(facts)
            if not wrong:
                continue
            if index == FIRST:
                simple, first = found, quality
            if wanted in quality.raised:
                return _outcome(case, quality, index - FIRST, simple)
            if index - FIRST + 1 >= case.patience:
                break
        return _outcome(case, first, None, simple)

    def _lit(self, turn: int) -> _Light:
        key = turn % DIRECTIONS
        if key not in self._faulty:
            self._faulty[key] = self._light((self.faults[key],))
        return self._faulty[key]

    def _take(
        self,
        light: _Light,
        fault: Fault,
        index: int,
        before: Any,
        rng: np.random.Generator,
    ) -> tuple[FrameFacts, Any]:
        wrong = light is not self.sound
        number = float(index)
        if wrong and fault.in_force(index):
            number = fault.renumber(index, index)
            lost = fault.disturb(self.stage.experiment.conditions()).frames_lost
            number = float(number + lost)
        readbacks = {
            "i0": 1e6 * light.i0 * (1.0 + 5e-4 * rng.standard_normal()),
            "detector_frame_number": number,
            "detector_exposure_time": self.stage.experiment.exposure_s,
        }
        if self.case.readbacks is not None:
            readbacks |= self.case.readbacks(self.amplitude if wrong else 0.0)
        if not self.pixels:
            assert light.rates is not None
            cake: Cake = self.stage.cake(light.rates)
            return self.stage.facts(cake, index, readbacks), cake
        assert light.image is not None
        frame = self.stage.frame(light.image)
        if isinstance(fault, SaturatedPixel) and wrong:
            frame.reshape(-1)[rng.choice(self._on_rings)] = fault.value
        elif wrong and fault.in_force(index):
            frame = fault.corrupt(frame, before, rng)
        cake = self.stage.reduction.cake(frame, self.dark)
        dark_frames = self.dark.frames if self.dark else 0
        taken, reduction = frame, self.stage.reduction
        facts = self.stage.facts(
            cake,
            index,
            readbacks,
            dark_frames=dark_frames,
            turned=lambda turn: reduction.cake(
                turn_image(taken, turn), look_again=False
            ),
        )
        return facts, frame


def _outcome(
    case: Case, quality: Quality, delay: int | None, simple: set[str]
) -> dict[str, Any]:
    return {
        "seen": delay is not None,
        "delay": delay,
        "cause": quality.primary.label if quality.primary else "none",
        "word": quality.word.value,
        "value": quality.values.get(
            next(f.value_key for f in Flag if f.label == case.flag), float("nan")
        ),
        "simple": sorted(simple),
    }


def measure_recall(
    name: str,
    amplitude: float,
    scene: Scene,
    *,
    trials: int,
    seed: int,
    pixels: bool = False,
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

    Returns
    -------
    dict
        Counts, shares with their Wilson intervals at 95 %, delays, root causes.
    """
    bench = _Bench(name, amplitude, scene, seed, pixels=pixels)
    outcomes = [bench.trial(k, seed) for k in range(trials)]
    return {
        "case": name,
        "flag": bench.case.flag,
        "unit": bench.case.unit,
        "amplitude": amplitude,
        "geometry": bench.stage.scene.geometry,
        "sample": scene.sample,
        "counts": scene.counts,
        "level": "frames" if bench.pixels else "cakes",
        **dict(_scores(bench.case, outcomes)),
    }


def _scores(case: Case, outcomes: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen = [o for o in outcomes if o["seen"]]
    named = sum(o["cause"] == case.flag for o in seen)
    worded = sum(not case.word or o["word"] == case.word for o in seen)
    values = np.array([o["value"] for o in outcomes], np.float64)
    values = values[np.isfinite(values)]
    yield "trials", len(outcomes)
    yield "seen", len(seen)
    yield "recall", len(seen) / len(outcomes)
    yield "recall_95", list(wilson_interval(len(seen), len(outcomes)))
    yield "named", named
    yield "named_share", named / len(seen) if seen else None
    yield "word_share", worded / len(seen) if seen else None
    yield "delays", dict(Counter(str(o["delay"]) for o in seen))
    yield "causes", dict(Counter(o["cause"] for o in outcomes))
    yield "words", dict(Counter(o["word"] for o in outcomes))
    yield "value_median", float(np.median(values)) if values.size else None
    simple = Counter(b for o in outcomes for b in o["simple"])
    yield "baselines", {b: simple[b] / len(outcomes) for b in Baselines.NAMES}
