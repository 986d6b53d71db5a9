"""How numbers travel to a browser: one header in JSON, then arrays as they are.

``u32`` length of the header, little-endian; the header, padded with blanks so that what
follows is aligned; the arrays that its ``parts`` name, one after another, each padded
with zeros to four bytes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Parts", "jsonable", "pack"]

Parts = Mapping[str, NDArray[Any]]
"""Arrays by name, of float32 or uint8."""

_KINDS = {"f4": "<f4", "u1": "u1"}


def pack(header: Mapping[str, Any], parts: Parts) -> bytes:
    """One message.

    Parameters
    ----------
    header : mapping
        Fit for JSON, see ``jsonable``.
    parts : mapping of str to ndarray
        Each becomes float32, or stays uint8.
    """
    told, chunks = [], []
    for name, array in parts.items():
        kind = "u1" if array.dtype == np.uint8 else "f4"
        data = np.ascontiguousarray(array, dtype=_KINDS[kind]).tobytes()
        told.append([name, kind, list(array.shape)])
        chunks.append(data + bytes(-len(data) % 4))
    head = json.dumps({**header, "parts": told}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    return b"".join((struct.pack("<I", len(head)), head, *chunks))


def jsonable(value: Any) -> Any:
    """``value`` as JSON has it: None for what is no finite number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value
