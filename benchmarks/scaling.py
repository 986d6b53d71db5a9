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

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

# After the environment is set, which numpy and pyFAI read once.
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ringwatch.agent import Agent
from ringwatch.agent.geometry import MAX_Q_BINS
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.benchmarks.frame_file import DATA_KEY, FrameFile
from ringwatch.benchmarks.peers import (
    BINS,
    LEAST_REPEATS,
    POLARIZATION,
    edge_of,
    exponent,
    median_ms,
    show_json,
    show_table,
    take_turns,
)
from ringwatch.benchmarks.reduction import Contest

WARM = 20
"""First frames of a run, which the figures leave out."""
_PATIENCE_S = 120.0
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
    moments = np.diff(_verdict_times(store))[WARM:] * 1e3  # (frames - 1 - WARM,) ms
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


def _verdict_times(store: FrameFile, barrier: Barrier | None = None) -> list[float]:
    """When each verdict of a scan came, seconds; all start at the barrier."""
    came: list[float] = []
    ended = threading.Event()

    def note(name: str, doc: dict[str, Any]) -> None:
        if name == "event":
            came.append(time.perf_counter())
        elif name == "stop":
            ended.set()

    agent = Agent(
        poni=store.poni,
        mask=store.mask,
        detector=DATA_KEY,
        npt=BINS,
        polarization=POLARIZATION,
        classifier="onnx",
        max_pending_documents=200,
        sinks=(MemorySink(limit=1, listener=note),),
    )
    try:
        agent.wait_idle(_PATIENCE_S)
        if barrier is not None:
            barrier.wait(_PATIENCE_S)
        for name, doc in store.documents():
            agent.feed(name, doc)
        ended.wait(_PATIENCE_S)
    finally:
        agent.close()
    if len(came) != store.frames:
        raise SystemExit(f"only {len(came)} of {store.frames} verdicts came")
    return came


_barrier: Barrier | None = None


def _meet(barrier: Barrier) -> None:
    """Set up a process: what it waits at for the others."""
    global _barrier  # noqa: PLW0603 - a barrier goes to a process only as it starts
    _barrier = barrier


def _span(store: FrameFile) -> tuple[float, float]:
    """When the first frame that counts and the last one had their verdicts."""
    came = _verdict_times(store, _barrier)
    return came[WARM], came[-1]


def _rate(processes: int, store: FrameFile) -> float:
    """Frames a second of all, from the first verdict that counts to the last."""
    # Started afresh: a forked process would share numba's and OpenMP's locks.
    context = get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_meet, initargs=(barrier,)
    ) as pool:
        spans = list(pool.map(_span, [store] * processes))
    counted = processes * (store.frames - 1 - WARM)
    # One clock for all processes of a machine.
    return counted / (max(end for _, end in spans) - min(at for at, _ in spans))


def measure_processes(
    edge: int,
    frames: int,
    folder: Path,
    *,
    processes: Sequence[int] = (1, 2),
    repeats: int = 3,
) -> list[dict[str, Any]]:
    """Frames a second with so many processes, in turns; each has a run of its own.

    Parameters
    ----------
    edge, frames, folder
        See ``measure_frames``; frames of each process.
    processes : sequence of int
    repeats : int
        Rounds; each starts its processes anew.

    Returns
    -------
    list of dict
        One row a number: median of frames a second, and how many times the first's.
    """
    store = FrameFile.write(folder, edge, frames)
    rates: dict[int, list[float]] = {number: [] for number in processes}
    for _ in range(repeats):
        for number in processes:
            rates[number].append(_rate(number, store))
    middle = {number: statistics.median(each) for number, each in rates.items()}
    return [
        {
            "processes": number,
            "frames_each": frames - 1 - WARM,
            "frames_per_s": rate,
            "speed_up": rate / middle[processes[0]],
        }
        for number, rate in middle.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=_ASKED, default=list(_ASKED))
    sizes: dict[str, Any] = {"nargs": "+", "type": float, "default": [1, 2, 4, 9, 16]}
    parser.add_argument("--mpx", **sizes, help="sizes of frames, 2^20 pixels")
    parser.add_argument("--frames", type=int, default=2000, help="of a run (2000)")
    parser.add_argument("--edge", type=int, default=512, help="of these frames, pixels")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, 5 at least (5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.repeats < LEAST_REPEATS:
        parser.error(f"--repeats {options.repeats}: {LEAST_REPEATS} at least")
    if options.frames < WARM + 100:
        parser.error(f"--frames {options.frames}: {WARM + 100} at least")
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
    for name in options.only:
        with (
            Console(stderr=True).status(name),
            tempfile.TemporaryDirectory(prefix="ringwatch-scaling-") as folder,
        ):
            every[name] = measures[name](Path(folder))
        if not options.json:
            show_table(every[name], f"Scaling: {name}", _ASKED[name])
    if options.json:
        show_json(every)


if __name__ == "__main__":
    main()
