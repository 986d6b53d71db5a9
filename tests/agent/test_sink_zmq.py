"""The derived run over a real socket, to a Bluesky listener in another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from event_model import DocumentNames, compose_run, schema_validators

from ringwatch.agent.errors import SinkError
from ringwatch.agent.sinks import Sink
from ringwatch.agent.sinks.zmq import ZmqSink, encode

LISTENER = """
import sys, msgpack
from bluesky.callbacks.zmq import RemoteDispatcher
dispatcher = RemoteDispatcher(sys.argv[1], prefix=b"ringwatch",
                              deserializer=msgpack.unpackb)
def hear(name, doc):
    sys.stdout.buffer.write(msgpack.packb([name, doc]))
    sys.stdout.buffer.flush()
    if name == "stop":
        raise SystemExit
dispatcher.subscribe(hear)
try:
    dispatcher.start()
except SystemExit:
    pass
"""


def derived_documents(events: int = 5) -> list[tuple[str, dict[str, Any]]]:
    """A run with every kind of value that a derived run has."""
    run = compose_run(metadata={"raw_uid": "raw"})
    keys = {
        "label": {"source": "s", "dtype": "string", "shape": []},
        "z": {"source": "s", "dtype": "number", "shape": [], "dtype_numpy": "<f8"},
        "intensity": {"source": "s", "dtype": "array", "shape": [2000]},
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    documents = [("start", run.start_doc), ("descriptor", stream.descriptor_doc)]
    for number in range(events):
        data = {
            "label": "F---",
            "z": np.float64("nan"),
            "intensity": np.full(2000, number + 0.1),
        }
        event = stream.compose_event(data=data, timestamps=dict.fromkeys(data, 1.0))
        documents.append(("event", event))
    return [*documents, ("stop", run.compose_stop())]


@pytest.fixture
def sink() -> Iterator[ZmqSink]:
    sink = ZmqSink("tcp://127.0.0.1:0", linger_ms=200)
    yield sink
    sink.close(2)


def subscriber(address: str) -> zmq.Socket[bytes]:
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 5000)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(address)
    return socket


def test_remote_dispatcher_in_another_process(sink: ZmqSink) -> None:
    """With nothing of ours at the other end; every document is valid there too."""
    documents = derived_documents()
    address = sink.address.removeprefix("tcp://")
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LISTENER, address], stdout=subprocess.PIPE
    ) as listener:
        assert sink.wait_for_subscriber(30)
        for name, doc in documents:
            sink.put(name, doc)
        output, _ = listener.communicate(timeout=30)
    unpacker = msgpack.Unpacker()
    unpacker.feed(output)
    heard = list(unpacker)
    assert [name for name, _ in heard] == [name for name, _ in documents]
    for name, doc in heard:
        schema_validators[DocumentNames[name]].validate(doc)
    data = heard[4][1]["data"]
    assert data["intensity"] == [2.1] * 2000
    assert np.isnan(data["z"])
    assert (sink.sent, sink.failed, sink.pending) == (8, 0, 0)


def test_wire_is_prefix_name_payload() -> None:
    message = encode("event", {"a": np.arange(3), "b": np.float32(0.5)})
    prefix, name, payload = message.split(b" ", 2)
    assert (prefix, name) == (b"ringwatch", b"event")
    assert msgpack.loads(payload) == {"a": [0, 1, 2], "b": 0.5}


def test_order_is_kept_and_nothing_is_lost(sink: ZmqSink) -> None:
    socket = subscriber(sink.address)
    assert sink.wait_for_subscriber(5)
    for number in range(500):
        sink.put("event", {"number": number})
    numbers = [msgpack.loads(socket.recv().split(b" ", 2)[2]) for _ in range(500)]
    assert [n["number"] for n in numbers] == list(range(500))
    assert sink.flush(5)
    socket.close()


def test_put_is_cheap_without_a_listener(sink: ZmqSink) -> None:
    doc = {"intensity": np.zeros(2000)}
    costs = []
    for _ in range(300):
        start = time.perf_counter()
        sink.put("event", doc)
        costs.append(time.perf_counter() - start)
    assert sorted(costs)[150] < 2e-4
    assert sink.flush(10)


def test_unsendable_document_is_counted(
    sink: ZmqSink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.put("event", {"bad": object()})
    sink.put("event", {"good": 1})
    assert sink.flush(5)
    assert (sink.sent, sink.failed) == (1, 1)
    assert "object cannot go into a document" in caplog.text


def test_full_queue_counts_and_logs_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = ZmqSink("tcp://127.0.0.1:0", limit=10)
    with sink._cond:  # the thread cannot take anything: the queue must fill
        for _ in range(25):
            sink.put("event", {})
        assert sink.pending == 10
        assert sink.failed == 15
    assert sink.close(5)
    assert sink.sent == 10
    assert caplog.text.count("lost a event document") == 1


def test_closed_sink_takes_nothing_and_frees_the_port() -> None:
    sink = ZmqSink("tcp://127.0.0.1:0")
    sink.put("event", {})
    assert sink.close(5)
    assert sink.close(5)
    sink.put("event", {})
    assert (sink.sent, sink.failed, sink.state) == (1, 1, "closed")
    ZmqSink(sink.address).close(5)


def test_taken_port_is_refused_with_a_remedy(sink: ZmqSink) -> None:
    with pytest.raises(SinkError, match="another agent running"):
        ZmqSink(sink.address)


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:0", "tcp://*:0", "tcp://192.0.2.7:5578", "nonsense"]
)
def test_other_machines_are_kept_out(address: str) -> None:
    with pytest.raises(SinkError, match="allow_remote"):
        ZmqSink(address)


def test_remote_must_be_asked_for() -> None:
    sink = ZmqSink("tcp://0.0.0.0:0", allow_remote=True)
    assert sink.address.startswith("tcp://0.0.0.0:")
    assert sink.close(5)


def test_prefix_without_spaces() -> None:
    with pytest.raises(SinkError, match="space"):
        ZmqSink("tcp://127.0.0.1:0", prefix=b"ring watch")


def test_it_is_a_sink(sink: ZmqSink) -> None:
    checked: Sink = sink
    assert checked.pending == 0


def test_listeners_come_and_go(sink: ZmqSink) -> None:
    """Who was not there is counted: nothing is lost in silence."""
    sink.put("event", {})
    assert sink.flush(5)
    assert (sink.subscribers, sink.unheard) == (0, 1)
    sockets = [subscriber(sink.address) for _ in range(3)]
    wait_for(lambda: sink.subscribers == 3)
    sink.put("event", {"n": 1})
    assert [s.recv()[:15] for s in sockets] == [b"ringwatch event"] * 3
    assert sink.unheard == 1
    for socket in sockets:
        socket.close()
    wait_for(lambda: sink.subscribers == 0)
    wait_for(lambda: sink.connections.lost == 3)


def test_slow_listener_loses_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The other one gets everything."""
    sink = ZmqSink("tcp://127.0.0.1:0", high_water_mark=50, limit=5000)
    slow = zmq.Context.instance().socket(zmq.SUB)
    slow.setsockopt(zmq.RCVHWM, 1)
    slow.setsockopt(zmq.SUBSCRIBE, b"")
    slow.connect(sink.address)
    quick = subscriber(sink.address)
    wait_for(lambda: sink.subscribers == 2)
    filling = "x" * 50_000
    for number in range(1000):
        sink.put("event", {"n": number, "filling": filling})
        assert msgpack.loads(quick.recv().split(b" ", 2)[2])["n"] == number
    assert sink.flush(10)
    assert sink.sent == 1000
    assert 0 < sink.overrun < 1000
    assert caplog.text.count("is too slow") == 1
    for socket in (slow, quick):
        socket.close(0)
    assert sink.close(5)


