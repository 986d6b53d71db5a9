"""Counting time saved by `until_confident`: `python benchmarks/counting_time.py`.

200 samples (simulated, seeded): the known phases of the simulated beamline with cells
stretched by up to 3 %, a brightness that differs by a factor of a hundred, more or less
background. Of each, `until_confident` in its shadow mode takes exposures from 0.05 to
25.6 s, each twice as long as the one before, on frames of 1 Mpx with all of the agent.

A fixed exposure is the same for all samples; adequate is the shortest whose share of
right classes is within one point of the best of them. With that as the longest
exposure, and a quarter of it as the first, `until_confident` ends where the label is
known: what it counts, all its exposures together, and how often it is right then.

For example: `python benchmarks/counting_time.py --samples 40 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import COUNT, Parser, end_in_one_line, steps

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and pyFAI read once.
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

from ringwatch.benchmarks.attached_agents import PATIENCE_S, agent_here
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.models.symmetry import powder_class
from ringwatch.plans.goals import Counted, Labelled
from ringwatch.plans.until_confident import until_confident
from ringwatch.simulated_beamline.phases import PHASES, Phase
from ringwatch.simulated_beamline.scenarios import powder_beamline

__all__ = ["Sampled", "compare", "count_samples", "main"]

SEED = 20261122
FIRST_S = 0.05
LONGEST_S = 25.6
_EDGE = 1024
_COUNTS_PER_S = 1e5, 1e7
_STRETCH = 0.03
_BACKGROUND = 0.2, 0.8
_ADEQUATE = 0.01
_ASKED = "Asked: 30 % of the time saved, at most 3 points less often right."


@dataclass(frozen=True, slots=True)
class _One:
    """A sample of one phase."""

    phase: Phase

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (self.phase,)

    def fractions(self, temperature: float) -> tuple[float, ...]:
        return (1.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """All exposures of one sample.

    Attributes
    ----------
    class_number : int
        The right one.
    counted : list of Counted
    """

    class_number: int
    counted: list[Counted]

    def right(self, place: int) -> bool:
        """Whether an exposure names the right class."""
        heard = self.counted[place].heard
        return heard is not None and heard.class_number == self.class_number


def count_samples(folder: Path, number: int, seed: int = SEED) -> list[Sampled]:
    """Take all exposures of so many samples; see the module."""
    rng = np.random.default_rng(seed)
    engine: Any = RunEngine({}, call_returns_result=True)
    standing = powder_beamline(folder / "standing", detector=_EDGE)
    found = []
    with agent_here(standing, engine, classifier="onnx") as verdicts:
        for index in range(number):
            phase = PHASES[str(rng.choice(list(PHASES)))]
            stretch = 1.0 + rng.uniform(-_STRETCH, _STRETCH)
            a, b, c = phase.lengths
            phase = replace(phase, lengths=(a * stretch, b * stretch, c * stretch))
            beamline = powder_beamline(
                folder / str(index),
                _One(phase),
                detector=_EDGE,
                exposure_time=1.0,
                pace=0.0,
                counts=float(np.exp(rng.uniform(*np.log(_COUNTS_PER_S)))),
                background=float(rng.uniform(*_BACKGROUND)),
                seed=seed + index,
            )
            plan = until_confident(
                [beamline.detector],
                beamline.detector.exposure_time,
                verdicts,
                _Never(),
                first_s=FIRST_S,
                longest_s=LONGEST_S,
                readables=beamline.readables,
                patience_s=PATIENCE_S,
            )
            counted = engine(plan).plan_result
            right = powder_class(phase.space_group)
            found.append(Sampled(class_number=right, counted=counted))
    return found


@dataclass(frozen=True, slots=True)
class _Never:
    """A goal that is never reached: all exposures are taken."""

    def reason(self, counted: Sequence[Counted]) -> str:
        return ""

    def next_s(self, counted: Sequence[Counted]) -> float:
        return 2.0 * counted[-1].seconds

    def state(self, counted: Sequence[Counted]) -> str:
        return "all are taken"


def compare(found: Sequence[Sampled], goal: Labelled) -> dict[str, Any]:
    """Fixed exposures, the adequate one, and what the goal makes of it.

    Parameters
    ----------
    found : sequence of Sampled
    goal : Labelled
        With two exposures: the adequate one, and before it that which is ``longer``
        times shorter.
    """
    seconds = [one.seconds for one in found[0].counted]
    right = [float(np.mean([s.right(k) for s in found])) for k in range(len(seconds))]
    adequate = next(
        k for k, share in enumerate(right) if share >= max(right) - _ADEQUATE
    )
    spent, named = [], []
    for sample in found:
        first = seconds.index(max(seconds[adequate] / goal.longer, seconds[0]))
        enough = bool(goal.reason([sample.counted[first]]))
        spent.append(seconds[first] + (0.0 if enough else seconds[adequate]))
        named.append(sample.right(first if enough else adequate))
    fixed, mean = seconds[adequate], float(np.mean(spent))
    return {
        "samples": len(found),
        "fixed_s": fixed,
        "fixed_right": right[adequate],
        "until_confident_s": mean,
        "until_confident_right": float(np.mean(named)),
        "saved": 1.0 - mean / fixed,
        "points": 100.0 * (float(np.mean(named)) - right[adequate]),
    }


def main() -> None:
    """Print the table."""
    parser = Parser(__doc__)
    parser.option("--samples", COUNT, 200, "of each way")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with (
        steps("counting time", 1) as told,
        tempfile.TemporaryDirectory(prefix="ringwatch-counting-") as scratch,
    ):
        told.begin(f"{given.samples} samples")
        found = count_samples(Path(scratch), given.samples, given.seed)
    row = compare(found, Labelled())
    if given.json:
        show_json([row])
    else:
        show_table([row], "Counting time until the label is known", _ASKED)


if __name__ == "__main__":
    main()
