"""The one pass over the pixels of a frame of integers, compiled.

Most pixels hold a number of counts below some ``limit``: they cost two additions and a
comparison, in integers, so that sums are exact. The others (saturated, marked invalid,
negative, very large) are listed, and looked at one by one afterwards.

Sums of a cell lie side by side in memory, those of one sector beside each other: along
a row of the detector the radius changes from pixel to pixel, the sector rarely.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.kernel import MARKED, NEGATIVE, NO_COUNT, NON_FINITE

__all__ = [
    "MOST_COUNTS",
    "RECORD",
    "SPARE_BITS",
    "add_cells",
    "add_rings",
    "settle",
    "unpack_cells",
    "unpack_rings",
]

Unsigned = NDArray[np.uint64]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RECORD = 4
"""Numbers of 8 bytes a cell: counts and zeros, squares, maximum, one to align."""

SPARE_BITS = 42
"""Bits of the counts' sum; the pixels that are 0 are counted in the bits above."""

MOST_COUNTS = 2**20
"""No more than this is summed in integers: squares of 2^21 such pixels fit 62 bits."""

_ZERO = np.uint64(1 << SPARE_BITS)
_SUM = np.uint64((1 << SPARE_BITS) - 1)
_ONE, _TWO = np.uint64(1), np.uint64(2)
_BLOCK = 8  # bins whose sectors are unpacked together: 64 bytes of each


@numba.njit(nogil=True, cache=True)
def add_cells(
    frame: NDArray[np.generic],
    place: NDArray[np.uint16],
    limit: np.uint64,
    records: Unsigned,
    odd: NDArray[np.int32],
) -> int:
    """Add a frame to the records of its cells; the number of pixels that are odd.

    Parameters
    ----------
    frame : (n,) integers
        Negative ones are odd, as they are large without their sign.
    place : (n,) uint16
        Number of the pixel's record.
    limit : uint64
        From here on a pixel is odd: it is listed and not added.
    records : (n_records * 4,) uint64
    odd : (n,) int32
        Gets the indices of the odd pixels.
    """
    found = 0
    for i in range(frame.size):
        value = np.uint64(frame[i])
        if value >= limit:
            odd[found] = i
            found += 1
            continue
        at = np.uint64(place[i]) << _TWO
        # 0 - 1 has all bits set, of which one is kept; of other values it is not set.
        records[at] += value + ((value - _ONE) & _ZERO)
        records[at + _ONE] += value * value
        records[at + _TWO] = max(records[at + _TWO], value)
    return found


@numba.njit(nogil=True, cache=True)
def unpack_cells(
    records: Unsigned,
    total: Floats,
    squares: Floats,
    maximum: Floats,
    zeros: Integers,
) -> float:
    """Write records as sums (n_q, n_sectors) and clear them; counts under the mask.

    The record of cell (q, s) is ``s * n_q + q``; the last one is that of the mask.
    """
    bins, sectors = total.shape
    for first in range(0, bins, _BLOCK):
        last = min(first + _BLOCK, bins)
        for s in range(sectors):
            at = (s * bins + first) * RECORD
            for b in range(first, last):
                packed = records[at]
                total[b, s] = np.float64(np.int64(packed & _SUM))
                zeros[b, s] = np.int64(packed >> np.uint64(SPARE_BITS))
                squares[b, s] = np.float64(np.int64(records[at + 1]))
                maximum[b, s] = np.float64(np.int64(records[at + 2]))
                records[at] = records[at + 1] = records[at + 2] = 0
                at += RECORD
    at = bins * sectors * RECORD
    masked = np.float64(np.int64(records[at] & _SUM))
    records[at] = records[at + 1] = records[at + 2] = 0
    return masked


@numba.njit(nogil=True, cache=True)
def add_rings(
    frame: NDArray[np.generic],
    ring: NDArray[np.uint16],
    limit: np.uint64,
    even: Unsigned,
    uneven: Unsigned,
    odd: NDArray[np.int32],
) -> int:
    """Add a frame to the sums of its rings; the number of pixels that are odd.

    As ``add_cells``, without squares and maximum. Neighbouring pixels go to two sums in
    turn: one would wait for its own last addition wherever they lie on one ring.
    """
    found = 0
    # Unsigned: a signed index would be asked each time whether it is negative.
    every = np.uint64(frame.size)
    pairs = every - (every & _ONE)
    i = np.uint64(0)
    while i < pairs:
        value = np.uint64(frame[i])
        if value < limit:
            even[ring[i]] += value + ((value - _ONE) & _ZERO)
        else:
            odd[found] = i
            found += 1
        value = np.uint64(frame[i + _ONE])
        if value < limit:
            uneven[ring[i + _ONE]] += value + ((value - _ONE) & _ZERO)
        else:
            odd[found] = i + _ONE
            found += 1
        i += _TWO
    if i < every:
        value = np.uint64(frame[i])
        if value < limit:
            even[ring[i]] += value + ((value - _ONE) & _ZERO)
        else:
            odd[found] = i
            found += 1
    return found


@numba.njit(nogil=True, cache=True)
def unpack_rings(
    even: Unsigned, uneven: Unsigned, total: Floats, zeros: Integers
) -> None:
    """Write the sums of rings as counts and zeros (n_q,), and clear them."""
    for b in range(even.size):
        packed = even[b] + uneven[b]
        even[b] = uneven[b] = 0
        if b < total.size:  # the last one is that of the mask
            total[b] = np.float64(np.int64(packed & _SUM))
            zeros[b] = np.int64(packed >> np.uint64(SPARE_BITS))


@numba.njit(nogil=True, cache=True)
def settle(
    frame: NDArray[np.generic],
    cell: NDArray[np.uint16],
    masked_cell: int,
    odd: NDArray[np.int32],
    saturation: float,
    marker: float,
    total: Floats,
    squares: Floats,
    maximum: Floats,
    saturated: Integers,
    counts: Integers,
) -> tuple[int, float]:
    """Say of odd pixels what they are, and add those that hold counts.

    What they mean is told by ``Cake``: a marker, or -1 and -2, of the detector; some
    other negative number; no number of counts; or counts, many of them.

    Parameters
    ----------
    frame : (n,) integers
    cell : (n,) uint16
    masked_cell : int
    odd : (m,) int32
        Indices of the odd pixels; those that hold no counts are moved to its front.
    saturation, marker : float
        Counts of a saturated pixel; value of an invalid one, NaN where there is none.
    total, squares, maximum : (n_cells,) float64
    saturated : (n_cells,) int64
    counts : (3,) int64

    Returns
    -------
    missing : int
        Pixels that hold no counts, the mask's apart.
    masked : float
        Counts of the odd pixels under the mask.
    """
    missing = 0
    masked = 0.0
    for k in range(odd.size):
        i = odd[k]
        value = float(frame[i])
        c = cell[i]
        if c == masked_cell:
            if 0.0 < value < NO_COUNT and value != marker:
                masked += value
            continue
        usable = False
        if value == marker:
            counts[MARKED] += 1
            saturated[c] += 1
        elif value in (-1.0, -2.0):  # gaps and dead pixels of a Pilatus
            counts[MARKED] += 1
        elif not -NO_COUNT < value < NO_COUNT:
            counts[NON_FINITE] += 1
        elif value < 0.0:
            counts[NEGATIVE] += 1
        else:
            usable = True
        if not usable:
            odd[missing] = i
            missing += 1
            continue
        total[c] += value
        squares[c] += value * value
        maximum[c] = max(maximum[c], value)
        if value >= saturation:
            saturated[c] += 1
    return missing, masked