def test_garbage_from_a_listener_is_no_harm(sink: ZmqSink) -> None:
    socket = zmq.Context.instance().socket(zmq.XSUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(sink.address)
    for message in (b"", b"nonsense", b"\x00", b"\x01", b"x" * 100_000):
        socket.send(message)
    quick = subscriber(sink.address)
    wait_for(lambda: sink.subscribers >= 1)
    wait_for(lambda: sink.connections.lost >= 1)  # 100 kB are no subscription
    wait_for(lambda: sink.connections.standing == 2)
    sink.put("event", {"n": 1})
    assert quick.recv()
    wait_for(lambda: sink.sent == 1)  # counted once it is sent, a moment later
    assert sink.failed == 0
    quick.close()
    socket.close()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


FLOOD = """
import sys, zmq
socket = zmq.Context().socket(zmq.XSUB)
socket.connect(sys.argv[1])
while True:
    for number in range(1000):
        socket.send(b"\\x01%d" % number)
"""


def test_flood_of_subscriptions_stops_nobody(sink: ZmqSink) -> None:
    with subprocess.Popen([sys.executable, "-c", FLOOD, sink.address]) as flood:
        try:
            assert sink.wait_for_subscriber(30)
            for number in range(50):
                sink.put("event", {"number": number})
            assert sink.flush(5)
            assert flood.poll() is None
        finally:
            flood.kill()
    assert sink.sent == 50
