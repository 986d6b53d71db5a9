"""Who listens and who sends in the tests of 0MQ sources."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import zmq

from ringwatch.agent.sources.zmq import ZmqSource


class Heard:
    """Remembers what came; can be made slow, or to stand still."""

    def __init__(self, delay: float = 0.0) -> None:
        self.documents: list[tuple[str, dict[str, Any]]] = []
        self.gaps: list[tuple[str, str]] = []
        self.delay = delay
        self.go = threading.Event()
        self.go.set()

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.go.wait()
        if self.delay:
            time.sleep(self.delay)
        self.documents.append((name, doc))

    def gap(self, run_uid: str, why: str) -> None:
        self.gaps.append((run_uid, why))

    def missing(self) -> int:
        """How many frames or events the gaps say are missing."""
        total = 0
        for _, why in self.gaps:
            if found := re.search(r"missing: (\d+)(?: to (\d+))?", why):
                first, last = found[1], found[2] or found[1]
                total += int(last) - int(first) + 1
        return total


def wait_until(condition: Any, timeout: float = 20) -> bool:
    until = time.monotonic() + timeout
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return bool(condition())


def sender(source: ZmqSource) -> zmq.Socket[bytes]:
    """A publisher connected to a source that has bound, and heard by it."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(source.addresses[0])
    assert socket.poll(10_000)
    return socket
