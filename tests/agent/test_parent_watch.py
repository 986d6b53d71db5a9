"""Processes of a pool end with the one that started them, also if it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ringwatch.agent.replay_many import end_with_parent


def work_for_long(note: str) -> None:
    Path(note).write_text(str(os.getpid()))
    time.sleep(120)


def main(note: str) -> None:
    """Be a parent that waits for its child."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
        pool.submit(work_for_long, note).result()


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "child"
    command = [sys.executable, "-m", "tests.agent.test_parent_watch", str(note)]
    with subprocess.Popen(command) as parent:
        deadline = time.monotonic() + 60
        while not (note.exists() and note.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.kill()
    child, deadline = int(note.read_text()), time.monotonic() + 20
    while is_running(child):
        assert time.monotonic() < deadline, "an orphan"
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
