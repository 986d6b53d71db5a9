"""Replay on Dask that is broken off, or whose scheduler is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.replay_many import is_stopped, on_dask
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .replay_command import ReplayCommand, store

distributed = pytest.importorskip("distributed")

RAW = "raw-dask"
PATIENCE_S = 240.0  # more than the two minutes that orders are given to end


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    return powder_beamline(
        tmp_path_factory.mktemp("dask"), detector=128, exposure_time=0.02
    )


@pytest.fixture(scope="module")
def uids(server: EmbeddedTiled, beamline: Beamline) -> list[str]:
    """Three stored runs, of a minute and more at the pace below."""
    return store(server, RAW, *(beamline.step_scan(30) for _ in range(3)))


@pytest.mark.long
@pytest.mark.timeout(600)  # two workers that compile everything anew take minutes
def test_interrupted_workers_end_with_it(
    server: EmbeddedTiled, beamline: Beamline, uids: list[str], tmp_path: Path
) -> None:
    """Ctrl-C as a terminal sends it: to all processes, in the middle of two runs."""
    replay = ReplayCommand(server, RAW, beamline, tmp_path)
    command = [str(Path(sys.executable).with_name("ringwatch"))]
    command += replay.words(*uids, "--store", "--pace", "x0.03", "--workers", 2)
    with subprocess.Popen(
        command,
        env=os.environ | {"TILED_API_KEY": server.api_key},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            wait_for_passes(server, replay.container, 2)
            os.killpg(process.pid, signal.SIGINT)
            told, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 130, told
    assert "Interrupted: 0 of 3 runs are done" in " ".join(told.split())
    assert "Traceback" not in told, told
    stored = server.client()[replay.container].values()
    assert len(stored) == 2, told  # the third was not begun
    for run in stored:
        assert run.metadata["stop"]["raw_exit_status"] == "abandoned", told


def wait_for_passes(server: EmbeddedTiled, container: str, number: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    root = server.client()
    while container not in root or len(root[container]) < number:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def until_stopped(order: str) -> str:
    """A job that ends at once, or when it is asked to, and leaves a note of it."""
    path = Path(order)
    if path.suffix == ".quick":
        return "done"
    deadline = time.monotonic() + 20
    while not is_stopped() and time.monotonic() < deadline:
        time.sleep(0.1)
    path.write_text("stopped" if is_stopped() else "left alone")
    return ""


def test_orders_that_nobody_waits_for_end(tmp_path: Path) -> None:
    """On the workers of somebody else's cluster; the last has not begun."""
    quick, long, last = (tmp_path / n for n in ("a.quick", "b.long", "c.long"))
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        answering = on_dask(
            until_stopped,
            [str(quick), str(long), str(last)],
            address=cluster.scheduler_address,
        )
        assert next(answering) == (str(quick), "done")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not is_running(cluster):
            time.sleep(0.1)
        answering.close()
        assert long.read_text() == "stopped"
        assert not last.exists()
    assert not is_stopped()


def thread_of_a_graph(order: str) -> str:
    """A job that tells whether a Dask graph of its own is computed in its thread."""
    graph = dask.delayed(threading.get_ident)()
    return str(graph.compute() == threading.get_ident())


@pytest.mark.slow
def test_what_a_job_computes_stays_out_of_the_cluster() -> None:
    """Reading from Tiled is a graph: on the cluster it was lost with the client."""
    assert list(on_dask(thread_of_a_graph, ["x"], workers=1)) == [("x", "True")]


def is_running(cluster: object) -> bool:
    """Whether the worker is at an order."""
    (worker,) = cluster.workers.values()  # type: ignore[attr-defined]
    return bool(worker.state.executing_count)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler in a process of its own, without workers; and its address."""
    told = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0"]
    command += ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(told)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not told.exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield process, json.loads(told.read_text())["address"]
        finally:
            process.kill()


def test_a_scheduler_that_is_lost_is_an_error_with_a_remedy(
    scheduler: tuple[subprocess.Popen[bytes], str],
) -> None:
    process, address = scheduler
    killing = threading.Timer(2.0, process.kill)
    killing.start()
    answering = on_dask(until_stopped, ["a.quick"], address=address, patience_s=3.0)
    with pytest.raises(ReplayError, match=r"scheduler is lost.*go on"):
        next(answering)
    killing.join()
