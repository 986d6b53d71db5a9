"""Bluesky documents as msgpack, for messages; nothing is pickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np

__all__ = ["LARGE_BYTES", "UNSENDABLE", "large_bytes", "pack", "shallow"]

LARGE_BYTES = 1 << 16
"""Arrays of so many bytes in one event are not encoded by the RunEngine's thread."""

UNSENDABLE = (TypeError, ValueError, OverflowError, AttributeError, LookupError)
"""What ``pack`` and ``large_bytes`` may raise."""


def pack(doc: dict[str, Any]) -> bytes:
    """Say a document in msgpack, arrays in the form of msgpack_numpy."""
    if not isinstance(doc, Mapping):
        raise TypeError(f"a {type(doc).__name__} is no document")
    packed: bytes = msgpack.packb(doc, default=_plain)
    return packed


def _plain(value: object) -> object:
    """What msgpack can say for what a document may hold."""
    if isinstance(value, np.ndarray | np.generic):
        # msgpack_numpy would pickle arrays of objects.
        if value.dtype.kind in "biuf":
            return msgpack_numpy.encode(value)
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot go into a document; use plain data")


def large_bytes(doc: dict[str, Any]) -> int:
    """Count the bytes of the arrays of an event where they are many, else 0."""
    total = 0
    for value in doc["data"].values():
        column = value if isinstance(value, list) else (value,)
        total += sum(v.nbytes for v in column if isinstance(v, np.ndarray))
    return total if total >= LARGE_BYTES else 0


def shallow(doc: dict[str, Any]) -> dict[str, Any]:
    """Copy a document and the dictionaries in it, arrays not."""
    return {k: dict(v) if isinstance(v, dict) else v for k, v in doc.items()}
