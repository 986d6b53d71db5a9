"""Block after block of a packed chunk, by their headers, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["count_blocks"]

_HEADER = 12  # size of the whole, 8 bytes, and of a block, 4
_FAULTS = ("", "a block reaches beyond its end", "something follows its last block")


def count_blocks(chunk: bytes | memoryview, size: int, block: int, item: int) -> str:
    """What is wrong with the blocks of a chunk, '' for nothing.

    Parameters
    ----------
    chunk : bytes-like
        As LZ4's filter writes it (``item`` 0), or bitshuffle's.
    size : int
        Bytes unpacked.
    block : int
        Bytes of a block unpacked.
    item : int
        Bytes of an element. Bitshuffle packs elements by eights; what is left over
        stands at the end as it was.
    """
    rest = 0
    if item:
        rest = size // item % 8 * item + size % item
    data = np.frombuffer(chunk, np.uint8)
    return _FAULTS[_walk(data, -(-(size - rest) // block), rest)]


@numba.njit(nogil=True, cache=True)
def _walk(data: NDArray[np.uint8], blocks: int, rest: int) -> int:
    """Step over so many blocks, each after four bytes that tell its length."""
    at = _HEADER
    for _ in range(blocks):
        if at + 4 > data.size:
            return 1
        length = 0
        for i in range(4):
            length = length * 256 + int(data[at + i])
        at += 4 + length
        if at > data.size:
            return 1
    return 0 if at + rest == data.size else 1 + (at + rest < data.size)
