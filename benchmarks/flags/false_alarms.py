"""False alarms: millions of cakes without a fault, quiet runs and decoys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ringwatch.agent.quality import QualityFold
from ringwatch.benchmarks.flags.baselines import Baselines
from ringwatch.benchmarks.flags.stage import Scene, Stage, StageOf
from ringwatch.benchmarks.flags.stories import STORIES, Moment
from ringwatch.benchmarks.flags.tally import FRAME_RATE_HZ, Tally
from ringwatch.simulated_beamline.bench_geometries import BENCH_SAMPLES

__all__ = ["Run", "draw_runs", "judge_frames", "judge_run"]

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
    """

    number: int
    story: str
    scene: Scene
    frames: int
    seed: int


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
        )


def judge_run(run: Run) -> dict[str, Any]:
    """Judge one run of cakes; what was counted, see ``Tally.result``."""
    stage = Stage(run.scene, run.seed ^ 0x5EED)
    return judge_frames(run, stage, stage.fold(), Stage)


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
    for index, moment in enumerate(moments):
        cake, frame = stage.take(moment.light, scale=moment.beam, dark=moment.dark)
        more = {} if moment.dark is None else _about_dark(moment)
        facts = stage.facts(
            cake,
            index,
            moment.readbacks,
            scanned=moment.scanned,
            dark=moment.dark,
            frame=frame,
            **more,
        )
        tally.add(fold.judge(facts), baselines.judge(facts, clip=False))
    return {"story": run.story, **asdict(run.scene), **tally.result()}


def _about_dark(moment: Moment) -> dict[str, float]:
    """What the readbacks of a dark say: as old as it is, and of the same exposure."""
    exposure = moment.readbacks["detector_exposure_time"]
    age = moment.dark_age / FRAME_RATE_HZ
    return {"dark_age_s": age, "dark_exposure_s": exposure}
