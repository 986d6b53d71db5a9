"""Runs through whole agents, in this process and in several; `scaling` asks."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from ringwatch.agent import Agent
from ringwatch.agent.agent import COMPILES_S
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.benchmarks.command import await_ready
from ringwatch.benchmarks.frame_file import DATA_KEY, FrameFile
from ringwatch.benchmarks.peers import BINS, POLARIZATION

__all__ = ["WARM", "measure_processes", "verdict_times"]

WARM = 20
"""First frames of a run, which the figures leave out."""
_PATIENCE_S = 120.0


def verdict_times(store: FrameFile, barrier: Barrier | None = None) -> list[float]:
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
        await_ready(agent)
        if barrier is not None:
            barrier.wait(COMPILES_S)
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends us


def _span(store: FrameFile) -> tuple[float, float]:
    """When the first frame that counts and the last one had their verdicts."""
    came = verdict_times(store, _barrier)
    return came[WARM], came[-1]


def _rate(processes: int, store: FrameFile) -> float:
    """Frames a second of all, from the first verdict that counts to the last."""
    # Started afresh: a forked process would share numba's and OpenMP's locks.
    context = get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_meet, initargs=(barrier,)
    ) as pool:
        try:
            spans = list(pool.map(_span, [store] * processes))
        except KeyboardInterrupt:
            for process in active_children():  # the pool would wait for their runs
                process.terminate()
            raise
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
        Pixels along a frame's edge; of each process, ``WARM`` and ten more at least.
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
