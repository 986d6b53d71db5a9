"""Stories without a fault: quiet runs, and what must not be taken for one.

A story tells, frame by frame, what each cell may expect, how bright the beam is, and
what the readbacks say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from ringwatch.agent.dark import Dark
from ringwatch.benchmarks.flags.stage import Light, Scene, Stage, StageOf
from ringwatch.simulated_beamline.bench_geometries import (
    BENCH_GEOMETRIES,
    BENCH_SAMPLES,
)
from ringwatch.simulated_beamline.microstructure import (
    Grains,
    Microstructure,
    Strain,
    Texture,
)

__all__ = ["STORIES", "Moment", "Story"]

_Random = np.random.Generator
_EXPOSURE_S = 0.05
_LEAST_LIGHT = 20.0  # of a frame, in standard deviations of its dark counts
_STEPS = 16
"""Images of a run in which something moves; the counting noise is new in each frame."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame to be drawn.

    Attributes
    ----------
    light : CellRates or (y, x) float32
        What it expects, light and dark.
    beam : float
        Factor of all of it.
    readbacks : dict
    scanned : tuple of str
        Readbacks that the plan moves on purpose.
    dark : Dark or None
        To be subtracted.
    dark_age : int
        Frames since that was taken.
    """

    light: Light
    beam: float
    readbacks: dict[str, float]
    scanned: tuple[str, ...] = ()
    dark: Dark | None = None
    dark_age: int = 0


Story = Callable[..., Iterator[Moment]]
"""From a scene, a seed, a number of frames and random numbers to that many moments;
and, by keyword ``stage_of``, from how its stages are made."""


def _beam(frames: int, rng: np.random.Generator, top_up: float = 0.01) -> np.ndarray:
    """Slow decay with a top-up at a random time; (frames,), 1 on average."""
    phase = (np.arange(frames) / frames + rng.uniform()) % 1.0
    return 1.0 + top_up * (0.5 - phase)


def _tell(
    beam: float, index: int, rng: np.random.Generator, **more: float
) -> dict[str, float]:
    """Readbacks of a frame: the monitor with its noise, the detector's own number."""
    return {
        "i0": 1e6 * beam * (1.0 + 5e-4 * rng.standard_normal()),
        "detector_frame_number": float(index),
        "detector_exposure_time": _EXPOSURE_S,
        **more,
    }


