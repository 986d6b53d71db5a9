"""How soon the page is there, how fast it follows, and that verdicts do not wait.

All in a real Chromium on the machine that also runs the agent: a beamline's browser has
a machine of its own.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq

from ringwatch.agent import Agent
from ringwatch.benchmarks.page import feed, renamed

from .browsing import FRAMES, Look, Recorded, bytes_unsent, connect_deaf

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
    assert statistics.median(times) < 2000, times


def test_thirty_frames_a_second_are_followed_to_the_newest(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    seen = look(agent.page_url)
    recorded.feed(agent)
    seen.until_drawn(FRAMES - 1)
    drawn, medians = [], []
    for letter in "abcde":
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
        drawn.append(len(ways))
        medians.append(statistics.median(way for _, way in ways))
    assert statistics.median(medians) < 50, medians  # ms
    assert statistics.median(drawn) >= 0.5 * FRAMES, drawn


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


@pytest.fixture
def agent(
    agent_of: Make, recorded: Recorded
) -> Iterator[tuple[Agent, Callable[[], float]]]:
    """An agent, and what gives the median time of a run's verdicts, ms.

    From a document handed over to its verdict off the wire.
    """
    agent = agent_of(publish="tcp://127.0.0.1:*")
    recorded.feed(agent)
    assert agent.address is not None
    listener = Listener(agent.address)
    time.sleep(0.5)
    marks = (f"{number:02x}" for number in itertools.count())

    def median_ms() -> float:
        listener.came.clear()
        handed: dict[int, float] = {}
        began = time.monotonic()
        for name, doc in renamed(recorded.documents, next(marks)):
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

    yield agent, median_ms
    listener.close()


def test_verdicts_do_not_wait_for_the_page(
    agent: tuple[Agent, Callable[[], float]], look: Open
) -> None:
    watched, median_ms = agent
    closed, opened = [], []
    for _ in range(5):
        closed.append(median_ms())
        seen = look(watched.page_url)
        seen.until_drawn(FRAMES - 1)
        opened.append(median_ms())
        seen.page.goto("about:blank")
    ratio = statistics.median(opened) / statistics.median(closed)
    assert ratio < 1.5, (closed, opened)


def test_verdicts_do_not_wait_for_a_client_that_reads_nothing(
    agent: tuple[Agent, Callable[[], float]],
) -> None:
    watched, median_ms = agent
    alone = [median_ms() for _ in range(3)]
    deaf = connect_deaf(watched)
    deadline = time.monotonic() + 120
    while not bytes_unsent(watched):
        assert time.monotonic() < deadline, "the socket takes all that is sent"
        median_ms()
    beside = [median_ms() for _ in range(3)]
    assert bytes_unsent(watched)
    deaf.close()
    ratio = statistics.median(beside) / statistics.median(alone)
    assert ratio < 1.5, (alone, beside)
