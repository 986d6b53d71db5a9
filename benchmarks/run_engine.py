"""What a subscribed agent costs the RunEngine: `python benchmarks/run_engine.py`.

A step scan of simulated frames of 512 x 512 pixels, in each style of announcing frames,
with and without the agent, in turns. Prints the time that the RunEngine spends inside
the agent's callback per document, and the duration of the scans.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from rich.console import Console
from rich.table import Table

from ringwatch.agent import Agent
from ringwatch.simulated_beamline.scenarios import powder_beamline


def measure(style: str, points: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Costs per document in microseconds, and seconds a scan with and without."""
    beamline = powder_beamline(folder, detector=512, style=style)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine: Any = RunEngine({}, call_returns_result=False)
    costs: list[float] = []
    seconds: dict[bool, list[float]] = {False: [], True: []}
    agent = Agent(poni=beamline.poni_path, mask=beamline.mask_path)

    def timed(name: str, doc: dict[str, Any]) -> None:
        began = time.perf_counter()
        agent(name, doc)
        costs.append(time.perf_counter() - began)

    engine(beamline.step_scan(3))  # files, caches and threads are warm
    for _ in range(repeats):
        for subscribed in (False, True):
            token = engine.subscribe(timed) if subscribed else None
            began = time.perf_counter()
            engine(beamline.step_scan(points))
            seconds[subscribed].append(time.perf_counter() - began)
            if token is not None:
                engine.unsubscribe(token)
            agent.wait_idle(60)
    agent.close()
    ordered = sorted(costs)
    return {
        "style": style,
        "documents": len(costs),
        "median_us": round(statistics.median(costs) * 1e6, 1),
        "p99_us": round(ordered[int(0.99 * len(ordered))] * 1e6, 1),
        "scan_without_s": round(statistics.median(seconds[False]), 2),
        "scan_with_s": round(statistics.median(seconds[True]), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for style in ("inline", "datum", "stream"):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(style, options.points, options.repeats, Path(folder)))
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table(title="Cost of a subscribed agent to the RunEngine")
    for key in rows[0]:
        table.add_column(key)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
