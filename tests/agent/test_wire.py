"""Messages: what is said comes back; what is hostile is refused before it costs."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to see it refused
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ringwatch.agent.wire.messages import (
    Limits,
    Message,
    PickledError,
    WireError,
    decode,
    encode,
)

from .wire_inputs import LIMITS, check, messages, rough_messages


def wrapped(payload: bytes) -> bytes:
    return b"raw event " + payload


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages())
def test_fuzz(message: bytes) -> None:
    check(message)


def test_rough_fuzz() -> None:
    """20,000 torn messages; ``make endure`` takes a million."""
    read = sum(map(check, islice(rough_messages(20261121), 20_000)))
    assert 2000 < read < 18_000


def test_the_fuzz_reaches_both_ends() -> None:
    """Of the inputs some are read and many refused: else it would show nothing."""
    outcomes = []

    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(messages())
    def run(message: bytes) -> None:
        outcomes.append(check(message))

    run()
    assert 15 < sum(outcomes) < len(outcomes) - 100


@pytest.mark.parametrize("kind", ["<u2", ">i4", "<f8", "|b1", "|u1", "<f2"])
def test_arrays_come_back(kind: str) -> None:
    sent = np.arange(12).reshape(3, 4).astype(kind)
    doc = {
        "data": {"image": sent, "n": np.float32(0.5), "texts": np.array(["ab", "c"])}
    }
    prefix, name, got = decode(wrapped(msgpack_numpy.packb(doc)))
    assert (prefix, name) == (b"raw", "event")
    assert got["data"]["image"].dtype == sent.dtype
    np.testing.assert_array_equal(got["data"]["image"], sent)
    assert got["data"]["n"] == 0.5
    assert got["data"]["texts"] == ["ab", "c"]


def test_what_the_sink_sends_is_read() -> None:
    doc = {"a": np.arange(3), "b": np.float32(0.5), "c": {"d": [None, True, -1, "x"]}}
    assert decode(encode("event", doc, b"")) == Message(
        b"", "event", {"a": [0, 1, 2], "b": 0.5, "c": {"d": [None, True, -1, "x"]}}
    )


def test_json_is_read() -> None:
    doc = {"uid": "ä", "time": 1.5, "quote": 'a "b" \\', "nested": [[1, 2], {"a": {}}]}
    for ascii_only in (True, False):
        payload = json.dumps(doc, ensure_ascii=ascii_only).encode()
        assert decode(wrapped(payload)).doc == doc


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_is_refused(protocol: int) -> None:
    with pytest.raises(WireError) as caught:
        decode(wrapped(pickle.dumps({"a": 1}, protocol=protocol)))
    if protocol >= 2:
        assert isinstance(caught.value, PickledError)
        assert "serializer=msgpack_numpy.packb" in str(caught.value)


def array(**changed: Any) -> dict[bytes, Any]:
    whole = {b"nd": True, b"type": "<u2", b"kind": b"", b"shape": [2], b"data": b"abcd"}
    return whole | {key.encode(): value for key, value in changed.items()}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "no payload"),
        (b"\x93\x01", "in the middle"),
        (b"\x01", "no document"),
        (b"\x80\x80", "after its end"),
        (b"\x81\x01\x02", "key that is no text"),
        (b"\x91" * 100, "nested too deeply"),
        (b'{"a":' * 100, "nested too deeply"),
        (b"\x81\xa1a\xc7\x08\x00" + bytes(8), "extension type"),
        (b"\xdd\x00\x4c\x4b\x40", "too many values"),
        (b"[" + b"1," * 10, "after its end"),
        (b'{"a":[' + b"1," * 6000, "too many values"),
        (b"\x81\xa1a\xda\x0f\xff" + b"x" * 4095, "too long a text"),
        (b'{"a":"' + b"x" * 5000, "too long a text"),
        (b'{"a":"\\ud800"}', "UnicodeEncodeError"),
        (b'{"a":' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"a":18446744073709551616}', "more than 64 bits"),
        (b"\x81\xa1a\xa1\xff", "UnicodeDecodeError"),
        (msgpack.packb({"a": {b"x": 1}}), "plain array"),
        (msgpack.packb({"a": array(type="|O")}), "numbers, booleans and texts"),
        (msgpack.packb({"a": array(kind=b"O")}), "plain array"),
        (msgpack.packb({"a": array(type="<M8[s]")}), "numbers, booleans and texts"),
        (msgpack.packb({"a": array(shape=[10**12])}), "impossible shape"),
        (msgpack.packb({"a": array(shape=[-1])}), "impossible shape"),
        (msgpack.packb({"a": array(shape=[1] * 9)}), "impossible shape"),
        (msgpack.packb({"a": array(shape=[1 << 30] * 8)}), "shape needs"),
        (msgpack.packb({"a": array(shape=[3])}), "needs 6 bytes, and 4 came"),
        (msgpack.packb({"a": array(shape=[0, 1 << 30, 1 << 30])}), "4 came"),
        (msgpack.packb({"a": array(data="abcd")}), "without type or data"),
        (
            msgpack.packb({"a": array(type="<U1", data=b"\xff" * 4, shape=[1])}),
            "Unicode",
        ),
        (msgpack_numpy.packb({"a": 1 + 2j}), "plain array"),
    ],
)
def test_refused_with_the_reason(payload: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        decode(wrapped(payload), LIMITS)


@pytest.mark.parametrize("message", [b"", b"abc", b"a b", b"x" * 5000, b" \xff {}"])
def test_no_message_of_bluesky(message: bytes) -> None:
    with pytest.raises(WireError):
        decode(message)


def test_large_message_is_refused_unread() -> None:
    with pytest.raises(WireError, match="300 bytes; 200 are taken"):
        decode(bytes(300), Limits(message_bytes=200))


FUZZING = Path(__file__).parents[1] / "endure" / "fuzzing"

BOMB = """
import sys
from guard import peak_kb
from ringwatch.agent.wire.messages import WireError, decode
decode(b" start \\x80")
decode(b' start {}')
before = peak_kb()
for payload in (
    b"\\xdd\\x00\\x1e\\x00\\x00" * 200_000,  # lists of 2 million in each other
    b"\\x81\\xa1a" + b"\\xdc\\xff\\xff" * 300_000,
    b"\\xdd\\x00\\x98\\x96\\x80" + b"\\x80" * 10_000_000,  # 10 million dictionaries
    b"[" * 1_000_000,
    b'{"a":[' + b"[]," * 5_000_000,
):
    try:
        decode(b"raw event " + payload)
    except WireError:
        continue
    sys.exit("read")
print(peak_kb() - before)
"""


def test_bombs_allocate_nothing() -> None:
    """In a process of its own: the peak of memory, kB, over five bombs of 30 MB."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BOMB],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(FUZZING)},
    )
    assert int(done.stdout) < 80_000
    assert time.monotonic() - begun < 60
