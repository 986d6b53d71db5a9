"""Cells that hold far more than the rest of their ring: Bragg spots, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS

__all__ = ["find_spots"]

_WINDOW = 5  # bins of background to either side, beyond the gap
_FEWEST = 6  # pixels of a cell whose mean is trusted
_SECTORS = 8  # of a ring that can accuse one of them
_SIGNIFICANT = 8.0  # standard deviations of counting noise
_COUNTS = 20.0  # counts; where none are expected, so many are no chance
_UNEVEN = 0.02  # of the background: what a flat field leaves in a cell
_ROBUST = 7.0  # standard deviations between the sectors: grains, texture
_OF_RING = 0.5  # of the ring's own height
_ALONG = 8  # bins; a ring of a wrong geometry goes on so near in other sectors
_ARC = 0.5  # of the spot's height, in such a continuation


@numba.njit(nogil=True, cache=True)
def _rest(
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    pixels: NDArray[np.int64],
    b: int,
    s: int,
) -> float:
    """Mean of a cell without its brightest pixel, so that a hot one does not count."""
    return (total[b, s] - maximum[b, s]) / (pixels[b, s] - 1)


@numba.njit(nogil=True, cache=True)
def _above(
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    pixels: NDArray[np.int64],
    gap: int,
    b: int,
    s: int,
) -> tuple[float, float]:
    """Height of a cell above the background of its own sector, and that; NaN: none."""
    rows = total.shape[0]
    if pixels[b, s] < _FEWEST:
        return math.nan, math.nan
    level = 0.0
    for side in (-1, 1):
        counts = 0.0
        number = 0
        for k in range(gap + 1, gap + _WINDOW + 1):
            row = b + side * k
            if 0 <= row < rows and pixels[row, s] > 1:
                counts += total[row, s] - maximum[row, s]
                number += pixels[row, s] - 1
        if number < _FEWEST:
            return math.nan, math.nan
        level += 0.5 * counts / number
    return _rest(total, maximum, pixels, b, s) - level, level


@numba.njit(nogil=True, cache=True)
def _alone(
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    pixels: NDArray[np.int64],
    gap: int,
    b: int,
    s: int,
    limit: float,
    tall: NDArray[np.float64],
) -> bool:
    """Whether no other sector nearby, at nearly the same radius, is as bright.

    ``tall`` is the height of each whole ring: what is left above it counts.
    """
    looked = 0
    for ds in (-3, -2, 2, 3):
        column = (s + ds) % SECTORS
        for row in range(max(b - _ALONG, 0), min(b + _ALONG + 1, total.shape[0])):
            height, _ = _above(total, maximum, pixels, gap, row, column)
            if math.isnan(height):
                continue
            looked += row == b
            if row != b and height - max(tall[row], 0.0) > limit:
                return False
    return looked >= 2


@numba.njit(nogil=True, cache=True)
def find_spots(
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    pixels: NDArray[np.int64],
    fano: float,
    rings: NDArray[np.int64],
    gap: int,
) -> tuple[int, float, float]:
    """Spots, their counts above their rings, and the counts of the rings themselves.

    A cell without its brightest pixel, above the background of its own sector, is
    compared with the median of its ring. It must stand out of counting noise, of what a
    flat field leaves, of half the ring's height and of the scatter between the sectors
    (median absolute deviation: grains, texture), and no other sector may be half as
    bright at nearly the same radius: a displaced ring goes on there.

    Parameters
    ----------
    total, maximum : (n_q, 32) float64
        Of a cake with a geometry.
    pixels : (n_q, 32) int64
    fano : float
        Variance over mean of the pixels between the rings.
    rings : (n,) int64
        Bins of the rings' maxima; with none, whatever is sharp counts as a ring.
    gap : int
        Bins between a ring's maximum and its background.
    """
    rows = total.shape[0]
    sums = np.zeros(rows + 1)
    number = np.zeros(rows + 1)
    suspicious = np.zeros(rows, np.bool_)
    for b in range(rows):
        counts, n, suspicious[b] = _look_at(total, maximum, pixels, b, fano)
        sums[b + 1] = sums[b] + counts
        number[b + 1] = number[b] + n
    tall = np.zeros(rows)
    for b in range(gap + _WINDOW, rows - gap - _WINDOW):
        tall[b] = _height(sums, number, b, gap)
    near = np.full(rows, rings.size == 0)
    for b in rings:
        near[max(b - gap, 0) : b + gap + 1] = True
    last = np.full(SECTORS, -rows)
    spots = 0
    spot_counts = 0.0
    ring_counts = 0.0
    for b in range(gap + _WINDOW, rows - gap - _WINDOW):
        n = number[b + 1] - number[b]
        if n < _SECTORS * _FEWEST:
            continue
        counts = sums[b + 1] - sums[b]
        if near[b] and tall[b] * n > 5.0 * math.sqrt(fano * max(counts, 1.0)):
            ring_counts += tall[b] * n
        if suspicious[b]:
            found, counts = _spots_of(total, maximum, pixels, fano, gap, b, last, tall)
            spots += found
            spot_counts += counts
    return spots, spot_counts, ring_counts


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _look_at(
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    pixels: NDArray[np.int64],
    b: int,
    fano: float,
) -> tuple[float, float, bool]:
    """Counts of a ring, its pixels, and whether it may hold a spot.

    It may where a cell is so much brighter than the mean. The sums are four side by
    side: one would wait for each of its additions.
    """
    t0 = t1 = t2 = t3 = 0.0
    n = 0
    for s in range(0, SECTORS, 4):
        t0 += total[b, s]
        t1 += total[b, s + 1]
        t2 += total[b, s + 2]
        t3 += total[b, s + 3]
        n += pixels[b, s] + pixels[b, s + 1] + pixels[b, s + 2] + pixels[b, s + 3]
    counts = (t0 + t1) + (t2 + t3)
    mean = counts / n
    limit = (1.0 + _UNEVEN) * mean
    scatter = 25.0 * fano * max(mean, 0.0)
    bright = 0
    for s in range(SECTORS):
        k = float(pixels[b, s])
        over = total[b, s] - maximum[b, s] - limit * (k - 1.0)
        held = (over > 0.5 * _COUNTS) & (k >= _FEWEST) & (over * over > scatter * k)
        bright += 1 if held else 0
    return counts, float(n), bright > 0


@numba.njit(nogil=True, cache=True)
def _spots_of(
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    pixels: NDArray[np.int64],
    fano: float,
    gap: int,
    b: int,
    last: NDArray[np.int64],
    tall: NDArray[np.float64],
) -> tuple[int, float]:
    """Spots of one ring, and their counts; ``last`` keeps the bin of each sector's."""
    height = np.empty(SECTORS)
    level = np.empty(SECTORS)
    for s in range(SECTORS):
        height[s], level[s] = _above(total, maximum, pixels, gap, b, s)
    values = np.sort(height[~np.isnan(height)])
    if values.size < _SECTORS:
        return 0, 0.0
    middle = values[values.size // 2]
    spread = 1.4826 * np.sort(np.abs(values - middle))[values.size // 2]
    spots = 0
    counts = 0.0
    for s in range(SECTORS):
        over = height[s] - middle
        k = pixels[b, s]
        if math.isnan(over) or over * k < _COUNTS:
            continue
        noise = math.sqrt(fano * (max(level[s] + middle, 0.0) + 1.0 / k) / k)
        least = max(_SIGNIFICANT * noise, _ROBUST * max(spread, noise))
        if over < max(least, _UNEVEN * level[s], _OF_RING * middle):
            continue
        if not _alone(total, maximum, pixels, gap, b, s, _ARC * over, tall):
            continue
        counts += over * k
        spots += b - last[s] > gap
        last[s] = b
    return spots, counts


@numba.njit(nogil=True, cache=True)
def _height(
    sums: NDArray[np.float64], number: NDArray[np.float64], b: int, gap: int
) -> float:
    """Mean counts of a pixel of a whole bin, above the background of both sides."""
    below, above = b - gap - _WINDOW, b + gap + 1
    n = number[b + 1] - number[b]
    low = number[b - gap] - number[below]
    high = number[above + _WINDOW] - number[above]
    if min(n, low, high) < 1.0:
        return 0.0
    level = 0.5 * (sums[b - gap] - sums[below]) / low
    level += 0.5 * (sums[above + _WINDOW] - sums[above]) / high
    return (sums[b + 1] - sums[b]) / n - level
