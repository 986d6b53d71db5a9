"""The pass over frames of few counts a pixel: all sums of a cell in one number.

Counts, their squares and the pixels that are 0 share 64 bits, each with as many as the
largest cell may need. So a pixel below some hundreds or thousands of counts costs one
addition, of a number looked up in a table, and a maximum; and the sums of all cells
take half the memory, which is what binds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["PACKED", "Packing", "add_packed", "add_some", "sum_some", "unpack_packed"]

Unsigned = NDArray[np.uint64]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PACKED = 2
"""Numbers of 8 bytes a cell: all sums, maximum."""

_MOST_BITS, _FEWEST_BITS = 12, 7  # of a count; the table stays in the first cache
_BLOCK = 8  # bins whose sectors are unpacked together: 64 bytes of each


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """How the sums of a cell share 64 bits: counts, squares above them, zeros.

    Attributes
    ----------
    table : (n,) uint64
        What a pixel of so many counts adds; counts of ``n`` or more are not packed.
    squares, zeros : uint64
        Bits at which these begin.
    """

    table: Unsigned
    squares: np.uint64
    zeros: np.uint64

    @classmethod
    def of(cls, most: int, limit: int) -> Self | None:
        """The packing that takes the largest counts; None where none takes many.

        Parameters
        ----------
        most : int
            Pixels of the largest cell.
        limit : int
            Counts from which on a pixel is looked at by itself anyhow.
        """
        for bits in range(_MOST_BITS, _FEWEST_BITS - 1, -1):
            top = min(1 << bits, limit) - 1
            squares = (most * top).bit_length()
            zeros = squares + (most * top * top).bit_length()
            if zeros + most.bit_length() <= 64:
                count = np.arange(top + 1, dtype=np.uint64)
                table = count + (count * count << np.uint64(squares))
                table[0] = 1 << zeros
                return cls(table, np.uint64(squares), np.uint64(zeros))
        return None


@numba.njit(nogil=True, cache=True)
def add_packed(
    frame: NDArray[np.generic],
    place: NDArray[np.uint16],
    table: Unsigned,
    records: Unsigned,
    odd: NDArray[np.int32],
) -> int:
    """Add a frame to the records of its cells; the number of pixels that are odd.

    As ``add_cells``; odd is what ``table`` does not reach. What stands in the record of
    the mask means nothing: it may overflow.
    """
    found = 0
    reach = np.uint64(table.size)
    for i in range(frame.size):
        value = np.uint64(frame[i])
        if value >= reach:
            odd[found] = i
            found += 1
            continue
        at = np.uint64(place[i]) << np.uint64(1)
        records[at] += table[value]
        highest = at + np.uint64(1)
        records[highest] = max(records[highest], value)
    return found


@numba.njit(nogil=True, cache=True)
def unpack_packed(
    records: Unsigned,
    squares_from: np.uint64,
    zeros_from: np.uint64,
    total: Floats,
    squares: Floats,
    maximum: Floats,
    zeros: Integers,
) -> None:
    """Write records as sums (n_q, n_sectors) and clear them, the mask's as well.

    The record of cell (q, s) is ``s * n_q + q``; the last one is that of the mask.
    """
    one = np.uint64(1)
    sums, powers = (one << squares_from) - one, (one << zeros_from - squares_from) - one
    bins, sectors = total.shape
    for first in range(0, bins, _BLOCK):
        last = min(first + _BLOCK, bins)
        for s in range(sectors):
            at = (s * bins + first) * PACKED
            for b in range(first, last):
                packed = records[at]
                total[b, s] = np.float64(np.int64(packed & sums))
                squares[b, s] = np.float64(np.int64(packed >> squares_from & powers))
                zeros[b, s] = np.int64(packed >> zeros_from)
                maximum[b, s] = np.float64(np.int64(records[at + 1]))
                records[at] = records[at + 1] = 0
                at += PACKED
    records[bins * sectors * PACKED :] = 0


@numba.njit(nogil=True, cache=True)
def add_some(
    frame: NDArray[np.generic],
    cell: NDArray[np.uint16],
    masked_cell: int,
    odd: NDArray[np.int32],
    limit: int,
    total: Floats,
    squares: Floats,
    maximum: Floats,
) -> int:
    """Add those of the odd pixels that hold less than ``limit`` counts to their cells.

    Exactly, as all sums of them are whole numbers below 2^53. The others stay in
    ``odd`` (m,), in front; gives how many. Sums are (n_q, n_sectors), as unpacked.
    """
    sums, powers, highest = total.reshape(-1), squares.reshape(-1), maximum.reshape(-1)
    left = 0
    for k in range(odd.size):
        i = odd[k]
        value = np.uint64(frame[i])
        if value >= np.uint64(limit):
            odd[left] = i
            left += 1
        elif cell[i] != masked_cell:
            counts, c = np.float64(np.int64(value)), cell[i]
            sums[c] += counts
            powers[c] += counts * counts
            highest[c] = max(highest[c], counts)
    return left


@numba.njit(nogil=True, cache=True)
def sum_some(
    frame: NDArray[np.generic], pixels: NDArray[np.int32], limit: int
) -> float:
    """Sum of those of some pixels (their indices) that are below ``limit`` counts."""
    below, total = np.uint64(limit), np.uint64(0)
    for k in range(pixels.size):
        value = np.uint64(frame[pixels[k]])
        total += value if value < below else np.uint64(0)
    return np.float64(np.int64(total))
