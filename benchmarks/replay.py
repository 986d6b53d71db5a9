"""Frames per second of a replay beside the obvious way: `python benchmarks/replay.py`.

A run of simulated frames is stored by a real RunEngine in a Tiled server of its own
process. Then, in the same run of this script:

- ours: `ringwatch replay` as far as it is not printing - documents from Tiled, pixels
  from the HDF5 file, reduction, all flags, the shipped network - over all frames;
- again with the file out of reach, in slices through Tiled, over as many frames as the
  obvious way gets;
- the obvious way: each frame by itself through Tiled, pyFAI's `integrate1d` (bbox, csr,
  Poisson errors), the same network. No flag is looked at. Over the first frames.

One thread each; the server has its own process. With `--workers N` also how much faster
N Dask workers (or, without the package distributed, N processes) are than one process
over N runs, with their start and without, and whether they say the same to the bit.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

# After the environment is set, which numba and pyFAI read once.
import numpy as np
import pyFAI
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from rich.console import Console
from rich.table import Table

from ringwatch.agent import Agent
from ringwatch.agent.cli.replay_job import replay_order
from ringwatch.agent.cli.replay_orders import Order, settings_for_replay
from ringwatch.agent.cli.stored import analyse_stored
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.replay_many import in_processes, on_dask, one_by_one
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources import stored_stream
from ringwatch.agent.sources.tiled import find_run, with_dark_run
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

QUIET = Console(quiet=True)


def store_run(
    folder: Path, tiled: EmbeddedTiled, frames: int, edge: int
) -> tuple[Beamline, Any]:
    """The beamline, and the step scan of it that was stored."""
    beamline = powder_beamline(folder / "beamline", detector=edge, exposure_time=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=10_000))
    (uid,) = engine(beamline.step_scan(frames))
    return beamline, find_run(tiled.catalog("raw"), str(uid))


def time_ours(beamline: Beamline, runs: Any, run: Any) -> tuple[float, int]:
    """Seconds from the first call to the last verdict, agent loaded; and verdicts."""
    agent = Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        sinks=(MemorySink(limit=1),),
        max_pending_documents=200,
    )
    agent.wait_idle(120)
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


def measure(
    frames: int, obvious: int, edge: int, folder: Path, *, through_tiled: bool = True
) -> dict[str, Any]:
    """Both ways over one stored run.

    Half of the frames of the obvious way are taken before our way, half after it.
    """
    far = {}
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        beamline, run = store_run(folder, tiled, frames, edge)
        runs = tiled.catalog("raw")
        naive = time_obvious(beamline, run, obvious // 2)
        seconds, done = time_ours(beamline, runs, run)
        naive += time_obvious(beamline, run, obvious - obvious // 2)
        theirs = len(naive) / sum(naive)
        if through_tiled:
            _, few = store_run(folder / "few", tiled, obvious, edge)
            far_fps = time_through_tiled(beamline, runs, few)
            far["ours_through_tiled_fps"] = round(far_fps, 2)
            far["ratio_through_tiled"] = round(far_fps / theirs, 2)
    return far | {
        "benchmark": "replay",
        "pixels": edge * edge,
        "frames": done,
        "frames_obvious": obvious,
        "ours_fps": round(done / seconds, 2),
        "obvious_fps": round(theirs, 2),
        "obvious_median_ms": round(statistics.median(naive) * 1e3, 1),
        "ratio": round(done / seconds / theirs, 2),
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


def measure_workers(
    workers: int, frames: int, edge: int, folder: Path
) -> dict[str, Any]:
    """N runs in one process, then on N workers."""
    spread = importlib.util.find_spec("distributed") is not None
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        os.environ["TILED_API_KEY"] = tiled.api_key
        orders = []
        for number in range(workers):
            beamline, run = store_run(folder / str(number), tiled, frames, edge)
            settings = Settings(
                poni=beamline.poni_path,
                mask=beamline.mask_path,
                detector="detector_image",
            )
            order = Order(
                number=number,
                uid=run.metadata["start"]["uid"],
                tiled=tiled.uri,
                profile="",
                container="raw",
                settings=settings_for_replay(settings).model_dump_json(),
            )
            orders.append(order.to_text())
        replay_order(orders[0])  # compiled code and weights are in the caches
        began = time.perf_counter()
        alone = dict(one_by_one(replay_order, orders))
        alone_s = time.perf_counter() - began
        began = time.perf_counter()
        if spread:
            together = dict(on_dask(replay_order, orders, workers=workers))
        else:
            together = dict(in_processes(replay_order, orders, workers))
        together_s = time.perf_counter() - began
        standing_s = time_standing(orders, workers) if spread else together_s
    return {
        "workers": workers,
        "workers_are": "dask" if spread else "processes",
        "runs": workers,
        "one_process_s": round(alone_s, 2),
        "workers_s": round(together_s, 2),
        "speed_up": round(alone_s / together_s, 2),
        "speed_up_standing": round(alone_s / standing_s, 2),
        "identical": said_in(alone) == said_in(together),
    }


def said_in(answers: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Digest of all verdicts, and frames analysed, by order; a failure ends it."""
    told = {order: json.loads(text) for order, text in answers.items()}
    for answer in told.values():
        if "error" in answer:
            raise SystemExit(f"run {answer['run']} failed: {answer['error']}")
        if not 0 < answer["frames"] == answer["analysed"]:
            raise SystemExit(
                f"only {answer['analysed']} of {answer['frames']} analysed"
            )
    return {order: (a["digest"], a["analysed"]) for order, a in told.items()}


def time_standing(orders: list[str], workers: int) -> float:
    """Seconds on Dask workers that have replayed before."""
    distributed: Any = importlib.import_module("distributed")  # an extra
    with distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        address = str(cluster.scheduler_address)
        dict(on_dask(replay_order, orders, address=address))
        began = time.perf_counter()
        dict(on_dask(replay_order, orders, address=address))
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--obvious", type=int, default=100, help="frames of that way")
    parser.add_argument("--edge", type=int, default=1024, help="pixels of the detector")
    parser.add_argument("--workers", type=int, default=0, help="time so many as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ringwatch-replay-") as folder:
        found = measure(options.frames, options.obvious, options.edge, Path(folder))
    if options.workers:
        with tempfile.TemporaryDirectory(prefix="ringwatch-replay-") as folder:
            found |= measure_workers(
                options.workers, options.frames, options.edge, Path(folder)
            )
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    table = Table(title=f"Replay of {found['frames']} frames, {found['pixels']:,} px")
    for column in ("way", "frames/s", "times the obvious way"):
        table.add_column(column)
    for way, key, ratio in (
        ("straight from the file", "ours_fps", found["ratio"]),
        ("in slices through Tiled", "ours_through_tiled_fps", None),
        ("obvious: Tiled, integrate1d, network", "obvious_fps", 1),
    ):
        times = found["ratio_through_tiled"] if ratio is None else ratio
        table.add_row(way, str(found[key]), str(times))
    console = Console()
    console.print(table)
    if options.workers:
        same = "the same to the last bit" if found["identical"] else "NOT the same"
        console.print(
            f"{found['runs']} runs in {found['one_process_s']} s by one process, in "
            f"{found['workers_s']} s by {found['workers']} {found['workers_are']} "
            f"(x{found['speed_up']}, and x{found['speed_up_standing']} once those "
            f"stand); {same}."
        )


if __name__ == "__main__":
    main()
