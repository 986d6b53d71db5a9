"""How soon the page is there, how fast it follows, and that verdicts do not wait.

All in a real Chromium on the machine that also runs the agent: a beamline's browser has
a machine of its own.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
import zmq

from ringwatch.agent import Agent
from ringwatch.benchmarks.page import feed, renamed

from .browsing import FRAMES, Look, Recorded

Make = Callable[..., Agent]
Open = Callable[..., Look]

pytestmark = pytest.mark.alone

RATE_HZ = 30.0


def test_the_page_is_live_within_two_seconds(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    recorded.feed(agent)
    times = []
    for _ in range(3):
        seen = look(agent.page_url)
        seen.until_drawn(FRAMES - 1)
        times.append(seen.page.evaluate("() => window.ringwatch.first"))  # ms
    assert min(times) < 2000, times


def test_thirty_frames_a_second_are_followed_to_the_newest(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    seen = look(agent.page_url)
    recorded.feed(agent)
    seen.until_drawn(FRAMES - 1)
    medians = []
    for letter in "abcd":
        documents = renamed(recorded.documents, letter)
        before = seen.page.evaluate("() => window.ringwatch.ways.length")
        feed(agent, documents, RATE_HZ)
        seen.until("(n) => window.ringwatch.ways.length > n", before)
        seen.until_drawn(FRAMES - 1)
        seen.page.wait_for_timeout(300)
        ways: Any = seen.page.evaluate("(n) => window.ringwatch.ways.slice(n)", before)
        indices = [index for index, _ in ways]
        assert indices == sorted(indices)  # never back to an older one
        assert indices[-1] == FRAMES - 1  # the newest is never lost
        medians.append(statistics.median(way for _, way in ways))
    assert min(medians) < 50, medians  # ms


class Listener:
    """Notes when each verdict comes by 0MQ."""

    def __init__(self, address: str) -> None:
        self.came: dict[int, float] = {}
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(address)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ending.is_set():
            if not self._socket.poll(50):
                continue
            now = time.monotonic()
            _, name, payload = self._socket.recv().split(b" ", 2)
            if name == b"event":
                data = msgpack.unpackb(payload)["data"]
                self.came[int(data["raw_index"])] = now

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close(0)


def test_verdicts_do_not_wait_for_the_page(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of(publish="tcp://127.0.0.1:*")
    recorded.feed(agent)
    assert agent.address is not None
    listener = Listener(agent.address)
    time.sleep(0.5)

    def median_ms(letter: str) -> float:
        """From a document handed over to its verdict off the wire."""
        listener.came.clear()
        handed: dict[int, float] = {}
        began = time.monotonic()
        for name, doc in renamed(recorded.documents, letter):
            if name == "stream_datum":
                index = int(doc["indices"]["start"])
                time.sleep(max(0.0, began + (index + 1) / 15 - time.monotonic()))
                handed[index] = time.monotonic()
            agent(name, doc)
        assert agent.wait_idle(30)
        time.sleep(0.1)
        waited = [(listener.came[index] - at) * 1e3 for index, at in handed.items()]
        assert len(waited) == FRAMES
        return statistics.median(waited)

    closed, opened = [], []
    for letters in ("ab", "cd", "ef"):
        closed.append(median_ms(letters[0]))
        seen = look(agent.page_url)
        seen.until_drawn(FRAMES - 1)
        opened.append(median_ms(letters[1]))
        seen.page.goto("about:blank")
    listener.close()
    ratio = min(opened) / min(closed)
    assert ratio < 1.5, (closed, opened)
