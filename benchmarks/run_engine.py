"""What a subscribed agent costs the RunEngine: `python benchmarks/run_engine.py`.

A step scan of simulated frames of 512 x 512 pixels by a real RunEngine, in each style
of announcing frames. Three ways in turns, median of the rounds:

- agent: subscribed, with all flags and the shipped network;
- empty callback: a function that does nothing, which is what any callback costs;
- nothing subscribed.

"median us" and "p99 us" are what the RunEngine spends inside the callback, microseconds
a document; "scan s" is how long the scan took. The detector, the RunEngine and the
agent's own thread share the cores, so a scan may take longer where cores are few.

For example: `python benchmarks/run_engine.py --points 20 --style stream --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    COUNT,
    REPEATS,
    Parser,
    await_ready,
    end_in_one_line,
    steps,
)

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy and pyFAI read once.
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.benchmarks.peers import show_json, show_table
from ringwatch.benchmarks.speed_lines import held
from ringwatch.simulated_beamline.beamline import STYLES
from ringwatch.simulated_beamline.scenarios import powder_beamline

AGENT, EMPTY, NOTHING = "agent", "empty callback", "nothing subscribed"
_PATIENCE_S = 120.0
_ASKED = "Asked of the agent: less than 200 us a document at the median."

Taker = Callable[[str, dict[str, Any]], None]
"""A Bluesky callback."""


def _nothing(name: str, doc: dict[str, Any]) -> None:
    """Take a document and do nothing with it."""


class Stopwatch:
    """A Bluesky callback around another: seconds of each document.

    Parameters
    ----------
    take : callable
        The callback to be timed.
    """

    def __init__(self, take: Taker) -> None:
        self._take = take
        self.seconds: list[float] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Hand on one document."""
        began = time.perf_counter()
        self._take(name, doc)
        self.seconds.append(time.perf_counter() - began)


def measure(
    style: str, folder: Path, *, points: int = 50, repeats: int = 5, edge: int = 512
) -> list[dict[str, Any]]:
    """All ways over scans of one style, in turns.

    Parameters
    ----------
    style : str
        Of announcing frames: ``inline``, ``datum`` or ``stream``.
    folder : Path
        For the frames.
    points : int
        Of a scan.
    repeats : int
        Rounds.
    edge : int
        Of the square frames, pixels.

    Returns
    -------
    list of dict
        One row a way: microseconds a document, seconds a scan, ratios.
    """
    beamline = powder_beamline(folder, detector=edge, style=style)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bluesky's own, about the event loop
        engine: Any = RunEngine({}, call_returns_result=False)
    agent = Agent(
        poni=beamline.poni_path, mask=beamline.mask_path, detector="detector_image"
    )
    watches = {AGENT: Stopwatch(agent), EMPTY: Stopwatch(_nothing)}
    ways = [AGENT, EMPTY, NOTHING]
    scans: dict[str, list[float]] = {way: [] for way in ways}

    def scan(way: str, steps: int) -> float:
        token = engine.subscribe(watches[way]) if way in watches else None
        began = time.perf_counter()
        engine(beamline.step_scan(steps))
        seconds = time.perf_counter() - began
        if token is not None:
            engine.unsubscribe(token)
        # What the agent has left to do must not slow whoever comes next.
        if not agent.wait_idle(_PATIENCE_S):
            raise SystemExit("the agent does not end: is the machine overloaded?")
        return seconds

    try:
        await_ready(agent)
        for way in ways:  # files, caches and threads are warm
            scan(way, 3)
        for watch in watches.values():
            watch.seconds.clear()
        for turn in range(repeats):
            first = turn % len(ways)
            for way in ways[first:] + ways[:first]:
                scans[way].append(scan(way, points))
        counters = agent.counters
    finally:
        agent.close()
    if counters.analysed != counters.announced:
        raise SystemExit(f"only {counters.analysed} of {counters.announced} analysed")
    return [_row(style, way, watches.get(way), scans) for way in ways]


def _row(
    style: str, way: str, watch: Stopwatch | None, scans: dict[str, list[float]]
) -> dict[str, Any]:
    scan = statistics.median(scans[way])
    seconds = watch.seconds if watch else []
    return {
        "style": style,
        "way": way,
        "documents": len(seconds) if watch else None,
        "median_us": statistics.median(seconds) * 1e6 if watch else None,
        "p99_us": float(np.percentile(seconds, 99)) * 1e6 if watch else None,
        "scan_s": scan,
        "times_the_bare_scan": scan / statistics.median(scans[NOTHING]),
    }


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    styles: dict[str, Any] = {
        "nargs": "+",
        "choices": list(STYLES),
        "default": list(STYLES),
    }
    parser.add_argument("--style", **styles, help="of announcing frames (all)")
    parser.option("--points", COUNT, 50, "of a scan")
    parser.option("--repeats", REPEATS, 5, "rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    each = {"points": options.points, "repeats": options.repeats}
    with steps("RunEngine", len(options.style)) as told:
        for style in options.style:
            told.begin(f"{style}, {options.repeats} rounds of three scans")
            with tempfile.TemporaryDirectory(prefix="ringwatch-run-engine-") as folder:
                rows += measure(style, Path(folder), **each)
    if options.json:
        show_json(rows)
    else:
        asked = held("run_engine", rows, _ASKED)
        show_table(rows, "What a subscribed agent costs the RunEngine", asked)


if __name__ == "__main__":
    main()