def quiet(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """Nothing happens but decay and top-up."""
    light = stage_of(scene, seed).light()
    for index, beam in enumerate(_beam(frames, rng)):
        yield Moment(light, beam, _tell(beam, index, rng))


def top_up(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """The beam decays by 18 % (1.1 to 0.9 of its mean) and is restored at once."""
    light = stage_of(scene, seed).light()
    for index, beam in enumerate(_beam(frames, rng, top_up=0.2)):
        yield Moment(light, beam, _tell(beam, index, rng))


def thermal_ramp(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """The sample is heated by 300 to 800 K; two times in three a readback says so."""
    rise, told = rng.uniform(300.0, 800.0), rng.uniform() < 2 / 3
    stage = stage_of(scene, seed)
    furnace = stage.experiment.furnace
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            furnace.ramp_to(298.0 + rise * step)
            stage.experiment.clock.advance(3600.0)
            light = stage.light()
        more = {"temperature": furnace.sample} if told else {}
        yield Moment(light, beam, _tell(beam, index, rng, **more))


def transition(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """BaTiO3 is heated through its transition, tetragonal to cubic."""
    stage = stage_of(replace(scene, sample="titanate"), seed)
    furnace = stage.experiment.furnace
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            furnace.ramp_to(383.0 + 20.0 * step)
            stage.experiment.clock.advance(3600.0)
            light = stage.light()
        yield Moment(light, beam, _tell(beam, index, rng, temperature=furnace.sample))


def straining(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """The sample is pulled: rings become ellipses, up to 3e-3."""
    stage, most = stage_of(scene, seed), rng.uniform(5e-4, 3e-3)
    before = stage.experiment.microstructure or Microstructure()
    axis = rng.uniform(0.0, 180.0)
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            pulled = Strain(amplitude=most * step, axis_deg=axis)
            stage.experiment.microstructure = replace(before, strain=pulled)
            light = stage.light()
        yield Moment(light, beam, _tell(beam, index, rng))


def texturing(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """The sample is rolled: its texture sharpens."""
    stage, sharpest = stage_of(scene, seed), rng.uniform(0.5, 0.8)
    before = stage.experiment.microstructure or Microstructure()
    axis = rng.uniform(0.0, 180.0)
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            texture = Texture(march=1.0 - (1.0 - sharpest) * step, axis_deg=axis)
            stage.experiment.microstructure = replace(before, texture=texture)
            light = stage.light()
        yield Moment(light, beam, _tell(beam, index, rng))


def turning_grains(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """A coarse powder is moved along: other grains again and again."""
    stage, few = stage_of(scene, seed), 10.0 ** rng.uniform(0.0, 2.0)
    before = stage.experiment.microstructure or Microstructure()
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            grains = Grains(per_patch=few, key=int(rng.integers(1 << 30)))
            stage.experiment.microstructure = replace(before, grains=grains)
            light = stage.light()
        yield Moment(light, beam, _tell(beam, index, rng))


def sample_change(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """A robot puts other samples into the beam, brighter or darker by up to two."""
    names = [name for name in BENCH_SAMPLES if name != scene.sample]
    stages = [stage_of(scene, seed)]
    for number, name in enumerate(rng.permutation(names)[:2], start=1):
        counts = scene.counts * 2.0 ** rng.uniform(-1.0, 1.0)
        other = replace(scene, sample=str(name), counts=counts)
        stages.append(stage_of(other, seed + number))
    every = [stage.light() for stage in stages]
    for index, beam in enumerate(_beam(frames, rng)):
        light = every[index * len(every) // frames]
        yield Moment(light, beam, _tell(beam, index, rng))


def detector_scan(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """The plan moves the detector sideways by up to 3 mm, and says so."""
    stage, far = stage_of(scene, seed), rng.uniform(0.3, 3.0)
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            stage.experiment.detector_x = far * step
            light = stage.light()
        told = _tell(beam, index, rng, detector_x=stage.experiment.detector_x)
        yield Moment(light, beam, told, scanned=("detector_x",))


def darks(
    scene: Scene, seed: int, frames: int, rng: _Random, stage_of: StageOf = Stage
) -> Iterator[Moment]:
    """An integrating detector: a dark is subtracted, and now and then taken anew.

    0.5 to 50 dark counts a pixel and frame; the dark is the mean of 1 to 20 frames, so
    its noise is that of all the frames until the next. Fewer dark counts where the
    light would not stand out of their noise: there ``no_beam`` is no false alarm.
    """
    averaged = int(rng.integers(1, 21))
    most = _most_dark(scene, averaged)
    rate = min(float(10.0 ** rng.uniform(1.0, 3.0)), most)
    stage = stage_of(scene, seed, dark_rate=rate)
    every = max(2, round(frames * rng.uniform(0.1, 0.5)))
    for index, beam, step in _moving(frames, rng):
        if step is not None:  # the beam decays, the dark counts do not
            now, conditions = beam, stage.experiment.conditions()
            light = stage.light(replace(conditions, beam=conditions.beam * now))
        if index % every == 0:
            dark = stage.take_dark(averaged)
        told = _tell(now, index, rng)
        yield Moment(light, 1.0, told, dark=dark, dark_age=index % every)


def _most_dark(scene: Scene, averaged: int) -> float:
    """Dark counts per pixel and second whose noise leaves the light 20 sigma."""
    pixels = math.prod(BENCH_GEOMETRIES[scene.geometry].detector.shape)
    noise = scene.counts / _LEAST_LIGHT
    return noise**2 / (1.0 + 1.0 / averaged) / (pixels * _EXPOSURE_S)


def _moving(
    frames: int, rng: np.random.Generator
) -> Iterator[tuple[int, float, float | None]]:
    """Index, beam, and where something moves its place from 0 to 1, else None."""
    last = -1
    for index, beam in enumerate(_beam(frames, rng)):
        step = index * _STEPS // frames
        yield index, float(beam), step / (_STEPS - 1) if step != last else None
        last = step


STORIES: MappingProxyType[str, tuple[Story, float]] = MappingProxyType(
    {
        "quiet": (quiet, 0.33),
        "top-up": (top_up, 0.1),
        "thermal ramp": (thermal_ramp, 0.1),
        "transition": (transition, 0.05),
        "strain": (straining, 0.07),
        "texture": (texturing, 0.07),
        "turning grains": (turning_grains, 0.07),
        "sample change": (sample_change, 0.07),
        "detector scan": (detector_scan, 0.07),
        "darks": (darks, 0.07),
    }
)
"""Each story, and its share of the runs."""
