"""How the cost grows: `python benchmarks/scaling.py`.

Four questions, each answered by itself with `--only`:

- pixels: exponent of the time from frame to pattern over 1 to 16 Mpx, the agent's own
  number of bins; 1 is linear. Beside it the read floor and pyFAI's no-csc, in turns;
- bins: the same over 250 to 2000 bins, frames of 1 Mpx; 0 is no growth;
- frames: time a frame of one long run through the whole agent (cake, flags, network),
  the last tenth of the run beside the first. The first 20 frames are left out: there
  the agent chooses what it compares the others with;
- processes: frames a second of so many agents, each in a process and thread of its own
  with a run of its own, beside one; three rounds, as each starts them anew.

For example: `python benchmarks/scaling.py --only frames --frames 20000 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    EDGE,
    MPX,
    REPEATS,
    Parser,
    end_in_one_line,
    steps,
    whole,
)

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and pyFAI read once.
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ringwatch.agent.geometry import MAX_Q_BINS
from ringwatch.benchmarks.frame_file import FrameFile
from ringwatch.benchmarks.peers import (
    edge_of,
    exponent,
    median_ms,
    show_json,
    show_table,
    take_turns,
)
from ringwatch.benchmarks.reduction import Contest
from ringwatch.benchmarks.scaling_runs import WARM, measure_processes, verdict_times
from ringwatch.benchmarks.speed_lines import held

_ASKED = {
    "pixels": "Asked of ours: an exponent of 0.9 to 1.1.",
    "bins": "Nothing is asked; a pass over pixels should hardly grow with bins.",
    "frames": "Asked: constant over 20,000 frames.",
    "processes": "Asked: one process a core, each at its own full speed.",
}


def measure_pixels(
    edges: Sequence[int], *, repeats: int = 5, bins: int | None = None
) -> list[dict[str, Any]]:
    """Exponent of the cost in pixels, of each way; frames of all sizes in turns.

    Parameters
    ----------
    edges : sequence of int
        Of square frames, pixels.
    repeats : int
        Rounds.
    bins : int, optional
        Of q; by default as many as the agent takes, about one a pixel of radius.

    Returns
    -------
    list of dict
        One row a way: milliseconds at each size, exponent.
    """
    own = [min(int(edge / math.sqrt(2)), MAX_Q_BINS) for edge in edges]
    sizes = {e**2 / 2**20: (e, bins or n) for e, n in zip(edges, own, strict=True)}
    return _grown("Mpx", sizes, repeats)


def measure_bins(
    bins: Sequence[int], *, edge: int = 1024, repeats: int = 5
) -> list[dict[str, Any]]:
    """Exponent of the cost in bins of q; as ``measure_pixels``."""
    return _grown("bins", {float(each): (edge, each) for each in bins}, repeats)


def _grown(
    unit: str, sizes: dict[float, tuple[int, int]], repeats: int
) -> list[dict[str, Any]]:
    """Rows of ways over sizes, each a frame's edge and a number of bins."""
    ways: dict[str, Callable[[int], object]] = {}
    for size, (edge, bins) in sizes.items():
        contest = Contest.of_size(edge, bins=bins, engines=("no-csc",))
        ways |= {f"{way} at {size:g}": take for way, take in contest.ways.items()}
    found = take_turns(ways, repeats)
    rows = []
    for way in contest.ways:
        taken = [median_ms(found[f"{way} at {size:g}"]) for size in sizes]
        row: dict[str, Any] = {"grows_with": unit, "way": way}
        row |= {f"ms_at_{s:g}": ms for s, ms in zip(sizes, taken, strict=True)}
        rows.append(row | {"exponent": exponent(list(sizes), taken)})
    return rows


def measure_frames(edge: int, frames: int, folder: Path) -> list[dict[str, Any]]:
    """One run through an agent; the time a frame takes at its beginning and its end.

    Parameters
    ----------
    edge : int
        Of the square frames, pixels.
    frames : int
        Of the run; ``WARM`` and ten more at least.
    folder : Path

    Returns
    -------
    list of dict
        Rows of the first and last tenth: median and mean, and these over the first.
    """
    store = FrameFile.write(folder, edge, frames)
    moments = np.diff(verdict_times(store))[WARM:] * 1e3  # (frames - 1 - WARM,) ms
    tenth = max(1, moments.size // 10)
    parts = {"first tenth": moments[:tenth], "last tenth": moments[-tenth:]}
    first = parts["first tenth"]
    return [
        {
            "way": name,
            "frames": int(part.size),
            "median_ms": float(np.median(part)),
            "mean_ms": float(part.mean()),
            "median_to_first": float(np.median(part) / np.median(first)),
            "mean_to_first": float(part.mean() / first.mean()),
        }
        for name, part in parts.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=_ASKED, default=list(_ASKED))
    parser.option(
        "--mpx", MPX, [1.0, 2.0, 4.0, 9.0, 16.0], "sizes of frames, 2^20 pixels"
    )
    parser.option("--frames", whole(WARM + 100, 1_000_000), 2000, "of a run")
    parser.option("--edge", EDGE, 512, "of these frames, pixels")
    parser.option("--repeats", REPEATS, 5, "rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if "pixels" in options.only and len(set(options.mpx)) < 2:
        parser.error("--mpx: an exponent needs two sizes")
    edge, frames, repeats = options.edge, options.frames, options.repeats
    measures: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
        "pixels": lambda _: measure_pixels(
            [edge_of(mpx) for mpx in options.mpx], repeats=repeats
        ),
        "bins": lambda _: measure_bins((250, 500, 1000, 2000), repeats=repeats),
        "frames": lambda folder: measure_frames(edge, frames, folder),
        "processes": lambda folder: measure_processes(
            edge, min(frames, 500), folder, repeats=min(repeats, 3)
        ),
    }
    every: dict[str, list[dict[str, Any]]] = {}
    with steps("scaling", len(options.only)) as told:
        for name in options.only:
            told.begin(name)
            with tempfile.TemporaryDirectory(prefix="ringwatch-scaling-") as folder:
                every[name] = measures[name](Path(folder))
    if options.json:
        show_json(every)
        return
    for name, rows in every.items():
        asked = _ASKED[name]
        if name in ("pixels", "frames"):
            asked = held("scaling", {name: rows}, asked)
        show_table(rows, f"Scaling: {name}", asked)


if __name__ == "__main__":
    main()
