"""False alarms: millions of cakes without a fault, quiet runs and decoys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ringwatch.agent.quality import QualityFold, QualitySettings
from ringwatch.benchmarks.flags.baselines import Baselines
from ringwatch.benchmarks.flags.stage import Scene, Stage, StageOf
from ringwatch.benchmarks.flags.stories import STORIES, Moment
from ringwatch.benchmarks.flags.tally import FRAME_RATE_HZ, Tally
from ringwatch.simulated_beamline.bench_geometries import BENCH_SAMPLES

__all__ = [
    "Run",
    "draw_runs",
    "judge_frames",
    "judge_run",
    "read_geometry",
    "settings_of",
]

_GEOMETRIES = {
    "small": 0.3,
    "cheap": 0.1,
    "quarter": 0.2,
    "off_centre": 0.1,
    "total_scattering": 0.1,
    "one_metre": 0.1,
    "modules": 0.08,
    "reference": 0.02,
}
_DECADES = (3.0, 8.0)  # of the counts of a frame
_PLATES = 0.2  # share of the runs whose settings say that the sample is flat
_JITTER = (-7.0, -5.0)  # decades, relative: of a readback of the geometry
_DISTANCE, _ENERGY = "detector_distance", "mono_energy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run to be judged.

    Attributes
    ----------
    number : int
    story : str
        Key of ``STORIES``.
    scene : Scene
    frames : int
    seed : int
        Of this run.
    flat_plate : bool
        Whether the settings say that the sample is flat: then its height is asked for.
    """

    number: int
    story: str
    scene: Scene
    frames: int
    seed: int
    flat_plate: bool


def draw_runs(runs: int, frames: int, seed: int) -> Iterator[Run]:
    """Draw the stated mix; run number k is the same whatever their number."""
    names, shares = zip(*((n, s) for n, (_, s) in STORIES.items()), strict=True)
    places, weights = zip(*_GEOMETRIES.items(), strict=True)
    for number in range(runs):
        rng = np.random.default_rng([seed, number])
        scene = Scene(
            geometry=str(rng.choice(places, p=weights)),
            sample=str(rng.choice(list(BENCH_SAMPLES))),
            counts=float(10.0 ** rng.uniform(*_DECADES)),
        )
        yield Run(
            number=number,
            story=str(rng.choice(names, p=shares)),
            scene=scene,
            frames=frames,
            seed=int(rng.integers(1 << 40)),
            flat_plate=bool(rng.uniform() < _PLATES),
        )


def judge_run(run: Run) -> dict[str, Any]:
    """Judge one run of cakes; what was counted, see ``Tally.result``."""
    stage = Stage(run.scene, run.seed ^ 0x5EED)
    return judge_frames(run, stage, stage.fold(settings_of(run, stage)), Stage)


def settings_of(run: Run, stage: Stage) -> QualitySettings:
    """What a beamline would set: its detector, and which readbacks move the rings."""
    return QualitySettings(
        saturation=float(stage.experiment.geometry.detector.saturation_value),
        geometry_keys=(_DISTANCE, _ENERGY),
        flat_plate=run.flat_plate,
    )


def read_geometry(stage: Stage, seed: int) -> Iterator[dict[str, float]]:
    """Distance, mm, and energy, keV, frame by frame: at rest, read with a jitter.

    1e-7 to 1e-5 relative, another in each run: from an encoder's steps to a crystal
    that shakes. By themselves, so that no other draw depends on them.
    """
    rng = np.random.default_rng([seed, 0x6E0])
    jitter = 10.0 ** rng.uniform(*_JITTER)
    true = {_DISTANCE: 1e3 * stage.experiment.geometry.dist, _ENERGY: stage.energy_kev}
    while True:
        yield {
            name: value * (1.0 + jitter * rng.standard_normal())
            for name, value in true.items()
        }


def judge_frames(
    run: Run, stage: Stage, fold: QualityFold, stage_of: StageOf
) -> dict[str, Any]:
    """Expose what the run's story tells on a stage, and judge each frame.

    Parameters
    ----------
    run : Run
    stage : Stage
    fold : QualityFold
    stage_of : callable
        How the story makes its own stages: as ``stage`` was made.
    """
    rng = np.random.default_rng(run.seed)
    tell, _ = STORIES[run.story]
    tally, baselines = Tally(), Baselines()
    moments = tell(run.scene, run.seed, run.frames, rng, stage_of=stage_of)
    geometry = read_geometry(stage, run.seed)
    for index, moment in enumerate(moments):
        cake, frame = stage.take(moment.light, scale=moment.beam, dark=moment.dark)
        more = {} if moment.dark is None else _about_dark(moment)
        facts = stage.facts(
            cake,
            index,
            moment.readbacks | next(geometry),
            scanned=moment.scanned,
            dark=moment.dark,
            frame=frame,
            **more,
        )
        # A sigma clip looks at single pixels, which a cake does not have.
        told = baselines.judge(facts, clip=stage.pixels)
        tally.add(fold.judge(facts), told)
    about = {"story": run.story, **asdict(run.scene), "flat_plate": run.flat_plate}
    return about | tally.result()


def _about_dark(moment: Moment) -> dict[str, float]:
    """What the readbacks of a dark say: as old as it is, and of the same exposure."""
    exposure = moment.readbacks["detector_exposure_time"]
    age = moment.dark_age / FRAME_RATE_HZ
    return {"dark_age_s": age, "dark_exposure_s": exposure}
