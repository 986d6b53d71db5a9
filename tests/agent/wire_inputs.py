"""Hostile and honest messages, for as many examples as anyone likes.

``messages()`` is a hypothesis strategy: some hundreds a second. ``rough_messages()``
gives ten thousand a second, without end: honest ones, torn and spliced. ``check(m)``
says what must hold of each.
"""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - to see it refused
import random
import struct
from collections.abc import Iterator
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
from hypothesis import strategies as st

from ringwatch.agent.wire.messages import (
    DOCUMENT_NAMES,
    Limits,
    WireError,
    decode,
)

LIMITS = Limits(
    message_bytes=1 << 16, json_bytes=1 << 14, items=5000, text_bytes=2000, depth=20
)


def plain() -> st.SearchStrategy[Any]:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 64) - 1)
        | st.floats()
        | st.text(max_size=40)
        | st.binary(max_size=40)
    )
    arrays = st.builds(
        lambda kind, shape: np.zeros(shape, kind),
        st.sampled_from(["<u2", ">f4", "|b1", "<i8", "<U3"]),
        st.lists(st.integers(0, 4), max_size=3),
    )
    return st.recursive(
        scalars | arrays,
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.text(max_size=10), inner, max_size=5)
        ),
        max_leaves=15,
    )


def documents() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.text(max_size=12), plain(), max_size=8)


def false_arrays() -> st.SearchStrategy[dict[str, Any]]:
    """Arrays that lie about their type, shape or data."""
    kinds = st.sampled_from(
        ["<u2", "|O", "O", "<M8[s]", "|V8", "<U9999", "<f16", "", 7]
    )
    lengths = st.integers(-3, 5) | st.sampled_from([1 << 31, 1 << 62, 10**12, 1.5, "3"])
    return st.fixed_dictionaries(
        {
            "array": st.fixed_dictionaries(
                {b"nd": st.sampled_from([True, False, 1, None]), b"type": kinds},
                optional={
                    b"kind": st.sampled_from([b"", b"O", b"V", "", 0]),
                    b"shape": st.lists(lengths, max_size=10) | st.none(),
                    b"data": st.binary(max_size=24) | st.text(max_size=3),
                    b"complex": st.booleans(),
                },
            )
        }
    )


def bombs() -> st.SearchStrategy[bytes]:
    """Headers that promise more than there is, one within another."""
    header = st.sampled_from([0xDD, 0xDF, 0xC6, 0xDB, 0xC9]).flatmap(
        lambda code: st.integers(0, 0xFFFFFFFF).map(
            lambda n: bytes([code]) + struct.pack(">I", n)
        )
    )
    nested = st.tuples(
        st.sampled_from([b"\x91", b"\x81\xa1a", b"[", b'{"a":']), st.integers(1, 4000)
    ).map(lambda pair: pair[0] * pair[1])
    return st.lists(header | nested, min_size=1, max_size=50).map(b"".join)


def mutated(payload: bytes) -> st.SearchStrategy[bytes]:
    """A payload with some bytes changed, and perhaps cut."""
    places = st.dictionaries(
        st.integers(0, max(0, len(payload) - 1)), st.integers(0, 255), max_size=6
    )

    def change(at: dict[int, int], cut: int) -> bytes:
        changed = bytearray(payload)
        for place, byte in at.items():
            changed[place] = byte
        return bytes(changed[: len(changed) - cut])

    return st.builds(change, places, st.sampled_from([0, 0, 0, 1, 3]))


def payloads() -> st.SearchStrategy[bytes]:
    packed = (documents() | false_arrays()).map(msgpack_numpy.packb)
    jsons = st.dictionaries(
        st.text(max_size=10), st.floats() | st.text() | st.lists(st.integers())
    ).map(lambda doc: json.dumps(doc).encode())
    pickles = st.integers(0, 5).map(lambda p: pickle.dumps({"a": [1]}, protocol=p))
    honest = packed | jsons
    noise = st.binary(max_size=200)
    return st.one_of(honest, honest.flatmap(mutated), bombs(), pickles, noise)


def messages() -> st.SearchStrategy[bytes]:
    heads = st.builds(
        lambda prefix, name: prefix + b" " + name.encode() + b" ",
        st.sampled_from([b"", b"raw", b"\xff" * 10]),
        st.sampled_from(sorted(DOCUMENT_NAMES)) | st.text(max_size=5),
    )
    whole = st.builds(bytes.__add__, heads, payloads())
    return st.one_of(whole, whole, whole, st.binary(max_size=300))


HEADS = (b"\xdd\xff\xff\xff\xff", b"\xdf\x00\x01\x00\x00", b"\xc6\x7f\xff\xff\xff")
ODD = (
    *HEADS,
    b"\x91" * 40,
    b"\x81\xa1a" * 40,
    b"[" * 40,
    b"\xc4\x02nd\xc3",
    b"\xc7",
    b"\\",
)


def honest_messages() -> list[bytes]:
    """One of each kind, arrays, texts, numbers, JSON."""
    run = {"uid": "u" * 36, "time": 1.5e9, "plan_args": {"num": 5, "list": [1, None]}}
    event = {
        "descriptor": "d" * 36,
        "seq_num": 70000,
        "data": {
            "image": np.arange(12, dtype=np.uint16).reshape(1, 3, 4),
            "x": np.float64(0.5),
            "words": np.array(["ab", "\u00e4"]),
            "list": list(range(40)),
            "text": "\u00e4" * 300,
        },
    }
    datum = {"indices": {"start": 0, "stop": 1 << 40}, "seq_nums": {"start": -1}}
    packed = [msgpack_numpy.packb(doc) for doc in (run, event, datum)]
    return [b"raw start " + p for p in (*packed, json.dumps(run).encode())]


def rough_messages(seed: int) -> Iterator[bytes]:
    """Without end: honest messages of which bytes were changed, cut out or put in."""
    rng = random.Random(seed)
    whole = honest_messages()
    while True:
        message = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(message) + 1)
            change = rng.random()
            if change < 0.6:
                message[place : place + 1] = bytes([rng.randrange(256)])
            elif change < 0.75:
                message[place:place] = rng.choice(ODD)
            elif change < 0.9:
                del message[place : place + rng.randrange(1, 20)]
            else:
                other = rng.choice(whole)
                message[place:] = other[rng.randrange(len(other)) :]
        yield bytes(message)


def packed(name: str, doc: dict[str, Any]) -> bytes:
    """The message for a document, arrays as they are."""
    return b"raw " + name.encode() + b" " + msgpack_numpy.packb(doc)


def check(message: bytes, limits: Limits = LIMITS) -> bool:
    """Whether it was read; what was read keeps all limits. Raises nothing else."""
    return read(message, limits) is not None


def read(message: bytes, limits: Limits = LIMITS) -> tuple[str, dict[str, Any]] | None:
    """Name and document of a message; None where it was refused. As ``check``."""
    try:
        found = decode(message, limits)
    except WireError as error:
        assert len(str(error)) < 400  # noqa: PT017
        return None
    assert isinstance(found.doc, dict)
    left = [(found.doc, 1)]
    values = 0
    while left:
        value, depth = left.pop()
        values += 1
        assert depth <= limits.depth
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            left += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            left += [(inner, depth + 1) for inner in value]
        elif isinstance(value, np.ndarray):
            assert value.dtype.kind in "biuf"
            assert value.nbytes <= len(message)
    # Texts of an array become a list, whose values take four bytes each at least.
    assert values <= limits.items + len(message) // 4
    msgpack.packb(found.doc, default=msgpack_numpy.encode)
    return found.name, found.doc
