"""The embedded Tiled server, where it or who started it ends in the middle."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled


def test_an_array_whose_server_was_killed_before_it_noted_it_is_written_again(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with EmbeddedTiled(first) as server:
        run = server.client().create_container("run")
        run.write_array(np.arange(5.0), key="intensity")
    with EmbeddedTiled(second) as server:
        run = server.client().create_container("run")
        # As it stands after the kill: the folder is there, the node is not.
        shutil.copytree(first / "data", second / "data", dirs_exist_ok=True)
        assert list((second / "data").rglob("intensity*"))
        assert "intensity" not in run
        run.write_array(np.arange(3.0), key="intensity")
        assert run["intensity"].read().tolist() == [0, 1, 2]


PARENT = """
import sys, time
from ringwatch.agent.embedded_tiled import EmbeddedTiled
with EmbeddedTiled(sys.argv[1]) as server:
    print("up", flush=True)
    for _ in range(3000):  # one long sleep misses a signal that comes just before it
        time.sleep(0.1)
"""
PATIENCE_S = 120.0


def server_of(parent: subprocess.Popen[str]) -> Path:
    """The process of its server, as soon as there is one."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
        for child in children.split():
            here = Path(f"/proc/{child}")
            if b"tiled_server" in (here / "cmdline").read_bytes():
                return here
        time.sleep(0.02)
    raise AssertionError("no server began")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("how", "after_s"),
    [
        (signal.SIGKILL, 0.5),
        (signal.SIGKILL, 2.0),
        (signal.SIGKILL, 5.0),
        (signal.SIGINT, 0.5),
        (signal.SIGKILL, None),  # None: when it is up
        (signal.SIGINT, None),
    ],
)
def test_no_server_outlives_who_started_it(
    how: signal.Signals, after_s: float | None, tmp_path: Path
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "tiled")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        server = server_of(parent)
        if after_s is None:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "up\n"
        else:
            time.sleep(after_s)
        parent.send_signal(how)
        parent.communicate(timeout=PATIENCE_S)
        if how == signal.SIGINT:  # it waits for its server
            assert not server.exists()
        until = time.monotonic() + PATIENCE_S
        while server.exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert not server.exists()
    finally:
        parent.kill()
        parent.communicate()
