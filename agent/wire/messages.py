"""Documents on the wire: ``prefix name payload``, as ``bluesky.callbacks.zmq`` sends.

One space between the three; the payload is msgpack, arrays in msgpack_numpy's form or
as lists, or JSON in UTF-8. Nothing is unpickled. A sender is not trusted: what a
payload asks for is checked before anything is allocated.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack
import numpy as np
from event_model import DocumentNames
from numpy.typing import NDArray

from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.wire.scan import (
    FAULTS,
    MOST_DEPTH,
    scan_json,
    scan_msgpack,
)

__all__ = [
    "DOCUMENT_NAMES",
    "Limits",
    "Message",
    "PickledError",
    "WireError",
    "decode",
    "encode",
]

DOCUMENT_NAMES = frozenset(DocumentNames.__members__)
"""Names of documents that Bluesky knows."""

_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_TEXTS = re.compile(r"[<>|=]?U[1-9][0-9]{0,3}")
_ARRAY_KEYS = frozenset({b"nd", b"type", b"kind", b"shape", b"data"})
_BRACE = ord("{")
_PICKLE_PROTOCOLS = range(2, 6)
_BROKEN = (
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
    msgpack.UnpackException,
)


class WireError(RingwatchError):
    """A message cannot be read: malformed, too large, or of a form not taken."""


class PickledError(WireError):
    """A message is pickled; reading it could run anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a message may ask for.

    Attributes
    ----------
    message_bytes : int
        The whole message.
    json_bytes : int
        A payload in JSON, whose values take ten times their bytes in memory.
    depth : int
        Containers within each other, at most 64.
    items : int
        Values in all; keys and containers count.
    text_bytes : int
        One text.
    array_bytes : int
        One array.
    dimensions : int
        Of an array.
    """

    message_bytes: int = 1 << 28
    json_bytes: int = 1 << 24
    depth: int = 32
    items: int = 2_000_000
    text_bytes: int = 1 << 20
    array_bytes: int = 1 << 28
    dimensions: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= MOST_DEPTH:
            raise WireError(f"depth {self.depth}: 1 to {MOST_DEPTH} is possible")


class Message(NamedTuple):
    """A document and how it was addressed."""

    prefix: bytes
    name: str
    doc: dict[str, Any]


_DEFAULT_LIMITS = Limits()


def encode(name: str, doc: dict[str, Any], prefix: bytes = b"ringwatch") -> bytes:
    """The message for one document: prefix, name and msgpack, joined by spaces.

    Arrays become lists, numpy scalars plain numbers, so that a listener needs msgpack
    alone. NaN stays NaN: msgpack carries IEEE doubles.

    Raises
    ------
    TypeError
        If the document holds something that msgpack has no word for.
    """
    return b" ".join([prefix, name.encode(), msgpack.packb(doc, default=_listed)])


def decode(message: bytes, limits: Limits = _DEFAULT_LIMITS) -> Message:
    """Read a message.

    Arrays come read-only, over the bytes of the message; arrays of texts as lists.

    Raises
    ------
    PickledError
        Where the payload is pickled.
    WireError
        Where anything else is wrong with it. The text has no content of the message
        but the name.
    """
    if len(message) > limits.message_bytes:
        raise WireError(
            f"a message of {len(message)} bytes; {limits.message_bytes} are taken"
        )
    first = message.find(b" ", 0, 256)
    second = message.find(b" ", first + 1, first + 34)
    if first < 0 or second < 0:
        raise WireError(
            "a message without prefix, name and payload: no Bluesky message"
        )
    try:
        name = message[first + 1 : second].decode("ascii")
    except UnicodeDecodeError as error:
        raise WireError("a message whose name is not ASCII") from error
    payload = memoryview(message)[second + 1 :]
    try:
        doc = _read(payload, limits)
    except WireError as error:
        raise type(error)(f"a message {name[:32]!r} {error}") from error
    except _BROKEN as error:
        kind = type(error).__name__
        raise WireError(f"a message {name[:32]!r} cannot be read ({kind})") from error
    if not isinstance(doc, dict):
        raise WireError(f"a message {name[:32]!r} is no document but a value")
    return Message(message[:first], name, doc)


def _read(payload: memoryview, limits: Limits) -> object:
    if not payload:
        raise WireError("has no payload")
    if len(payload) > 1 and payload[0] == 0x80 and payload[1] in _PICKLE_PROTOCOLS:
        raise PickledError(
            "is pickled, and pickles are not read: give the publisher "
            "serializer=msgpack_numpy.packb, or use ringwatch.plans.publisher"
        )
    data = np.frombuffer(payload, np.uint8)
    if payload[0] == _BRACE:
        if len(payload) > limits.json_bytes:
            raise WireError(
                f"has {len(payload)} bytes of JSON; {limits.json_bytes} are taken, "
                "arrays belong into msgpack"
            )
        _refuse(*scan_json(data, limits.depth, limits.items, limits.text_bytes))
        text = str(payload, "utf-8")
        doc = json.loads(text, parse_int=_whole)
        if "\\u" in text:  # half of a surrogate pair cannot be written anywhere
            json.dumps(doc, ensure_ascii=False).encode()
        return doc
    fault, place, arrays = scan_msgpack(
        data, limits.depth, limits.items, limits.text_bytes, limits.array_bytes
    )
    _refuse(fault, place)
    hook = None
    if arrays:

        def hook(found: dict[Any, Any]) -> object:
            return _array_or_map(found, limits)

    return msgpack.unpackb(payload, object_hook=hook)


def _whole(digits: str) -> int:
    value = int(digits)
    if not -(1 << 63) <= value < 1 << 64:  # msgpack could not pass it on
        raise WireError("has a whole number of more than 64 bits")
    return value


def _refuse(fault: int, place: int) -> None:
    if fault:
        raise WireError(f"{FAULTS[fault]} (byte {place})")


def _array_or_map(found: dict[Any, Any], limits: Limits) -> object:
    """A map as it is, or the array that it stands for."""
    if not any(isinstance(key, bytes) for key in found):
        return found
    if not found.keys() <= _ARRAY_KEYS or found.get(b"kind", b"") != b"":
        raise WireError("has a map that is neither text to value nor a plain array")
    kind, data = found.get(b"type"), found.get(b"data")
    if not isinstance(kind, str) or not isinstance(data, bytes):
        raise WireError("has an array without type or data")
    if found.get(b"nd") is False:
        kind = kind if _NUMBERS.fullmatch(kind) else "?"
        return _shaped(data, kind, [], limits).item()
    shape = found.get(b"shape")
    if found.get(b"nd") is not True or not isinstance(shape, list):
        raise WireError("has an array without shape")
    if _TEXTS.fullmatch(kind):
        return _texts(_shaped(data, kind, shape, limits), data)
    return _shaped(data, kind, shape, limits)


def _shaped(
    data: bytes, kind: str, shape: list[Any], limits: Limits
) -> NDArray[np.generic]:
    if not (_NUMBERS.fullmatch(kind) or _TEXTS.fullmatch(kind)):
        raise WireError(
            f"has an array of {kind[:20]!r}; numbers, booleans and texts are taken"
        )
    if len(shape) > limits.dimensions or not all(
        type(length) is int and 0 <= length < 1 << 31 for length in shape
    ):
        raise WireError("has an array of an impossible shape")
    dtype = np.dtype(kind)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != len(data):
        raise WireError(
            f"has an array whose shape needs {wanted} bytes, and {len(data)} came"
        )
    if not wanted:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape)


def _texts(array: NDArray[np.generic], data: bytes) -> object:
    """The texts of an array as a list; numpy would crash over impossible letters."""
    letters = np.frombuffer(data, np.dtype("u4").newbyteorder(array.dtype.byteorder))
    if ((letters > 0x10FFFF) | ((letters >= 0xD800) & (letters < 0xE000))).any():
        raise WireError("has an array of texts that are no Unicode")
    return array.tolist()


def _listed(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot go into a document; use plain data")
