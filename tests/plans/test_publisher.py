"""Documents out of a real RunEngine over real sockets, none lost at the beginning."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from event_model import compose_run
from ophyd.sim import det

from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.plans.publisher import DocumentPublisher

PROXY = """
from bluesky.callbacks.zmq import Proxy
proxy = Proxy("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
print(proxy.in_port, proxy.out_port, flush=True)
proxy.start()
"""


class Heard:
    """Remembers what came."""

    def __init__(self) -> None:
        self.documents: list[tuple[str, dict[str, Any]]] = []
        self.gaps: list[tuple[str, str]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.documents.append((name, doc))

    def gap(self, run_uid: str, why: str) -> None:
        self.gaps.append((run_uid, why))

    def wait(self, number: int, timeout: float = 20) -> bool:
        until = time.monotonic() + timeout
        while len(self.documents) < number and time.monotonic() < until:
            time.sleep(0.01)
        return len(self.documents) >= number


def a_run(events: int = 17) -> list[tuple[str, dict[str, Any]]]:
    run = compose_run()
    keys = {"x": {"source": "s", "dtype": "number", "shape": []}}
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    documents: list[Any] = [("start", run.start_doc)]
    documents.append(("descriptor", stream.descriptor_doc))
    for number in range(events):
        event = stream.compose_event(data={"x": number}, timestamps={"x": 0.0})
        documents.append(("event", event))
    return [*documents, ("stop", run.compose_stop())]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def proxy() -> Iterator[tuple[str, str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROXY], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        inside, outside = process.stdout.readline().split()
        yield inside, outside
        process.kill()


def test_twenty_documents_right_after_connecting(heard: Heard) -> None:
    """Bluesky's publisher loses all of them; here the agent comes even later."""
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True)
    sent = a_run(17)
    assert len(sent) == 20
    for name, doc in sent:
        publisher(name, doc)
    time.sleep(0.2)
    with ZmqSource(publisher.address, heard, gap=heard.gap):
        assert heard.wait(20)
        assert publisher.close()
    assert heard.documents == sent
    assert [why for _, why in heard.gaps if "connection" not in why] == []
    assert publisher.counters.sent == publisher.counters.taken == 20


def test_twenty_documents_when_we_connect(heard: Heard) -> None:
    source = ZmqSource("tcp://127.0.0.1:0", heard, bind=True)
    with source:
        publisher = DocumentPublisher(source.addresses[0], prefix=b"raw")
        for name, doc in a_run(17):
            publisher(name, doc)
        assert heard.wait(20)
        assert publisher.close()


def test_twenty_documents_through_a_proxy(proxy: tuple[str, str], heard: Heard) -> None:
    inside, outside = proxy
    with ZmqSource(outside, heard, prefix=b"raw") as source:
        assert source.wait_connected(10)
        for _ in range(3):  # each time a publisher that has only just connected
            publisher = DocumentPublisher(inside, prefix=b"raw")
            for name, doc in a_run(17):
                publisher(name, doc)
            assert publisher.close()
        assert heard.wait(60)


SCRIPT = """
import sys
from ringwatch.plans.publisher import DocumentPublisher
publisher = DocumentPublisher(sys.argv[1])
for number in range(20):
    publisher("start", {"uid": str(number)})
"""


def test_a_process_that_ends_at_once_loses_nothing(heard: Heard) -> None:
    with ZmqSource("tcp://127.0.0.1:0", heard, bind=True) as source:
        script = [sys.executable, "-W", "error", "-c", SCRIPT, source.addresses[0]]
        done = subprocess.run(script, check=True, timeout=30, capture_output=True)
        assert heard.wait(20)
    assert done.stderr == b""
    assert [doc["uid"] for _, doc in heard.documents] == [str(n) for n in range(20)]


def test_a_process_ends_though_nobody_listens() -> None:
    script = [sys.executable, "-c", SCRIPT, "tcp://127.0.0.1:9"]
    subprocess.run(script, check=True, timeout=20, capture_output=True)


def test_other_prefixes_are_not_even_sent(heard: Heard) -> None:
    source = ZmqSource("tcp://127.0.0.1:0", heard, bind=True, prefix=b"raw")
    with source:
        wanted = DocumentPublisher(source.addresses[0], prefix=b"raw")
        longer = DocumentPublisher(source.addresses[0], prefix=b"raw2", wait_s=0.1)
        assert wanted.wait_ready(10)
        longer("start", {"uid": "other"})
        wanted("start", {"uid": "ours"})
        assert heard.wait(1)
        assert longer.close()
        assert wanted.close()
        assert source.counters.received == 1
    assert heard.documents == [("start", {"uid": "ours"})]


