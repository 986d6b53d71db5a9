"""From a frame to I(q) beside pyFAI and the floor: `python benchmarks/reduction.py`.

Frames of CeO2 on a photon counter, 2000 bins, with mask, solid angle, polarization and
Poisson errors. In turns, one thread, median of the rounds:

- cake: sums of 2000 x 32 cells, then the pattern with its sigma;
- cake, second look: also what the flags ask of single pixels (outliers, the mask's
  edges). This is what the agent does with each frame;
- plain 1D: a pass that gives the pattern alone, for those who ask for no flags;
- pyFAI's `integrate1d_ng`: no-csc (its best without pixel splitting), full-csc (its
  best with it), bbox-csr (what most people use);
- floor: reads the frame and the index of its pixels, and adds them up.

"faster than no-csc" says how many times; "times the floor" is how far there is to go.
Whether the sums are equal is looked at as well: bin by bin and exactly without pixel
splitting, all counts within 1e-6 with it.

For example: `python benchmarks/reduction.py --mpx 1 4 --dtype uint32 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import MPX, REPEATS, Parser, end_in_one_line, steps

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and pyFAI read once.
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyFAI.containers import Integrate1dResult

from ringwatch.agent.nouns import Cake
from ringwatch.agent.reduction import Reduction
from ringwatch.benchmarks.peers import (
    AGENT,
    BINS,
    CAKE,
    ENGINES,
    binning_of,
    draw_frames,
    edge_of,
    experiment_of,
    integrate,
    median_ms,
    ratio,
    read_floor,
    show_json,
    show_table,
    take_turns,
)
from ringwatch.benchmarks.speed_lines import held

PLAIN = "plain 1D"
PEER, FLOOR = "pyFAI no-csc", "floor"
_FRAMES = 4  # in turns: a frame that was just summed would still be in the cache
_SPLIT_TOLERANCE = 1e-6
_ASKED = (
    "Asked of 4 Mpx uint16: cake at least 2.5 times faster than no-csc and at most 15 "
    "times the floor; plain 1D at least 10 and at most 4 times."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Frames of one size and the ways from them to I(q).

    Attributes
    ----------
    frames : list of (y, x) array
    mask : (y, x) bool
        True where a pixel is not used.
    index : (y * x,) uint16
        Cell of each pixel.
    ways : dict of str to callable
        Called with a number, which chooses the frame. Ours give their cake, pyFAI its
        result, the floor its sum.
    """

    frames: list[NDArray[Any]]
    mask: NDArray[np.bool_]
    index: NDArray[np.uint16]
    ways: dict[str, Callable[[int], Any]]
    reduction: Reduction

    @classmethod
    def of_size(
        cls,
        edge: int,
        *,
        dtype: str = "uint16",
        bins: int = BINS,
        engines: Sequence[str] = tuple(ENGINES),
    ) -> Contest:
        """Draw the frames and set everybody up.

        Parameters
        ----------
        edge : int
            Of the square frames, pixels.
        dtype : str
            ``uint16`` or ``uint32``.
        bins : int
            Of q.
        engines : sequence of str
            Keys of ``ENGINES``.
        """
        experiment = experiment_of(edge, dtype)
        frames = draw_frames(experiment, _FRAMES)
        mask, integrator = experiment.mask(), experiment.geometry.integrator()
        unused, binning = mask.astype(np.int8), binning_of(experiment, bins)
        reduction = Reduction(binning)

        def frame(turn: int) -> NDArray[Any]:
            return frames[turn % _FRAMES]

        def ours(look_again: bool, turn: int) -> Cake:
            cake = reduction.cake(frame(turn), look_again=look_again)
            reduction.pattern(cake)
            return cake

        def theirs(engine: str, turn: int) -> Integrate1dResult:
            return integrate(integrator, frame(turn), unused, engine, bins)

        def floor(turn: int) -> int:
            return int(read_floor(frame(turn).reshape(-1), binning.cell))

        ways: dict[str, Callable[[int], Any]] = {
            CAKE: partial(ours, False),
            AGENT: partial(ours, True),
            PLAIN: lambda turn: reduction.plain_pattern(frame(turn)),
            **{f"pyFAI {engine}": partial(theirs, engine) for engine in engines},
            FLOOR: floor,
        }
        return cls(
            frames=frames,
            mask=mask,
            index=binning.cell,
            ways=ways,
            reduction=reduction,
        )

    def equal_sums(self) -> dict[str, bool]:
        """Whether what each way counts is what the pixels hold."""
        frame = self.frames[0]
        every = float(frame[~self.mask].sum(dtype=np.uint64))
        due = self.ways[PEER](0).sum_signal  # (n_q,)
        added = int(frame.sum(dtype=np.uint64)) + int(self.index.sum(dtype=np.uint64))
        equal = {FLOOR: self.ways[FLOOR](0) == added}
        for way in (CAKE, AGENT):
            equal[way] = np.array_equal(self.ways[way](0).total.sum(axis=1), due)
        by_cake = self.reduction.pattern(self.reduction.cake(frame)).intensity
        equal[PLAIN] = np.array_equal(self.ways[PLAIN](0).intensity, by_cake)
        for way in set(self.ways) - set(equal):
            off = abs(float(self.ways[way](0).sum_signal.sum()) - every)
            equal[way] = off <= (0.0 if way == PEER else _SPLIT_TOLERANCE * every)
        return equal


def measure(
    edge: int, *, dtype: str = "uint16", repeats: int = 9, bins: int = BINS
) -> list[dict[str, Any]]:
    """All ways over frames of one size, in turns.

    Parameters
    ----------
    edge, dtype, bins
        See ``Contest.of_size``.
    repeats : int
        Rounds.

    Returns
    -------
    list of dict
        One row a way: milliseconds (median, fastest), ratios, whether sums are equal.
    """
    contest = Contest.of_size(edge, dtype=dtype, bins=bins)
    taken = take_turns(contest.ways, repeats)
    equal = contest.equal_sums()
    rows = [_row(way, taken, equal[way]) for way in taken]
    return [{"mpx": edge * edge / 2**20, "dtype": dtype} | row for row in rows]


def _row(way: str, taken: dict[str, list[float]], equal: bool) -> dict[str, Any]:
    return {
        "way": way,
        "ms": median_ms(taken[way]),
        "fastest_ms": min(taken[way]) * 1e3,
        "faster_than_no_csc": ratio(taken[PEER], taken[way]),
        "times_the_floor": ratio(taken[way], taken[FLOOR]),
        "sums_equal": equal,
    }


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.option("--mpx", MPX, [1.0, 4.0, 9.0, 16.0], "sizes of frames, 2^20 pixels")
    parser.add_argument("--dtype", choices=("uint16", "uint32"), default="uint16")
    parser.option("--repeats", REPEATS, 9, "rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with steps("reduction", len(options.mpx)) as told:
        for mpx in options.mpx:
            told.begin(f"{mpx:g} Mpx, {options.repeats} rounds")
            rows += measure(edge_of(mpx), dtype=options.dtype, repeats=options.repeats)
    if options.json:
        show_json(rows)
        return
    asked = held("reduction", rows, _ASKED)
    show_table(rows, "From a frame to I(q), 2000 bins", asked)


if __name__ == "__main__":
    main()
