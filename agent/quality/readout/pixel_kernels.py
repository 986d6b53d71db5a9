"""Passes over the cells of a cake for the flags of the readout, compiled.

Sums run by columns: each sector has its own, so that eight are added at once without
changing the order of any sum.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLANK",
    "FLAT",
    "FLAT_PIXELS",
    "cells_below",
    "constant_pixels",
    "dim_pixels",
    "empty_pixels",
    "lit_ratio",
    "sum_up",
]

_OWN_SHARE = 0.4  # of the expected counts, that the frame's other sectors must hold

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLAT_PIXELS = 6
"""Pixels that a cell must hold for their scatter to be missed."""

BLANK = 0.9
"""Share of empty pixels in a cell of the reference that proves no light there."""

FLAT = 5.0
"""Counts per pixel; so many never scatter by nothing."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_up(
    pixels: Ints, total: Floats, maximum: Floats, saturated: Ints
) -> tuple[int, float, float, float, int, int, int, int]:
    """Fields of ``Totals``, in their order; all arrays (n_q, 32)."""
    bins, sectors = pixels.shape
    every = clipped = 0
    counts, brightest, top, at_top, flat, empty = range(6)
    found = np.zeros((6, sectors))
    for i in range(bins):
        for s in range(sectors):
            every += pixels[i, s]
            clipped += saturated[i, s]
        for s in range(sectors):
            n, t, m = pixels[i, s], total[i, s], maximum[i, s]
            found[counts, s] += t
            found[brightest, s] = t if t > found[brightest, s] else found[brightest, s]
            again = found[at_top, s] + (1.0 if m == found[top, s] else 0.0)
            found[at_top, s] = 1.0 if m > found[top, s] else again
            found[top, s] = m if m > found[top, s] else found[top, s]
            same = (m * n == t) & (n >= FLAT_PIXELS) & (m >= FLAT)
            found[flat, s] += 1.0 if same else 0.0
            found[empty, s] += 1.0 if (n > 0) & (t == 0.0) else 0.0
    highest = found[top].max()
    reached = 0.0
    for s in range(sectors):
        if found[top, s] == highest:
            reached += found[at_top, s]
    return (
        every,
        found[counts].sum(),
        found[brightest].max(),
        highest,
        int(reached),
        clipped,
        int(found[flat].sum()),
        int(found[empty].sum()),
    )


@numba.njit(nogil=True, cache=True)
def constant_pixels(
    pixels: Ints, total: Floats, maximum: Floats, saturated: Ints, top: float
) -> int:
    """Pixels in cells that do not scatter at all.

    A clipped ring is flat as well: cells at the frame's largest value ``top`` do not
    count, unless all cells have it. All arrays (n_q, 32).
    """
    every = True
    flat = at_top = 0
    for i in range(pixels.shape[0]):
        for s in range(pixels.shape[1]):
            n, m = pixels[i, s], maximum[i, s]
            if n == 0:
                continue
            if m != top:
                every = False
            if n < FLAT_PIXELS or saturated[i, s] or m * n != total[i, s] or m < FLAT:
                continue
            if m < top:
                flat += n
            else:
                at_top += n
    return flat + at_top if every else flat


@numba.njit(nogil=True, cache=True)
def cells_below(maximum: Floats, top: float) -> int:
    """Cells whose largest value is at most 3 sqrt(top) below ``top``, above 0."""
    least = top - 3.0 * math.sqrt(top)
    found = 0
    for i in range(maximum.shape[0]):
        for s in range(maximum.shape[1]):
            found += (maximum[i, s] >= least) & (maximum[i, s] < top)
    return found


