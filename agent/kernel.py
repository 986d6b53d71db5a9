"""The one pass over the pixels of a frame of floating point numbers, compiled.

It also says, in full, what each value of a pixel means; ``integer_kernel`` does the
same for counts as detectors write them, several times as fast.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import MASKED_CELL

__all__ = ["COUNTS", "MARKED", "NEGATIVE", "NON_FINITE", "NO_COUNT", "one_pass"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

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
    total: Floats,
    squares: Floats,
    maximum: Floats,
    zeros: Integers,
    saturated: Integers,
    pixels: Integers,
    counts: Integers,
    missing: NDArray[np.int32],
) -> tuple[int, float]:
    """Add a frame to sums of its cells (n_cells,) and counts (3,); list what it lacks.

    Gives the number of entries in ``missing`` and the sum of the positive counts under
    the mask. Negative values are counts (of frames whose dark was subtracted); -1 and
    -2 are then markers only if no other value is negative (see ``Cake``). ``missing``
    holds as many entries as the frame has pixels: it cannot truncate. Values that are
    not finite or not below ``NO_COUNT`` either side of 0 are no counts.
    """
    n_missing = 0
    masked_total = 0.0
    for i in range(frame.size):
        value = float(frame[i])
        c = cell[i]
        if c == MASKED_CELL:
            if 0.0 < value < NO_COUNT:  # False for NaN
                masked_total += value
            continue
        if value in (-1.0, -2.0):  # gaps and dead pixels of a Pilatus
            counts[MARKED] += 1
            usable = False
        elif value < 0.0 and value > -NO_COUNT:
            counts[NEGATIVE] += 1
            usable = True
        else:
            usable = value < NO_COUNT and value >= 0.0  # False for NaN
            counts[NON_FINITE] += not usable
        if not usable:
            missing[n_missing] = i
            n_missing += 1
            continue
        total[c] += value
        squares[c] += value * value
        pixels[c] += 1
        maximum[c] = max(maximum[c], value)
        if value == 0.0:
            zeros[c] += 1
        elif value >= saturation:
            saturated[c] += 1
    if counts[NEGATIVE] > 0 and counts[MARKED] > 0:
        n_missing = _take_back(
            frame, cell, total, squares, pixels, counts, missing[:n_missing]
        )
    return n_missing, masked_total


@numba.njit(nogil=True, cache=True)
def _take_back(
    frame: NDArray[np.generic],
    cell: NDArray[np.uint16],
    total: Floats,
    squares: Floats,
    pixels: Integers,
    counts: Integers,
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
        total[cell[i]] += value
        squares[cell[i]] += value * value
        pixels[cell[i]] += 1
    return n_missing
