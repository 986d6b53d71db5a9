"""Weeks at full speed: the service holds no more memory or files than at first.

In full: documents over 0MQ, pixels from HDF5, verdicts over 0MQ, and by spool into a
Tiled server. The quick form leaves Tiled out. No classifier: it takes twice as long as
all the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest
import zmq

from ringwatch.agent.embedded_tiled import EmbeddedTiled

from .conftest import FULL
from .flights import FrameStore, small_geometry
from .service import Service, complete, finals, free_port, publisher, wait

SIDE = 256
RUNS, FRAMES = (20, 5_000) if FULL else (10, 500)
AHEAD = 100
"""Frames on their way: the agent is never idle."""
EVERY = 50
"""Frames from one look at the process to the next."""
MOST_GROWTH = 1.05
MOMENTARY = 2
"""Files open for a moment (positions in the spool): some look may meet them all."""


class Held(NamedTuple):
    """What a process holds: resident memory, MB, and open files."""

    memory: float
    files: int

    @classmethod
    def by(cls, pid: int) -> Held:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, files)


class Verdicts:
    """Counts the verdicts that a service publishes."""

    def __init__(self, address: str) -> None:
        self.count = 0
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.subscribe(b"ringwatch event ")
        self._socket.connect(address)

    def wait(self, count: int) -> None:
        """Until there were so many."""
        while self.count < count:
            assert self._socket.poll(60_000), f"no verdict after {self.count}"
            self._socket.recv()
            self.count += 1

    def close(self) -> None:
        self._socket.close(0)


def soak(
    service: Service, verdicts: Verdicts, frames: FrameStore, server: EmbeddedTiled
) -> tuple[list[str], list[Held]]:
    """Run after run at full speed; their uids, and what the service held meanwhile."""
    uids: list[str] = []
    held: list[Held] = []
    sent = 0
    with publisher(service.port) as publish:
        for _ in range(RUNS):
            for name, doc in frames.step():
                publish(name, doc)
                if name == "start":
                    uids.append(doc["uid"])
                elif name == "event":
                    sent += 1
                    verdicts.wait(sent - AHEAD)
                    if sent % EVERY == 0:
                        held.append(Held.by(service.pid))
            # What waits for Tiled grows while Tiled is slower: one run may wait.
            if FULL and len(uids) > 1:
                wait(complete, server, "analysis", uids[-2])
        verdicts.wait(sent)
        if FULL:
            wait(complete, server, "analysis", uids[-1])
    return uids, held


@pytest.mark.timeout(3600)
def test_memory_and_files_stay_as_they_are(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    frames = FrameStore.make(tmp_path / "frames.h5", FRAMES, SIDE, distinct=100)
    settings: dict[str, Any] = {
        "poni": str(small_geometry(tmp_path / "soak.poni", SIDE)),
        "publish": f"tcp://127.0.0.1:{free_port()}",
        # A machine that is busy with something else is another test's subject.
        "shed_labels_after_s": 600.0,
        "shed_frames_after_s": 600.0,
    }
    if not FULL:
        settings |= {"tiled": None, "state": None}
    verdicts = Verdicts(settings["publish"])
    server = EmbeddedTiled(tmp_path / "tiled")
    if FULL:
        server.start()
    try:
        service = Service(tmp_path, server, **settings)
        service.begin()
        began = time.monotonic()
        uids, held = soak(service, verdicts, frames, server)
        took = time.monotonic() - began
        assert service.end() == 0
        told = f"{RUNS * FRAMES} of {RUNS * FRAMES} frames have their final verdict"
        assert told in service.log.read_text()
        if FULL:
            for uid in uids:
                final = finals(server, "analysis", uid)
                assert final == dict.fromkeys(range(FRAMES), 1)
    finally:
        verdicts.close()
        server.close()
    tenth = len(held) // 10
    at_first, later = held[:tenth], held[tenth:]
    memory = max(each.memory for each in later) / at_first[-1].memory
    files = [max(each.files for each in part) for part in (at_first, later)]
    usual = [median(each.files for each in part) for part in (at_first, held[-tenth:])]
    what = f"soak of {verdicts.count:,} frames"
    figure(f"{what}: memory over {at_first[-1].memory:.0f} MB", memory, "< 1.05")
    figure(f"{what}: open files, usually, over {usual[0]:.0f}", usual[1], "the same")
    figure(f"{what}: open files, at most", files[1], f"<= {files[0] + MOMENTARY}")
    figure(f"{what}: frames a second", verdicts.count / took)
    assert memory < MOST_GROWTH
    assert usual[1] == usual[0]
    assert files[1] <= files[0] + MOMENTARY
