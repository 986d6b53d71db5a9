"""More than the subscriber can take: memory keeps its bound, each loss is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import zmq
from bluesky.callbacks.zmq import Publisher

from ringwatch.agent.sources.zmq import ZmqSource

from .zmq_listeners import Heard, wait_until

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
    """A slow consumer, a small queue: each loss is told, exactly."""
    total = 20_000
    heard = Heard(delay=2e-5)
    process, inside, outside = start_proxy("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
    source = ZmqSource(
        outside, heard, gap=heard.gap, prefix=b"raw", max_waiting_bytes=100_000
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


def test_memory_is_bounded_while_the_consumer_stands_still() -> None:
    """500 MB of frames are sent meanwhile; then it goes on, and the gap is told."""
    heard = Heard()
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
            for _ in range(5):  # of 50 frames of 2 MB each
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
