"""What a record of a spool file holds: msgpack of [name, document], arrays as bytes.

An array is extension 1: [dtype, shape, bytes], of plain numbers only. No pickle.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

from ringwatch.agent.results import NamedDocument

__all__ = ["pack_payload", "unpack_payload"]

ARRAY = 1  # code of the extension


def pack_payload(name: str, doc: dict[str, Any]) -> bytes:
    """The payload of a document.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the document holds what has no place in a file.
    """
    return msgpack.packb([name, doc], default=_extended)


def unpack_payload(payload: bytes) -> NamedDocument:
    """The document of a payload.

    Raises
    ------
    TypeError, ValueError, RecursionError, msgpack.UnpackException
        If it is none.
    """
    name, doc = msgpack.unpackb(payload, ext_hook=_array)
    if not isinstance(name, str) or not isinstance(doc, dict):
        raise ValueError("a record is a name and a document")
    return name, doc


def _extended(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        told = [value.dtype.str, list(value.shape), value.tobytes()]
        return msgpack.ExtType(ARRAY, msgpack.packb(told))
    raise TypeError(
        f"{type(value).__name__} cannot go into a spool file; use plain data"
    )


def _array(code: int, data: bytes) -> np.ndarray[Any, Any]:
    dtype_name, shape, content = msgpack.unpackb(data)
    dtype = np.dtype(dtype_name)
    # Only plain numbers, and no more of them than there are bytes.
    if (
        code != ARRAY
        or dtype.kind not in "biuf"
        or any(n < 0 for n in shape)
        or math.prod(shape) * dtype.itemsize != len(content)
    ):
        raise ValueError(f"extension {code}: an array of impossible type or shape")
    return np.ndarray(shape, dtype, buffer=content)
