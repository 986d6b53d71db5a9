"""Passes over the cells of a cake for the flags of the readout, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["constant_pixels", "empty_pixels", "lit_ratio", "plateau_cells"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@numba.njit(nogil=True, cache=True)
def constant_pixels(
    pixels: Ints,
    total: Floats,
    maximum: Floats,
    saturated: Ints,
    least_pixels: int,
    least_level: float,
) -> tuple[int, float]:
    """Pixels in cells that do not scatter at all, and the frame's largest value.

    A clipped ring is flat as well: cells at the frame's largest value do not count,
    unless all cells have it. All arrays (n_q, 32).
    """
    top, every = 0.0, True
    for i in range(pixels.shape[0]):
        for s in range(pixels.shape[1]):
            top = max(top, maximum[i, s])
    flat = 0
    at_top = 0
    for i in range(pixels.shape[0]):
        for s in range(pixels.shape[1]):
            n = pixels[i, s]
            if n == 0:
                continue
            if maximum[i, s] != top:
                every = False
            if n < least_pixels or saturated[i, s] or maximum[i, s] * n != total[i, s]:
                continue
            if maximum[i, s] >= least_level:
                if maximum[i, s] < top:
                    flat += n
                else:
                    at_top += n
    return (flat + at_top if every else flat), top


@numba.njit(nogil=True, cache=True)
def plateau_cells(pixels: Ints, maximum: Floats, top: float) -> tuple[int, int]:
    """Cells whose largest value is ``top``, and those at most 3 sqrt(top) below it."""
    at = below = 0
    least = top - 3.0 * math.sqrt(top)
    for i in range(pixels.shape[0]):
        for s in range(pixels.shape[1]):
            if pixels[i, s] == 0:
                continue
            if maximum[i, s] == top:
                at += 1
            elif maximum[i, s] >= least:
                below += 1
    return at, below


@numba.njit(nogil=True, cache=True)
def lit_ratio(pixels: Ints, total: Floats, counts: Floats) -> float:
    """Counts over those of a reference (``counts`` a pixel), where there are any."""
    now = before = 0.0
    for i in range(pixels.shape[0]):
        for s in range(pixels.shape[1]):
            if total[i, s] > 0.0:
                now += total[i, s]
                before += counts[i, s] * pixels[i, s]
    return now / before if before > 0.0 else 0.0


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
    """
    n, sectors = pixels.shape
    due = np.empty((n, sectors))
    for i in range(n):
        for s in range(sectors):
            known = level[i, min(s, level.shape[1] - 1)]
            blank = empty.shape[0] > 0 and empty[i, s] >= 0.9
            due[i, s] = 0.0 if blank else known * bright * pixels[i, s]
    seen_sum, due_sum = np.zeros(sectors), np.zeros(sectors)
    for k in range(-half, half + 1):
        i = min(max(k, 0), n - 1)
        for s in range(sectors):
            seen_sum[s] += total[i, s]
            due_sum[s] += due[i, s]
    counted = np.full(sectors, -1)  # last bin that was counted
    found = 0
    for i in range(n):
        for s in range(sectors):
            if seen_sum[s] <= dark and due_sum[s] > expected:
                first = max(i - half, counted[s] + 1)
                for k in range(first, min(i + half, n - 1) + 1):
                    if total[k, s] == 0.0:
                        found += pixels[k, s]
                counted[s] = max(counted[s], min(i + half, n - 1))
            old, new = max(i - half, 0), min(i + half + 1, n - 1)
            seen_sum[s] += total[new, s] - total[old, s]
            due_sum[s] += due[new, s] - due[old, s]
    return found
