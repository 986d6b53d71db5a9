"""Runs replayed by several workers beside one process; `benchmarks/replay.py` asks."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

from ringwatch.agent.cli.replay_job import replay_order
from ringwatch.agent.cli.replay_orders import Order, settings_for_replay
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.replay_many import in_processes, on_dask, one_by_one
from ringwatch.agent.settings import Settings
from ringwatch.benchmarks.stored_scan import store_run

__all__ = ["measure_workers", "said_in", "time_standing"]


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
