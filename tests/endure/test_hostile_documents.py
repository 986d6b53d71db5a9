"""Hostile documents: refused with the reason, and the next run is judged.

One real agent takes them all, one after the other.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgpack
import pytest
import zmq

from ringwatch.agent.sources.zmq import ZmqSource

from .hostile import FRAMES, Change, Watch, watching

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: Any = 0
for _ in range(5000):
    DEEP = [DEEP]


def with_shape(shape: Any) -> Change:
    def change(name: str, doc: dict[str, Any]) -> Any:
        if name != "descriptor":
            return doc
        keys = doc["data_keys"].items()
        image = {k: {**told, "shape": shape} for k, told in keys if "external" in told}
        return doc | {"data_keys": doc["data_keys"] | image}

    return change


def with_value(kind: str, **values: Any) -> Change:
    return lambda name, doc: doc | values if name == kind else doc


def twice(kind: str) -> Change:
    return lambda name, doc: [(name, doc)] * (2 if name == kind else 1)


def before_its_start(name: str, doc: dict[str, Any]) -> Any:
    if name == "start":
        return [("stop", {"uid": "early", "run_start": doc["uid"]}), (name, doc)]
    return doc


class Hostile(NamedTuple):
    """What is wrong with a run, why documents are left out, and how many.

    Off the wire it may be more: there those of streams without images count too.
    """

    change: Change
    why: str
    left_out: int
    off_the_wire: int | None = None


NO_SHAPE = "no frames have the shape"
DOCUMENTS = {
    "1e12 pixels": Hostile(with_shape([10**6, 10**6]), NO_SHAPE, 7),
    "1e12 frames a point": Hostile(with_shape([10**12, 9, 9]), "frames at once", 7),
    "negative": Hostile(with_shape([-256, 256]), "descriptor", 7),
    "not a number": Hostile(with_shape([math.nan, 9]), "malformed 'descriptor'", 7),
    "1e300": Hostile(with_shape([1e300, 256]), NO_SHAPE, 7),
    "a billion references": Hostile(
        with_value("stream_datum", indices={"start": 0, "stop": 10**9}),
        "frames at once",
        3,
    ),
    "unknown descriptor": Hostile(
        with_value("event", descriptor="gone"), "never came", 6
    ),
    "a descriptor of itself": Hostile(
        lambda n, d: d | {"run_start": d["uid"]} if n == "descriptor" else d,
        "whose start never came",
        11,
    ),
    "a stop before its start": Hostile(before_its_start, "whose start never came", 1),
    "a stop of nobody": Hostile(with_value("stop", run_start="nobody"), "nobody", 1),
    "two starts": Hostile(twice("start"), "a second start", 1),
    "two descriptors": Hostile(twice("descriptor"), "a second descriptor", 2),
    "wild number": Hostile(
        with_value("event", seq_num=10**40), "malformed 'event'", 3, 6
    ),
    "infinite number": Hostile(
        with_value("event", seq_num=math.inf), "malformed 'event'", 3, 6
    ),
    "deep": Hostile(with_value("stream_resource", mimetype=DEEP), "malformed", 1),
    "in a circle": Hostile(
        with_value("descriptor", data_keys={"a": CIRCLE}), "malformed", 11
    ),
    "long": Hostile(
        with_value("stream_datum", descriptor="x" * 10**7), "never came", 3
    ),
    "keys that are no texts": Hostile(
        with_value("descriptor", data_keys={1: {"dtype": "array", "shape": [9, 9]}}),
        "malformed 'descriptor'",
        11,
    ),
}


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    with watching(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_hostile_documents_are_refused_with_the_reason(
    kind: str, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    change, why, left_out, _ = DOCUMENTS[kind]
    caplog.set_level(logging.ERROR)
    before = watch.agent.counters.malformed
    watch.take_changed(change)
    watch.still_works()
    assert watch.agent.counters.malformed - before == left_out
    assert why in caplog.text
    assert "Traceback" not in caplog.text
    assert max((len(r.getMessage()) for r in caplog.records), default=0) < 2000


def message(name: str, doc: dict[str, Any]) -> bytes:
    """As a stranger packs it: by msgpack, or by JSON what has no msgpack."""
    try:
        packed = msgpack.packb(
            doc | {"mimetype": b"?"} if DEEP in doc.values() else doc
        )
    except OverflowError:
        packed = json.dumps(doc).encode()
    deep = b"\x91" * 5000 + b"\x00"
    return b"raw " + name.encode() + b" " + packed.replace(b"\xc4\x01?", deep)


@pytest.fixture
def wire(watch: Watch) -> Iterator[tuple[zmq.Socket[bytes], ZmqSource]]:
    """A stranger's socket, and the source through which the agent hears it."""

    def gap(uid: str, why: str) -> None:
        for run in (uid,) if uid else source.open_runs:
            watch.agent.documents_lost(run, why)

    publisher = zmq.Context.instance().socket(zmq.XPUB)
    publisher.setsockopt(zmq.LINGER, 0)
    publisher.bind("tcp://127.0.0.1:*")
    address = publisher.getsockopt_string(zmq.LAST_ENDPOINT)
    stranger = logging.getLogger("stranger").error
    source = ZmqSource(address, watch.agent.feed, gap=gap, stranger=stranger)
    with source:
        assert publisher.poll(10_000)
        yield publisher, source
    publisher.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", sorted(DOCUMENTS.keys() - {"in a circle"}))
def test_hostile_documents_off_the_wire_lose_no_others(
    kind: str,
    watch: Watch,
    wire: tuple[zmq.Socket[bytes], ZmqSource],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each is left out and counted: when it is read, audited, or fed."""
    change, _, left_out, more = DOCUMENTS[kind]
    caplog.set_level(logging.WARNING)
    socket, source = wire
    before = watch.agent.counters.malformed
    hostile, good = watch.changed(change), watch.again()
    for name, doc in [*hostile, *good]:
        socket.send(message(name, doc))
    uid = good[0][1]["uid"]
    until = time.monotonic() + 30
    while len(watch.final_words(uid)) < FRAMES and time.monotonic() < until:
        time.sleep(0.01)
    assert watch.final_words(uid) == ["good"] * FRAMES
    assert watch.agent.wait_idle(60)
    came = source.counters
    left = came.undecodable + came.unknown + came.refused + came.strange
    assert came.received == came.fed + left == len(hostile) + len(good)
    assert caplog.records or not left  # the agent itself tells each reason once
    left += watch.agent.counters.malformed - before
    assert left == (more or left_out)
    assert "Traceback" not in caplog.text
    assert max((len(r.getMessage()) for r in caplog.records), default=0) < 2000


def test_a_run_whose_documents_come_twice_has_each_verdict_once(watch: Watch) -> None:
    found = watch.take_changed(lambda n, d: [(n, d)] * (1 if n == "event" else 2))
    assert sorted(v["raw_index"] for v in found if v["final"])[:FRAMES] == [0, 1, 2]
    watch.still_works()
