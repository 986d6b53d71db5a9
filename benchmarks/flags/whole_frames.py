"""Runs without a fault of whole frames, pixel by pixel: what cakes cannot raise.

Single pixels, the mask's edges, the dark's own pattern, the frame turned, its checksum:
flags that live on them are never put to the test by a cake drawn cell by cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ringwatch.benchmarks.flags.false_alarms import Run, judge_frames, settings_of
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.benchmarks.flags.stories import STORIES
from ringwatch.simulated_beamline.bench_geometries import BENCH_SAMPLES

__all__ = ["FrameRun", "draw_frame_runs", "judge_frame_run"]

_GEOMETRIES = ("small", "cheap", "quarter", "modules")
_DECADES = (3.0, 8.0)  # of the counts of a frame
_DARKS = 0.25  # share of the runs of the story that subtracts a dark
_TIGHT = 0.4  # share of the runs with a mask without a margin
_PLATES = 0.3  # share of the runs whose settings say that the sample is flat


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRun(Run):
    """One run of frames to be judged.

    Attributes
    ----------
    margin_px : int
        Of the mask.
    """

    margin_px: int


def draw_frame_runs(runs: int, frames: int, seed: int) -> Iterator[FrameRun]:
    """Draw the mix; run number k is the same whatever their number."""
    others = {name: share for name, (_, share) in STORIES.items() if name != "darks"}
    weights = np.array(list(others.values())) / sum(others.values())
    for number in range(runs):
        rng = np.random.default_rng([seed, number, 0xF4A])
        scene = Scene(
            geometry=str(rng.choice(_GEOMETRIES)),
            sample=str(rng.choice(list(BENCH_SAMPLES))),
            counts=float(10.0 ** rng.uniform(*_DECADES)),
        )
        story = str(rng.choice(list(others), p=weights))
        yield FrameRun(
            number=number,
            story="darks" if rng.uniform() < _DARKS else story,
            scene=scene,
            frames=frames,
            seed=int(rng.integers(1 << 40)),
            margin_px=0 if rng.uniform() < _TIGHT else 3,
            flat_plate=bool(rng.uniform() < _PLATES),
        )


def judge_frame_run(run: FrameRun) -> dict[str, Any]:
    """Judge one run of frames; what was counted, see ``Tally.result``."""
    stage_of = partial(Stage, margin_px=run.margin_px, pixels=True)
    stage = stage_of(run.scene, run.seed ^ 0x5EED)
    found = judge_frames(run, stage, stage.fold(settings_of(run, stage)), stage_of)
    return found | {"margin_px": run.margin_px}
