"""The one pass over the pixels of a frame, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import MASKED_CELL

__all__ = ["COUNTS", "MOMENTS", "NO_COUNT", "one_pass"]

TOTAL, SQUARES, MAXIMUM, ZEROS, SATURATED, PIXELS = range(6)
MOMENTS = 6
"""Columns of the moments, one row a cell."""

NEGATIVE, NON_FINITE, MARKED = range(3)
COUNTS = 3
"""Entries of the counts of a frame."""

NO_COUNT = 1e18
"""What is as large as this, or larger, is no number of counts: a counter of 1e9 photons
a second needs 30 years for it. Its square, and the sums of squares over any frame, are
finite; those of the doubles that a wrong byte order makes would not be.
"""


@numba.njit(nogil=True, cache=True)
def one_pass(
    frame: NDArray[np.generic],
    cell: NDArray[np.uint16],
    saturation: float,
    marker: float,
    signed: bool,
    moments: NDArray[np.float64],
    counts: NDArray[np.int64],
    missing: NDArray[np.int32],
) -> tuple[int, float]:
    """Accumulate moments (n_cells, 6), counts (3,); list the pixels a frame lacks.

    Gives the number of entries in ``missing`` and the sum of the positive counts under
    the mask. ``signed``: whether negative values are counts (dark-subtracted floats) or
    not; -1 and -2 are then markers only if no other value is negative (see ``Cake``).
    ``missing`` holds as many entries as the frame has pixels: it cannot truncate.
    Values that are not finite or not below ``NO_COUNT`` either side of 0 are no counts.
    """
    n_missing = 0
    masked_total = 0.0
    for i in range(frame.size):
        value = float(frame[i])
        c = cell[i]
        if c == MASKED_CELL:
            if 0.0 < value < NO_COUNT and value != marker:  # False for NaN
                masked_total += value
            continue
        if value == marker:
            counts[MARKED] += 1
            moments[c, SATURATED] += 1.0
            usable = False
        elif value in (-1.0, -2.0):  # gaps and dead pixels of a Pilatus
            counts[MARKED] += 1
            usable = False
        elif value < 0.0 and value > -NO_COUNT:
            counts[NEGATIVE] += 1
            usable = signed
        else:
            usable = value < NO_COUNT and value >= 0.0  # False for NaN
            counts[NON_FINITE] += not usable
        if not usable:
            missing[n_missing] = i
            n_missing += 1
            continue
        moments[c, TOTAL] += value
        moments[c, SQUARES] += value * value
        moments[c, PIXELS] += 1.0
        moments[c, MAXIMUM] = max(moments[c, MAXIMUM], value)
        if value == 0.0:
            moments[c, ZEROS] += 1.0
        elif value >= saturation:
            moments[c, SATURATED] += 1.0
    if signed and counts[NEGATIVE] > 0 and counts[MARKED] > 0:
        n_missing = _take_back(frame, cell, moments, counts, missing[:n_missing])
    return n_missing, masked_total


@numba.njit(nogil=True, cache=True)
def _take_back(
    frame: NDArray[np.generic],
    cell: NDArray[np.uint16],
    moments: NDArray[np.float64],
    counts: NDArray[np.int64],
    missing: NDArray[np.int32],
) -> int:
    """Count the pixels of -1 and -2 that were left out; how many stay missing."""
    n_missing = 0
    for i in missing:
        value = float(frame[i])
        if value not in (-1.0, -2.0):
            missing[n_missing] = i
            n_missing += 1
            continue
        counts[MARKED] -= 1
        counts[NEGATIVE] += 1
        moments[cell[i], TOTAL] += value
        moments[cell[i], SQUARES] += value * value
        moments[cell[i], PIXELS] += 1.0
    return n_missing
