"""Our subscriber over real sockets: nothing ends it, and nothing is lost unsaid."""

from __future__ import annotations

import pickle  # noqa: TID251 - to see it refused
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq

from ringwatch.agent.errors import AgentClosedError
from ringwatch.agent.sources.zmq import ZmqSource, ZmqSourceError
from ringwatch.agent.wire.messages import Limits

from .zmq_listeners import Heard, sender, wait_until


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
