"""Beam time shared out over samples: `python benchmarks/sample_choice.py`.

Six samples of one beamline (simulated, seeded) scatter by up to five times less than
the best. A number of frames is shared out: evenly (round robin); by the closed form,
which after one frame of each knows how strong they are and gives each the share that
would make all equally precise (frames in proportion to the squared precision of the
first); and by `next_sample`, which looks after every frame. The figure is the relative
precision of the sample that is known worst in the end: from how many frames it got,
and what a frame of it gives by all verdicts of all ways together (a way that stays
where the agent says little would else profit from the agent's noise). Medians over
seeds.

For example: `python benchmarks/sample_choice.py --frames 60 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import COUNT, Parser, end_in_one_line, steps

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and pyFAI read once.
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

from ringwatch.benchmarks.attached_agents import PATIENCE_S, agent_here
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.plans.next_sample import Progress, next_sample
from ringwatch.simulated_beamline.scenarios import powder_beamline

__all__ = ["closed_form", "main", "share_out", "worst"]

SEED = 20261122
SEEDS = 5
FRAMES = 60
_HEIGHTS_MM = 0.0, 0.25, 0.4, 0.45, 0.48, 0.49  # of 0.5: what is left in the beam
_COUNTS = 3e4
_EDGE = 512
_ASKED = "Asked: not worse than the closed form and than round robin."


def closed_form(first: Mapping[str, Progress], frames: int) -> dict[str, int]:
    """Frames for each sample, so that all would be equally precise.

    Parameters
    ----------
    first : mapping of str to Progress
        After one frame of each.
    frames : int
        All together; the rounding goes to those that are farthest below their share.
    """
    squared = {name: state.precision**2 for name, state in first.items()}
    whole = sum(squared.values())
    wanted = {name: frames * square / whole for name, square in squared.items()}
    given = {name: max(int(share), 1) for name, share in wanted.items()}
    while sum(given.values()) < frames:
        given[max(given, key=lambda name: wanted[name] - given[name])] += 1
    while sum(given.values()) > frames:
        given[min(given, key=lambda name: wanted[name] - given[name])] -= 1
    return given


def share_out(folder: Path, frames: int, seed: int) -> dict[str, dict[str, Progress]]:
    """What each way of sharing makes of the same samples.

    Returns
    -------
    dict of str to dict of str to Progress
        By way: ``round robin``, ``closed form``, ``next_sample``.
    """
    beamline = powder_beamline(
        folder, detector=_EDGE, pace=0.0, counts=_COUNTS, seed=seed
    )
    heights = np.random.default_rng(seed).permutation(_HEIGHTS_MM)
    samples = {
        f"sample {number}": {beamline.sample_y: float(height)}
        for number, height in enumerate(heights, 1)
    }
    engine: Any = RunEngine({}, call_returns_result=True)
    with agent_here(beamline, engine) as verdicts:

        def take(chosen: Mapping[str, Any], number: int, act: bool) -> Any:
            plan = next_sample(
                chosen,
                [beamline.detector],
                verdicts,
                frames=number,
                precision=1e-9,  # more than the frames can give: all are used
                act=act,
                readables=beamline.readables,
                patience_s=PATIENCE_S,
            )
            return engine(plan).plan_result

        first = take(samples, len(samples), False)
        given = closed_form(first, frames)
        closed = {
            name: take({name: samples[name]}, number, False)[name]
            for name, number in given.items()
        }
        return {
            "round robin": take(samples, frames, False),
            "closed form": closed,
            "next_sample": take(samples, frames, True),
        }


def worst(ways: Mapping[str, Mapping[str, Progress]], way: str) -> float:
    """Precision of the sample that is known worst, by what its frames give at large."""
    precisions = []
    for name, state in ways[way].items():
        same = [progress[name] for progress in ways.values()]
        per_frame = sum(s.weight for s in same) / sum(s.frames for s in same)
        precisions.append((state.frames * per_frame) ** -0.5)
    return max(precisions)


def main() -> None:
    """Print the table."""
    parser = Parser(__doc__)
    parser.option("--frames", COUNT, FRAMES, "to share out")
    parser.option("--seeds", COUNT, SEEDS, "of experiments")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = []
    with (
        steps("sample choice", given.seeds) as told,
        tempfile.TemporaryDirectory(prefix="ringwatch-samples-") as scratch,
    ):
        for number in range(given.seeds):
            told.begin(f"seed {given.seed + number}")
            folder = Path(scratch) / str(number)
            found.append(share_out(folder, given.frames, given.seed + number))
    rows = [
        {
            "way": way,
            "frames": given.frames,
            "worst_precision": statistics.median(worst(one, way) for one in found),
        }
        for way in found[0]
    ]
    if given.json:
        show_json(rows)
    else:
        show_table(rows, "Precision of the sample that is known worst", _ASKED)


if __name__ == "__main__":
    main()
