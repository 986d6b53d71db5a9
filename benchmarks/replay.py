"""Frames a second of a replay beside the obvious way: `python benchmarks/replay.py`.

A run of simulated frames is stored by a real RunEngine in a Tiled server of its own
process. Then, in turns, median of the rounds:

- ours: `ringwatch replay` as far as it is not printing - documents from Tiled, pixels
  from the HDF5 file, reduction, all flags, the shipped network - over all frames;
- again with the file out of reach, in slices through Tiled, over as many frames as the
  obvious way gets (once);
- the obvious way: each frame by itself through Tiled, pyFAI's `integrate1d` (bbox, csr,
  Poisson errors), the same network. No flag is looked at. Over the first frames;
- floor: each frame out of the file by h5py, and its counts added up.

One thread each; the server has its own process. With `--workers N` also how much faster
N Dask workers (or, without the package distributed, N processes) are than one process
over N runs, with their start and without, and whether they say the same to the bit.

For example: `python benchmarks/replay.py --frames 500 --obvious 40 --json`.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import (
    EDGE,
    SILENT,
    Parser,
    Steps,
    await_ready,
    end_in_one_line,
    steps,
    whole,
)

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numba and pyFAI read once.
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyFAI
from rich.console import Console
from rich.table import Table

from ringwatch.agent import Agent
from ringwatch.agent.cli.stored import analyse_stored
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources import stored_stream
from ringwatch.agent.sources.tiled import with_dark_run
from ringwatch.benchmarks.peers import read_floor, show_json
from ringwatch.benchmarks.replay_workers import measure_workers, said_in
from ringwatch.benchmarks.speed_lines import held
from ringwatch.benchmarks.stored_scan import store_run
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.frame_file import FRAMES

__all__ = ["main", "measure", "measure_workers", "said_in"]

QUIET = Console(quiet=True)


def time_ours(beamline: Beamline, runs: Any, run: Any) -> tuple[float, int]:
    """Seconds from the first call to the last verdict, agent loaded; and verdicts."""
    agent = Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        sinks=(MemorySink(limit=1),),
        max_pending_documents=200,
    )
    await_ready(agent)
    began = time.perf_counter()
    documents = with_dark_run(runs, run, detector="detector_image")
    analyse_stored(agent, documents, console=QUIET)
    seconds = time.perf_counter() - began
    counters = agent.counters
    if counters.analysed != counters.announced:
        raise SystemExit(f"only {counters.analysed} of {counters.announced} analysed")
    return seconds, counters.analysed


def time_obvious(beamline: Beamline, run: Any, frames: int) -> list[float]:
    """Seconds of each frame, loaded and warmed up."""
    from ringwatch.models.classifier import Classifier  # noqa: PLC0415

    integrator = pyFAI.load(str(beamline.poni_path))
    mask = np.load(beamline.mask_path)
    npt = int(np.hypot(*mask.shape) / 2)  # about one bin a pixel of radius
    classifier = Classifier.load()
    node = run["primary"]["detector_image"]
    seconds = []
    for number in range(-2, frames):
        began = time.perf_counter()
        frame = np.asarray(node[max(0, number)])
        pattern = integrator.integrate1d(
            frame.reshape(mask.shape),
            npt,
            mask=mask,
            method=("bbox", "csr", "cython"),
            unit="q_A^-1",
            error_model="poisson",
            polarization_factor=0.99,
        )
        use = pattern.intensity > 0
        classifier.predict(
            pattern.radial[use].astype(float),
            pattern.intensity[use].astype(float),
            pattern.sigma[use].astype(float),
        )
        if number >= 0:
            seconds.append(time.perf_counter() - began)
    return seconds


def time_floor(beamline: Beamline) -> float:
    """Seconds a frame for reading the files of a beamline and adding up the counts."""
    counted = 0
    began = time.perf_counter()
    for path in sorted((beamline.folder / "frames").glob("*.h5")):
        with h5py.File(path, "r", locking=False) as file:
            frames = file[FRAMES]
            index = np.zeros(frames[0].size, np.uint16)
            for frame in frames:
                read_floor(frame.reshape(-1), index)
            counted += len(frames)
    return (time.perf_counter() - began) / counted


def measure(
    frames: int,
    obvious: int,
    edge: int,
    folder: Path,
    *,
    through_tiled: bool = True,
    repeats: int = 1,
    told: Steps = SILENT,
) -> dict[str, Any]:
    """All ways over one stored run.

    Half of the frames of the obvious way are taken before our way, half after it, in
    each round.
    """
    ours: list[float] = []
    theirs: list[float] = []
    floor: list[float] = []
    naive: list[float] = []
    far: dict[str, Any] = {}
    told.begin(f"a run of {frames} frames is measured and stored in Tiled")
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        beamline, run = store_run(folder, tiled, frames, edge)
        runs = tiled.catalog("raw")
        time_floor(beamline)  # compiles, and the file is in the cache for everybody
        for turn in range(1, repeats + 1):
            told.begin(f"round {turn} of {repeats}: the obvious way, ours, the floor")
            taken = time_obvious(beamline, run, obvious // 2)
            seconds, done = time_ours(beamline, runs, run)
            taken += time_obvious(beamline, run, obvious - obvious // 2)
            floor.append(1 / time_floor(beamline))
            ours.append(done / seconds)
            theirs.append(len(taken) / sum(taken))
            naive += taken
        if through_tiled:
            told.begin(f"ours in slices through Tiled, {obvious} frames")
            _, few = store_run(folder / "few", tiled, obvious, edge)
            far_fps = time_through_tiled(beamline, runs, few)
            far["ours_through_tiled_fps"] = round(far_fps, 2)
            far["ratio_through_tiled"] = round(far_fps / statistics.median(theirs), 2)
    ours_fps, theirs_fps, floor_fps = map(statistics.median, (ours, theirs, floor))
    return far | {
        "benchmark": "replay",
        "pixels": edge * edge,
        "frames": done,
        "frames_obvious": obvious,
        "rounds": repeats,
        "ours_fps": round(ours_fps, 2),
        "obvious_fps": round(theirs_fps, 2),
        "obvious_median_ms": round(statistics.median(naive) * 1e3, 1),
        "ratio": round(ours_fps / theirs_fps, 2),
        "floor_fps": round(floor_fps, 2),
        "times_the_floor": round(floor_fps / ours_fps, 2),
    }


def time_through_tiled(beamline: Beamline, runs: Any, run: Any) -> float:
    """Frames per second of our way where the files cannot be reached."""
    reach = stored_stream._reachable
    stored_stream._reachable = lambda uris, roots: ()  # as from another machine
    try:
        seconds, done = time_ours(beamline, runs, run)
    finally:
        stored_stream._reachable = reach
    return done / seconds


def show(found: dict[str, Any]) -> None:
    """Print what was measured."""
    table = Table(title=f"Replay of {found['frames']} frames, {found['pixels']:,} px")
    for column in ("way", "frames/s", "times the obvious way"):
        table.add_column(column, justify="left" if column == "way" else "right")
    obvious = found["obvious_fps"]
    for way, key in (
        ("straight from the file", "ours_fps"),
        ("in slices through Tiled", "ours_through_tiled_fps"),
        ("obvious: Tiled, integrate1d, network", "obvious_fps"),
        ("floor: read and add up", "floor_fps"),
    ):
        table.add_row(way, str(found[key]), f"{found[key] / obvious:.2f}")
    console = Console()
    console.print(table)
    asked = held("replay", [found], "Asked of 1 Mpx: five times the obvious way.")
    console.print(asked, highlight=False)
    if "workers" in found:
        same = "the same to the last bit" if found["identical"] else "NOT the same"
        console.print(
            f"{found['runs']} runs in {found['one_process_s']} s by one process, in "
            f"{found['workers_s']} s by {found['workers']} {found['workers_are']} "
            f"(x{found['speed_up']}, and x{found['speed_up_standing']} once those "
            f"stand); {same}."
        )


def main() -> None:
    """Measure and print."""
    parser = Parser(__doc__)
    parser.option("--frames", whole(2, 100_000), 2000, "of the run")
    parser.option("--obvious", whole(2, 100_000), 100, "of them that way")
    parser.option("--edge", EDGE, 1024, "pixels of the detector")
    parser.option("--repeats", whole(3, 1000), 3, "rounds")
    parser.option("--workers", whole(0, 1024), 0, "time so many as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.obvious > options.frames:
        parser.error(f"--obvious {options.obvious}: 2 to --frames {options.frames}")
    sizes = options.frames, options.obvious, options.edge
    workers = options.workers
    with steps("replay", 2 + options.repeats + bool(workers)) as told:
        with tempfile.TemporaryDirectory(prefix="ringwatch-replay-") as folder:
            found = measure(*sizes, Path(folder), repeats=options.repeats, told=told)
        if workers:
            told.begin(f"{workers} runs in one process, then on {workers} workers")
            with tempfile.TemporaryDirectory(prefix="ringwatch-replay-") as folder:
                found |= measure_workers(
                    workers, options.frames, options.edge, Path(folder)
                )
    if options.json:
        show_json([found])
    else:
        show(found)


if __name__ == "__main__":
    main()
