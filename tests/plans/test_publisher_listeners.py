"""Listeners of a publisher that stand still, go away, and come back."""

from __future__ import annotations

import time
from typing import Any

import pytest
import zmq

from ringwatch.plans.publisher import DocumentPublisher


def test_a_listener_that_stands_still_costs_documents_but_no_memory() -> None:
    """It is waited for once; then it loses, is counted, and the others go on."""
    publisher = DocumentPublisher(
        "tcp://127.0.0.1:0", bind=True, wait_s=0.3, high_water_mark=10, linger_ms=0
    )
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    listener = context.socket(zmq.SUB)
    listener.setsockopt(zmq.RCVHWM, 1)
    listener.setsockopt(zmq.SUBSCRIBE, b"")
    listener.connect(publisher.address)
    assert publisher.wait_ready(10)
    for number in range(2000):
        publisher("start", {"uid": str(number), "filling": "x" * 20_000})
    assert publisher.flush(20)
    counters = publisher.counters
    assert counters.unheard > 0
    assert counters.sent + counters.unheard == 2000
    publisher.close()
    context.destroy(0)


def bound_listener(address: str) -> zmq.Socket[bytes]:
    """One to which publishers connect."""
    listener = zmq.Context.instance().socket(zmq.SUB)
    listener.setsockopt(zmq.SUBSCRIBE, b"")
    listener.setsockopt(zmq.LINGER, 0)
    listener.bind(address)
    return listener


def comes_to_be(ready: bool, publisher: DocumentPublisher, listener: Any) -> bool:
    """Whether the publisher notices; a listener subscribes only while it is used."""
    until = time.monotonic() + 10
    while publisher.wait_ready(0) != ready and time.monotonic() < until:
        listener.poll(10) if ready else time.sleep(0.01)
    return publisher.wait_ready(0) == ready


def test_a_listener_that_goes_while_we_connect_is_missed_and_comes_back() -> None:
    """Libzmq itself goes on as if it were there."""
    listener = bound_listener("tcp://127.0.0.1:*")
    address = listener.getsockopt_string(zmq.LAST_ENDPOINT)
    publisher = DocumentPublisher(address, wait_s=30)
    for number in range(3):
        assert comes_to_be(True, publisher, listener)
        publisher("start", {"uid": str(number)})
        assert listener.poll(10_000)
        assert b" start " in listener.recv()
        listener.close()
        assert comes_to_be(False, publisher, listener)
        publisher("stop", {"uid": str(number)})
        assert not publisher.flush(0.3)  # it waits for who comes
        listener = bound_listener(address)
        assert listener.poll(10_000)
        assert b" stop " in listener.recv()
    assert publisher.close()
    listener.close()
    counters = publisher.counters
    assert (counters.taken, counters.sent, counters.unheard) == (6, 6, 0)


def test_documents_are_unheard_once_the_listener_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also more of them than 0MQ keeps: none is waited for as for a slow one."""
    listener = bound_listener("tcp://127.0.0.1:*")
    address = listener.getsockopt_string(zmq.LAST_ENDPOINT)
    publisher = DocumentPublisher(address, wait_s=0.5, high_water_mark=5, linger_ms=0)
    assert comes_to_be(True, publisher, listener)
    listener.close()
    assert comes_to_be(False, publisher, listener)
    for number in range(40):
        publisher("start", {"uid": str(number)})
    assert publisher.flush(10)
    assert (publisher.counters.sent, publisher.counters.unheard) == (0, 40)
    assert "nobody listens" in caplog.text
    assert "too slow" not in caplog.text
    assert publisher.close()
