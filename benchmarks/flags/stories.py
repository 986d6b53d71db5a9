"""Stories without a fault: quiet runs, and what must not be taken for one.

A story tells, frame by frame, what each cell may expect, how bright the beam is, and
what the readbacks say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.simulated_beamline.bench_geometries import BENCH_SAMPLES
from ringwatch.simulated_beamline.cell_counts import CellRates
from ringwatch.simulated_beamline.microstructure import (
    Grains,
    Microstructure,
    Strain,
    Texture,
)

__all__ = ["STORIES", "Moment", "Story"]

_STEPS = 16
"""Images of a run in which something moves; the counting noise is new in each frame."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame to be drawn.

    Attributes
    ----------
    rates : CellRates
    beam : float
        Factor of all rates.
    readbacks : dict
    scanned : tuple of str
        Readbacks that the plan moves on purpose.
    """

    rates: CellRates
    beam: float
    readbacks: dict[str, float]
    scanned: tuple[str, ...] = ()


Story = Callable[[Scene, int, int, np.random.Generator], Iterator[Moment]]
"""From a scene, a seed, a number of frames and random numbers to that many moments."""


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
        "detector_exposure_time": 0.05,
        **more,
    }


def quiet(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """Nothing happens but decay and top-up."""
    rates = Stage(scene, seed).rates()
    for index, beam in enumerate(_beam(frames, rng)):
        yield Moment(rates, beam, _tell(beam, index, rng))


def top_up(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """The beam decays by a fifth and is restored at once."""
    rates = Stage(scene, seed).rates()
    for index, beam in enumerate(_beam(frames, rng, top_up=0.2)):
        yield Moment(rates, beam, _tell(beam, index, rng))


def thermal_ramp(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """The sample is heated by 300 to 800 K; two times in three a readback says so."""
    rise, told = rng.uniform(300.0, 800.0), rng.uniform() < 2 / 3
    stage = Stage(scene, seed)
    furnace = stage.experiment.furnace
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            furnace.ramp_to(298.0 + rise * step)
            stage.experiment.clock.advance(3600.0)
            rates = stage.rates()
        more = {"temperature": furnace.sample} if told else {}
        yield Moment(rates, beam, _tell(beam, index, rng, **more))


def transition(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """BaTiO3 is heated through its transition, tetragonal to cubic."""
    stage = Stage(replace(scene, sample="titanate"), seed)
    furnace = stage.experiment.furnace
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            furnace.ramp_to(383.0 + 20.0 * step)
            stage.experiment.clock.advance(3600.0)
            rates = stage.rates()
        yield Moment(rates, beam, _tell(beam, index, rng, temperature=furnace.sample))


def straining(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """The sample is pulled: rings become ellipses, up to 3e-3."""
    stage, most = Stage(scene, seed), rng.uniform(5e-4, 3e-3)
    before = stage.experiment.microstructure or Microstructure()
    axis = rng.uniform(0.0, 180.0)
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            pulled = Strain(amplitude=most * step, axis_deg=axis)
            stage.experiment.microstructure = replace(before, strain=pulled)
            rates = stage.rates()
        yield Moment(rates, beam, _tell(beam, index, rng))


def texturing(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """The sample is rolled: its texture sharpens."""
    stage, sharpest = Stage(scene, seed), rng.uniform(0.5, 0.8)
    before = stage.experiment.microstructure or Microstructure()
    axis = rng.uniform(0.0, 180.0)
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            texture = Texture(march=1.0 - (1.0 - sharpest) * step, axis_deg=axis)
            stage.experiment.microstructure = replace(before, texture=texture)
            rates = stage.rates()
        yield Moment(rates, beam, _tell(beam, index, rng))


def turning_grains(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """A coarse powder is moved along: other grains again and again."""
    stage, few = Stage(scene, seed), 10.0 ** rng.uniform(0.0, 2.0)
    before = stage.experiment.microstructure or Microstructure()
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            grains = Grains(per_patch=few, key=int(rng.integers(1 << 30)))
            stage.experiment.microstructure = replace(before, grains=grains)
            rates = stage.rates()
        yield Moment(rates, beam, _tell(beam, index, rng))


def sample_change(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """A robot puts other samples into the beam, brighter or darker by up to two."""
    names = [name for name in BENCH_SAMPLES if name != scene.sample]
    stages = [Stage(scene, seed)]
    for number, name in enumerate(rng.permutation(names)[:2], start=1):
        counts = scene.counts * 2.0 ** rng.uniform(-1.0, 1.0)
        other = replace(scene, sample=str(name), counts=counts)
        stages.append(Stage(other, seed + number))
    every = [stage.rates() for stage in stages]
    for index, beam in enumerate(_beam(frames, rng)):
        rates = every[index * len(every) // frames]
        yield Moment(rates, beam, _tell(beam, index, rng))


def detector_scan(
    scene: Scene, seed: int, frames: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """The plan moves the detector sideways by up to 3 mm, and says so."""
    stage, far = Stage(scene, seed), rng.uniform(0.3, 3.0)
    for index, beam, step in _moving(frames, rng):
        if step is not None:
            stage.experiment.detector_x = far * step
            rates = stage.rates()
        told = _tell(beam, index, rng, detector_x=stage.experiment.detector_x)
        yield Moment(rates, beam, told, scanned=("detector_x",))


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
        "quiet": (quiet, 0.4),
        "top-up": (top_up, 0.1),
        "thermal ramp": (thermal_ramp, 0.1),
        "transition": (transition, 0.05),
        "strain": (straining, 0.07),
        "texture": (texturing, 0.07),
        "turning grains": (turning_grains, 0.07),
        "sample change": (sample_change, 0.07),
        "detector scan": (detector_scan, 0.07),
    }
)
"""Each story, and its share of the runs."""
