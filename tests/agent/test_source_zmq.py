"""Our subscriber over real sockets: nothing ends it, and nothing is lost unsaid."""

from __future__ import annotations

import os
import pickle  # noqa: TID251 - to see it refused
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from bluesky.callbacks.zmq import Publisher

from ringwatch.agent.errors import AgentClosedError
from ringwatch.agent.sources.zmq import ZmqSource, ZmqSourceError
from ringwatch.agent.wire import Limits

PROXY = """
import sys
from bluesky.callbacks.zmq import Proxy
proxy = Proxy(sys.argv[1], sys.argv[2])
print(proxy.in_port, proxy.out_port, flush=True)
proxy.start()
"""

FRAMES = """
import sys, time, msgpack, zmq
socket = zmq.Context().socket(zmq.PUB)
socket.setsockopt(zmq.SNDHWM, 5)
socket.bind(sys.argv[1])
pixels = bytes(2_000_000)
number = 0
while True:
    number += 1
    doc = {"descriptor": "d", "seq_num": number, "data": {"x": pixels}}
    socket.send(b" event " + msgpack.packb(doc))
    if number % 50 == 0:
        print(number, flush=True)
    time.sleep(0.002)
"""


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


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def bound(heard: Heard) -> Iterator[ZmqSource]:
    limits = Limits(message_bytes=100_000)
    source = ZmqSource(
        "tcp://127.0.0.1:0", heard, gap=heard.gap, bind=True, limits=limits
    )
    with source:
        yield source


def start_proxy(inside: str, outside: str) -> tuple[subprocess.Popen[bytes], str, str]:
    """Bluesky's own proxy in a process of its own, and where it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROXY, inside, outside], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    begin, end = process.stdout.readline().decode().split()
    return process, begin, end


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate(timeout=10)


def test_hostile_and_odd_messages_end_nothing(
    bound: ZmqSource, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    socket = sender(bound)
    good = {"uid": "run", "time": 1.0}
    for _ in range(3):
        socket.send(b"nonsense")
        socket.send(b" start " + pickle.dumps(good))
        socket.send(b" no_such_document " + msgpack.packb(good))
        socket.send(b" event " + msgpack.packb({"data": 1}))
        socket.send_multipart([b" start", msgpack.packb(good)])
    socket.send(b" start " + msgpack.packb(good))
    assert wait_until(lambda: heard.documents)
    assert heard.documents == [("start", good)]
    counters = bound.counters
    assert (counters.undecodable, counters.unknown, counters.refused) == (12, 3, 3)
    assert counters.received == 19
    assert counters.fed == 1
    assert caplog.text.count("is pickled") == 1
    assert "serializer=msgpack_numpy.packb" in caplog.text
    assert caplog.text.count("no_such_document") == 1
    socket.close()


def test_message_too_large_is_not_received(bound: ZmqSource, heard: Heard) -> None:
    """libzmq closes the connection before it allocates; then it goes on."""
    socket = sender(bound)
    socket.send(b" start " + bytes(200_000))
    assert wait_until(lambda: any("connection" in why for _, why in heard.gaps))
    assert bound.counters.received == 0
    assert wait_until(lambda: bound.connections.standing)
    socket.close()
    again = sender(bound)
    again.send(b" start " + msgpack.packb({"uid": "run"}))
    assert wait_until(lambda: heard.documents)
    again.close()


def test_a_taker_that_refuses_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(name: str, doc: dict[str, Any]) -> None:
        raise AgentClosedError("the agent is closed")

    with ZmqSource("tcp://127.0.0.1:0", refuse, bind=True) as source:
        socket = sender(source)
        for number in range(5):
            socket.send(b" start " + msgpack.packb({"uid": str(number)}))
        assert wait_until(lambda: source.counters.refused == 5)
        socket.close()
    assert caplog.text.count("the agent is closed") == 1


def reference(number: int) -> dict[str, Any]:
    return {
        "uid": f"sr/{number}",
        "stream_resource": "sr",
        "descriptor": "d",
        "indices": {"start": number, "stop": number + 1},
        "seq_nums": {"start": number + 1, "stop": number + 2},
    }


def run_of(total: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A flight of ``total`` references, without its stop."""
    keys = {"x": {"source": "s", "dtype": "array", "shape": [4], "external": "STREAM:"}}
    descriptor = {"uid": "d", "run_start": "run", "name": "primary", "data_keys": keys}
    yield "start", {"uid": "run", "time": 0.0}
    yield "descriptor", descriptor
    yield "stream_resource", {"uid": "sr", "run_start": "run", "data_key": "x"}
    for number in range(total):
        yield "stream_datum", reference(number)