@numba.njit(nogil=True, cache=True, error_model="numpy")
def lit_ratio(pixels: Ints, total: Floats, counts: Floats) -> float:
    """Counts over those of a reference (``counts`` a pixel), where there are any."""
    bins, sectors = pixels.shape
    found = np.zeros((2, sectors))
    for i in range(bins):
        for s in range(sectors):
            lit = total[i, s] > 0.0
            found[0, s] += total[i, s] if lit else 0.0
            found[1, s] += counts[i, s] * pixels[i, s] if lit else 0.0
    now, before = found[0].sum(), found[1].sum()
    return now / before if before > 0.0 else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def dim_pixels(pixels: Ints, total: Floats, half: int, dark: float) -> Floats:
    """Most pixels of each sector (32,) that a stretch of ``empty_pixels`` may hold.

    Nearly every frame has few: that takes ``half + 1`` cells in a row (what is left of
    a stretch at the end of the radius) with no more than ``dark`` counts each. Infinite
    where counts below zero may hide others.
    """
    bins, sectors = pixels.shape
    least = min(half + 1, bins)
    run, held, most = range(3)
    found = np.zeros((3, sectors))
    for i in range(bins):
        for s in range(sectors):
            n, t = pixels[i, s], total[i, s]
            low = 1.0 if t <= dark else 0.0
            length = low * (found[run, s] + 1.0)
            dim = low * (found[held, s] + n)
            found[run, s], found[held, s] = length, dim
            dim = dim if length >= least else 0.0
            dim = np.inf if t < 0.0 else dim
            found[most, s] = dim if dim > found[most, s] else found[most, s]
    return found[most]


@numba.njit(nogil=True, cache=True)
def empty_pixels(
    pixels: Ints,
    total: Floats,
    level: Floats,
    empty: Floats,
    bright: float,
    half: int,
    expected: float,
    dark: float,
    columns: Ints,
    own: Floats,
) -> int:
    """Pixels of 0 in stretches of ``2 half + 1`` bins that are empty against all odds.

    Parameters
    ----------
    pixels, total : (n_q, 32)
    level : (n_q, 32) or (n_q, 1) float64
        Counts a pixel that are expected, times ``bright``.
    empty : (n_q, 32) float64
        Share of empty pixels in the reference; nothing is expected where nearly all
        are.
    bright : float
    half : int
        Bins; beyond the ends the outermost bin is repeated.
    expected : float
        Counts in a stretch from which on none is no chance.
    dark : float
        Counts a stretch that are none.
    columns : (n,) int64
        Sectors to look at, those that ``dim_pixels`` leaves.
    own : (n_q,) float64
        Counts a pixel that other sectors of this frame hold. Where they hold next to
        nothing another sample may have no ring there: ten times as much must be
        expected then.
    """
    n, sectors = pixels.shape[0], columns.size
    due, held = np.empty((n, sectors)), np.empty((n, sectors))
    for i in range(n):
        for c in range(sectors):
            s = columns[c]
            known = level[i, min(s, level.shape[1] - 1)]
            blank = empty.shape[0] > 0 and empty[i, s] >= BLANK
            due[i, c] = 0.0 if blank else known * bright * pixels[i, s]
            held[i, c] = own[i] * pixels[i, s]
    seen_sum, due_sum, own_sum = np.zeros((3, sectors))
    for k in range(-half, half + 1):
        i = min(max(k, 0), n - 1)
        for c in range(sectors):
            seen_sum[c] += total[i, columns[c]]
            due_sum[c] += due[i, c]
            own_sum[c] += held[i, c]
    counted = np.full(sectors, -1)  # last bin that was counted
    found = 0
    for i in range(n):
        old, new = max(i - half, 0), min(i + half + 1, n - 1)
        for c in range(sectors):
            s = columns[c]
            odds = (
                due_sum[c] if own_sum[c] > _OWN_SHARE * expected else 0.1 * due_sum[c]
            )
            if seen_sum[c] <= dark and odds > expected:
                first = max(i - half, counted[c] + 1)
                for k in range(first, min(i + half, n - 1) + 1):
                    if total[k, s] == 0.0:
                        found += pixels[k, s]
                counted[c] = max(counted[c], min(i + half, n - 1))
            seen_sum[c] += total[new, s] - total[old, s]
            due_sum[c] += due[new, c] - due[old, c]
            own_sum[c] += held[new, c] - held[old, c]
    return found