def test_run_engine_is_not_delayed_and_its_run_comes(heard: Heard) -> None:
    engine = RunEngine({}, call_returns_result=False)
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True)
    engine.subscribe(publisher)
    (uid,) = engine(count([det], num=5))
    with ZmqSource(publisher.address, heard, gap=heard.gap) as source:
        assert heard.wait(8)
        assert publisher.close()
        assert source.counters.refused == 0
    names = [name for name, _ in heard.documents]
    assert names == ["start", "descriptor", *["event"] * 5, "stop"]
    assert heard.documents[0][1]["uid"] == uid


def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True, wait_s=0.1)
    assert not publisher.wait_ready(0.01)
    for name, doc in a_run(5):
        publisher(name, doc)
    assert publisher.flush(5)
    assert publisher.close()
    assert publisher.counters.unheard == 8
    assert caplog.text.count("nobody listens") == 1
    publisher("start", {})  # closed: counted, never raised
    assert publisher.counters.overflowed == 1


def test_odd_documents_never_raise(heard: Heard) -> None:
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True)
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    bad: list[Any] = [cyclic, {"a": object()}, {"a": 1 << 80}, None, 3]
    for doc in bad:
        publisher("event", doc)
        publisher("start", doc)
    good = {"uid": "u", "path": Path("/a"), "set": {1}}
    good["names"] = np.array(["a", None], object)
    publisher("start", good)
    with ZmqSource(publisher.address, heard):
        assert heard.wait(1)
        assert publisher.close()
    told = {"uid": "u", "path": "/a", "set": [1], "names": ["a", None]}
    assert ("start", told) in heard.documents
    assert publisher.counters.unsendable == 10


def test_images_come_as_they_were(heard: Heard) -> None:
    image = np.arange(1 << 20, dtype=np.uint16).reshape(1024, 1024)
    small = np.arange(6.0).reshape(2, 3)
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True)
    event = {"data": {"image": image, "small": small}, "descriptor": "d", "seq_num": 1}
    publisher("event", event)
    event["data"]["late"] = 1  # another callback's note must not show
    with ZmqSource(publisher.address, heard):
        assert heard.wait(1)
        assert publisher.close()
    data = heard.documents[0][1]["data"]
    assert set(data) == {"image", "small"}
    np.testing.assert_array_equal(data["image"], image)
    np.testing.assert_array_equal(data["small"], small)


def test_queue_is_bounded_in_bytes(caplog: pytest.LogCaptureFixture) -> None:
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True, max_bytes=10_000_000)
    pixels = np.zeros((1024, 1024), np.uint16)
    for number in range(20):
        publisher("event", {"data": {"image": pixels}, "seq_num": number})
    publisher("stop", {"run_start": "r"})
    assert publisher.counters.overflowed == 16
    assert len(publisher._queue) == 5
    assert "queue is full" in caplog.text
    assert not publisher.close(0.1)


def test_a_document_costs_the_run_engine_little() -> None:
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True, max_bytes=1 << 30)
    reference = {
        "uid": "a" * 36,
        "descriptor": "b" * 36,
        "stream_resource": "c" * 36,
        "seq_nums": {"start": 1, "stop": 2},
        "indices": {"start": 0, "stop": 1},
    }
    inline = {"data": {"image": np.zeros((1024, 1024), np.uint16)}, "seq_num": 1}
    for name, doc in (("stream_datum", reference), ("event", inline)):
        costs = []
        for _ in range(300):
            begun = time.perf_counter()
            publisher(name, doc)
            costs.append(time.perf_counter() - begun)
        assert sorted(costs)[150] < 2e-4
    publisher.close(0.1)


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:0", "nonsense", "tcp://a.b.c:80"])
def test_other_machines_must_be_asked_for(address: str) -> None:
    with pytest.raises(ValueError, match="allow_remote"):
        DocumentPublisher(address, bind=True)
    with pytest.raises(ValueError, match="space"):
        DocumentPublisher("tcp://127.0.0.1:0", prefix=b"a b")


def test_taken_port_is_refused_with_a_remedy() -> None:
    publisher = DocumentPublisher("tcp://127.0.0.1:0", bind=True)
    with pytest.raises(ValueError, match="port that is free"):
        DocumentPublisher(publisher.address, bind=True)
    before = threading.active_count()
    assert publisher.close()
    assert threading.active_count() < before