def test_burst_through_a_proxy_killed_in_the_middle() -> None:
    """60,000 references, a slow consumer, a small queue: each loss is told, exactly."""
    total = 60_000
    heard = Heard(delay=2e-5)
    process, inside, outside = start_proxy("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
    source = ZmqSource(
        outside, heard, gap=heard.gap, prefix=b"raw", max_waiting_bytes=200_000
    )
    publisher = Publisher(inside, prefix=b"raw", serializer=msgpack.packb)
    try:
        with source:
            assert source.wait_connected(10)
            time.sleep(0.5)  # Bluesky's publisher cannot say when it is connected
            for number, (name, doc) in enumerate(run_of(total)):
                publisher(name, doc)
                if number == total // 2:
                    end(process)
                    process, _, _ = start_proxy(inside, outside)
            came = -1
            while came != source.counters.fed:  # calm: the stop is to arrive
                came = source.counters.fed
                time.sleep(1.0)
            stop = {"uid": "s", "run_start": "run", "num_events": {"primary": total}}
            publisher("stop", stop)
            assert wait_until(lambda: heard.documents[-1][0] == "stop")
            assert source.close(10)
    finally:
        publisher.close()
        end(process)
    names = [name for name, _ in heard.documents]
    assert names[:3] == ["start", "descriptor", "stream_resource"]
    frames = names.count("stream_datum")
    lost = total - frames
    print(f"{frames} of {total} came; the audit says {heard.missing()} are missing")
    assert 0 < lost < total
    assert heard.missing() == lost
    assert any("connection was lost" in why for _, why in heard.gaps)
    assert source.counters.received == source.counters.fed


def rss() -> int:
    """Resident memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_bounded_while_the_consumer_stands_still(heard: Heard) -> None:
    """A gigabyte of frames is sent meanwhile; then it goes on, and the gap is told."""
    with zmq.Context.instance().socket(zmq.PUB) as probe:
        port = probe.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    heard.go.clear()
    source = ZmqSource(
        address,
        heard,
        gap=heard.gap,
        max_waiting_bytes=20_000_000,
        high_water_mark=10,
    )
    with subprocess.Popen(
        [sys.executable, "-c", FRAMES, address], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with source:
            assert source.wait_connected(10)
            before = rss()
            grown, waited = 0, 0
            for _ in range(10):  # of 50 frames of 2 MB each
                process.stdout.readline()
                grown = max(grown, rss() - before)
                waited = max(waited, source.waiting_bytes)
            assert source.counters.fed == 0
            print(f"grown by {grown / 1e6:.0f} MB; {waited / 1e6:.0f} MB waited")
            assert 18_000_000 < waited < 23_000_000
            assert grown < 100_000_000
            heard.go.set()
            assert wait_until(lambda: source.counters.refused + source.counters.fed)
            received = source.counters.received
            assert wait_until(lambda: source.counters.received > received)
            process.kill()
    assert any("descriptor d never came" in why for _, why in heard.gaps)


def test_close_from_any_thread_and_begin_again(heard: Heard) -> None:
    source = ZmqSource("tcp://127.0.0.1:0", heard, bind=True)
    for number in range(3):
        source.begin()
        with pytest.raises(ZmqSourceError, match="runs already"):
            source.begin()
        socket = sender(source)
        socket.send(b" start " + msgpack.packb({"uid": str(number)}))
        assert wait_until(lambda n=number: len(heard.documents) == n + 1)
        closer = threading.Thread(target=source.close)
        closer.start()
        closer.join(5)
        assert not closer.is_alive()
        socket.close()
    assert source.close()
    assert source.open_runs == ("0", "1", "2")


def test_close_inside_feed() -> None:
    """What feeds may say stop: it would wait for itself otherwise."""
    ended: list[bool] = []
    source = ZmqSource(
        "tcp://127.0.0.1:0", lambda *_: ended.append(source.close(3)), bind=True
    )
    source.begin()
    socket = sender(source)
    socket.send(b" start " + msgpack.packb({"uid": "a"}))
    assert wait_until(lambda: ended)
    assert ended == [True]
    assert source.close(5)
    socket.close()


def test_close_in_time_with_a_consumer_that_hangs(heard: Heard) -> None:
    source = ZmqSource("tcp://127.0.0.1:0", heard, bind=True)
    source.begin()
    socket = sender(source)
    heard.go.clear()
    for number in range(100):
        socket.send(b" start " + msgpack.packb({"uid": str(number)}))
    assert wait_until(lambda: source.counters.received == 100)
    begun = time.monotonic()
    assert not source.close(0.5)
    assert time.monotonic() - begun < 3
    assert source.counters.discarded == 99
    heard.go.set()
    assert source.close(5)
    assert len(heard.documents) == 1
    socket.close()


def test_close_feeds_what_has_come(heard: Heard) -> None:
    source = ZmqSource("tcp://127.0.0.1:0", heard, bind=True)
    source.begin()
    socket = sender(source)
    heard.delay = 0.002
    for number in range(300):
        socket.send(b" start " + msgpack.packb({"uid": str(number)}))
    assert wait_until(lambda: source.counters.received == 300)
    assert source.close(10)
    assert len(heard.documents) == 300
    socket.close()


def test_several_addresses(heard: Heard) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets = [context.socket(zmq.XPUB) for _ in range(3)]
    for socket in sockets:
        socket.bind("tcp://127.0.0.1:0")
    places = [socket.getsockopt_string(zmq.LAST_ENDPOINT) for socket in sockets]
    with ZmqSource(places, heard):
        for number, socket in enumerate(sockets):
            assert socket.poll(10_000)
            socket.send(b" start " + msgpack.packb({"uid": str(number)}))
        assert wait_until(lambda: len(heard.documents) == 3)
    context.destroy(0)


@pytest.mark.parametrize(
    ("addresses", "why"),
    [
        ([], "no 0MQ address"),
        ("tcp://192.0.2.7:5567", "allow_remote"),
        ("tcp://*:0", "allow_remote"),
        ("nonsense", "allow_remote"),
        ("tcp://127.0.0.1", "tcp://host:port"),
        ("ipc:///no/such/folder/socket", "tcp://host:port"),
    ],
)
def test_impossible_addresses(addresses: Any, why: str, heard: Heard) -> None:
    with pytest.raises(ZmqSourceError, match=why):
        ZmqSource(addresses, heard, bind=True).begin()


def test_prefix_without_spaces(heard: Heard) -> None:
    with pytest.raises(ZmqSourceError, match="space"):
        ZmqSource("tcp://127.0.0.1:1", heard, prefix=b"a b").begin()
