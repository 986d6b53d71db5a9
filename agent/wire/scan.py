"""One look over a payload before anything is made of it, compiled.

msgpack's reader makes a list as soon as it has read a length: a kilobyte of nested
headers makes it reserve gigabytes. So each header is checked here first; what passes
cannot ask for more than its limits, and nothing of it is allocated on the way.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["FAULTS", "MOST_DEPTH", "scan_json", "scan_msgpack"]

SOUND, CUT, DEEP, CROWDED, LONG_TEXT, LONG_BYTES, FOREIGN, TRAILING, BAD_KEY = range(9)

FAULTS = (
    "",
    "ends in the middle of a value",
    "is nested too deeply",
    "holds too many values",
    "has too long a text",
    "has too large an array",
    "holds an extension type; plain msgpack and arrays are taken",
    "goes on after its end",
    "has a key that is no text",
)
"""What is wrong, by the code that a scan gives."""

MOST_DEPTH = 64
"""Deepest nesting that can be asked for."""


QUOTE, BACKSLASH = ord('"'), ord("\\")
OPENING, CLOSING, BETWEEN = tuple(b"{["), tuple(b"}]"), tuple(b",:")

PLAIN, TEXT, BYTES, ARRAY, MAP, STRANGE = range(6)


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """What a first byte says (msgpack's specification, "Formats").

    Kind of the value, bytes of the length that follows, length told by itself.
    """
    kind, width, length = np.zeros((3, 256), np.uint8)
    kind[0x80:0x90], length[0x80:0x90] = MAP, np.arange(16)
    kind[0x90:0xA0], length[0x90:0xA0] = ARRAY, np.arange(16)
    kind[0xA0:0xC0], length[0xA0:0xC0] = TEXT, np.arange(32)
    kind[0xC4:0xC7], width[0xC4:0xC7] = BYTES, (1, 2, 4)
    kind[0xD9:0xDC], width[0xD9:0xDC] = TEXT, (1, 2, 4)
    kind[0xDC:0xDE], width[0xDC:0xDE] = ARRAY, (2, 4)
    kind[0xDE:0xE0], width[0xDE:0xE0] = MAP, (2, 4)
    length[0xCA:0xCC] = (4, 8)  # floats
    length[0xCC:0xD4] = (1, 2, 4, 8, 1, 2, 4, 8)  # whole numbers
    kind[0xC7:0xCA] = kind[0xD4:0xD9] = kind[0xC1] = STRANGE
    return kind, width, length


KIND, WIDTH, LENGTH = _tables()


@numba.njit(nogil=True, cache=True)
def _token(data: NDArray[np.uint8], at: int) -> tuple[int, int, int]:
    """What begins at ``at``: kind, bytes of its header, length; -1 where it is cut."""
    code = data[at]
    width = int(WIDTH[code])
    length = int(LENGTH[code])
    if at + 1 + width > data.size:
        return PLAIN, 1, -1
    for i in range(width):
        length = length * 256 + int(data[at + 1 + i])
    return int(KIND[code]), 1 + width, length


@numba.njit(nogil=True, cache=True)
def _blame(
    kind: int, length: int, rest: int, room: int, text: int, array: int, is_key: bool
) -> int:
    """What is wrong with a value, of which ``rest`` bytes and ``room`` values remain.

    Each value takes a byte at least: what cannot be there is not waited for.
    """
    fault = SOUND
    if kind == STRANGE:
        fault = FOREIGN
    elif is_key and kind not in (TEXT, BYTES):
        fault = BAD_KEY
    elif kind == TEXT and length > text:
        fault = LONG_TEXT
    elif kind == BYTES and length > array:
        fault = LONG_BYTES
    elif kind >= ARRAY and length * (kind - 2) > room:
        fault = CROWDED
    elif length < 0 or length * max(1, kind - 2) > rest:
        fault = CUT
    return fault


@numba.njit(nogil=True, cache=True)
def scan_msgpack(
    data: NDArray[np.uint8], depth: int, items: int, text: int, array: int
) -> tuple[int, int, bool]:
    """Check one msgpack value that fills ``data``.

    Parameters
    ----------
    data : (n,) uint8
    depth, items, text, array
        Most nesting (at most ``MOST_DEPTH``), values in all, bytes of a text, bytes of
        an array.

    Returns
    -------
    fault : int
        Index into ``FAULTS``; 0 for none.
    place : int
        Where, byte.
    arrays : bool
        Whether any map has keys of bytes, as msgpack_numpy's arrays have.
    """
    left = np.zeros(MOST_DEPTH + 1, np.int64)  # values that each open container lacks
    is_map = np.zeros(MOST_DEPTH + 1, np.bool_)
    left[0], level, at, arrays = 1, 0, 0, False
    while level >= 0:
        if left[level] == 0:
            level -= 1
            continue
        if at >= data.size:
            return CUT, at, arrays
        kind, header, length = _token(data, at)
        is_key = is_map[level] and left[level] % 2 == 0
        rest = data.size - at - header
        fault = _blame(kind, length, rest, items - 1, text, array, is_key)
        if fault or items == 0:
            return max(fault, CROWDED * (items == 0)), at, arrays
        arrays = arrays or (is_key and kind == BYTES)
        items -= 1
        left[level] -= 1
        at += header
        if kind < ARRAY:
            at += length
            continue
        level += 1
        if level >= depth:
            return DEEP, at, arrays
        left[level], is_map[level] = length * (kind - 2), kind == MAP
    return (SOUND if at == data.size else TRAILING), at, arrays


@numba.njit(nogil=True, cache=True)
def scan_json(
    data: NDArray[np.uint8], depth: int, items: int, text: int
) -> tuple[int, int]:
    """Check nesting, number of values and texts of a JSON value; see ``scan_msgpack``.

    Its grammar is left to the reader.
    """
    level, begun, inside, escaped = 0, 0, False, False
    for at in range(data.size):
        byte = data[at]
        if byte == QUOTE and not escaped:
            inside, begun = not inside, at
        elif inside:
            if at - begun > text:
                return LONG_TEXT, begun
        elif byte in OPENING:
            level, items = level + 1, items - 1
        elif byte in CLOSING:
            level -= 1
        elif byte in BETWEEN:
            items -= 1
        escaped = byte == BACKSLASH and inside and not escaped
        if level >= depth:
            return DEEP, at
        if items <= 0:
            return CROWDED, at
    return SOUND, 0
