"""Short lists of pixels, compiled: the mask's edges, a dark's pattern, clusters."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.kernel import NO_COUNT
from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.outlier_kernel import odds_of

__all__ = ["LEAST_STRUCTURE", "fit_dark", "gather", "join_clusters", "sum_edges"]

NUMBER, MARKED, SEEN, EXPECTED, VARIANCE = range(5)
SEEN_SQ, CROSS, EXPECTED_SQ = range(5, 8)
_SUMS = 8
"""Rows of the sums along the edges, one column a group."""

_OWN_SHARE = 0.2  # of the pixels that an expectation rests on
LEAST_STRUCTURE = 0.05
"""Share of a dark's scatter that is no noise; below it there is no pattern."""

_UNSTEADY = 0.1  # relative change of a dark's hot pixel that is no fault
_NO_NOISE = 25.0  # minus the log of the chance that noise makes a pixel of a dark


@numba.njit(nogil=True, cache=True)
def gather(
    frame: NDArray[np.generic],
    place: NDArray[np.int32],
    marker: float,
    signed: bool,
    values: NDArray[np.float64],
) -> None:
    """Read listed pixels; those that hold no count are NaN."""
    for k in range(place.size):
        value = float(frame[place[k]])
        bad = value == marker or not -NO_COUNT < value < NO_COUNT
        values[k] = math.nan if bad or (value < 0.0 and not signed) else value


@numba.njit(nogil=True, cache=True)
def _pool(
    counts: NDArray[np.float64],
    within: NDArray[np.int64],
    below: NDArray[np.float64],
    row: int,
    c: int,
    reach: int,
) -> tuple[float, float, float]:
    """Counts, their dark and pixels of the cells up to ``reach`` sectors away.

    ``counts`` and ``within``, the pixels, are those of all cells.
    """
    total = 0.0
    dark = 0.0
    pixels = 0.0
    for step in range(-reach, min(reach, SECTORS - 1 - reach) + 1):
        beside = row + (c + step) % SECTORS
        total += counts[beside]
        pixels += within[beside]
        if below.size:
            dark += below[beside]
    return total, dark, pixels


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_edges(
    frame: NDArray[np.generic],
    marker: float,
    signed: bool,
    place: NDArray[np.int32],
    cell: NDArray[np.int32],
    group: NDArray[np.int64],
    counts: NDArray[np.float64],
    within: NDArray[np.int64],
    fano: float,
    dark: NDArray[np.float64],
    below: NDArray[np.float64],
    values: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels and marked ones (2, 2, 4) of each group; counts seen, expected, variance.

    The latter are (3, 2, 4). ``counts`` and ``within`` are counts and pixels of all
    cells. ``dark`` is the mean dark of each pixel and ``below`` its
    sum over each cell, both empty without a dark: each pixel is compared without its
    own dark with its cell without that one's. ``values`` is room for one number a
    pixel. The variance is that of counts, or the scatter about the common ratio from
    cell to cell where that is more (as of a ratio estimator, Cochran 1977, eq. 6.13):
    grains and texture scatter more than counts do.
    """
    gather(frame, place, marker, signed, values)
    sums = np.zeros((_SUMS, 8))
    k = 0
    while k < values.size:
        c, g = cell[k], group[k]
        row = c - c % SECTORS
        total, under, pixels = _pool(counts, within, below, row, c, 1)
        end = k
        while end < values.size and cell[end] == c and group[end] == g:
            end += 1
        if end - k > _OWN_SHARE * pixels:
            # Next to the beam a cell is all edge, and would say what it should prove.
            total, under, pixels = _pool(counts, within, below, row, c, SECTORS // 2)
        light = (total - under) / max(pixels, 1.0)
        number = 0.0
        seen = 0.0
        spread = 0.0
        while k < end:
            if math.isnan(values[k]):
                sums[MARKED, g] += 1.0
            else:
                own = dark[place[k]] if dark.size else 0.0
                mean = max(light + own, 0.0)
                number += 1.0
                seen += min(values[k], 3.0 * mean + 10.0 * fano) - own
                spread += mean
            k += 1
        if pixels < 1.0:
            continue
        expected = number * light
        spread += max(total, 0.0) * (number / pixels) ** 2  # of the ring's own mean
        sums[NUMBER, g] += number
        sums[SEEN, g] += seen
        sums[EXPECTED, g] += expected
        sums[VARIANCE, g] += fano * spread
        sums[SEEN_SQ, g] += seen * seen
        sums[CROSS, g] += seen * expected
        sums[EXPECTED_SQ, g] += expected * expected
    count, out = np.empty((2, 8), np.int64), np.empty((3, 8))
    for g in range(8):
        ratio = sums[SEEN, g] / max(sums[EXPECTED, g], 1e-9)
        scatter = sums[SEEN_SQ, g] - 2.0 * ratio * sums[CROSS, g]
        scatter += ratio * ratio * sums[EXPECTED_SQ, g]
        count[0, g], count[1, g] = sums[NUMBER, g], sums[MARKED, g]
        out[0, g], out[1, g] = sums[SEEN, g], sums[EXPECTED, g]
        out[2, g] = max(sums[VARIANCE, g], scatter)
    return count.reshape(2, 2, 4), out.reshape(3, 2, 4)


@numba.njit(nogil=True, cache=True)
def fit_dark(
    values: NDArray[np.float64],
    cell: NDArray[np.int32],
    deviation: NDArray[np.float64],
    counts: NDArray[np.float64],
    within: NDArray[np.int64],
    fano: float,
    law: tuple[float, float, float, float],
) -> tuple[float, float, float]:
    """Weighted slope through the origin, its deviation, and the mean of 1/counts.

    The standard deviation is the sandwich; infinite where the dark has no structure.
    ``counts`` and ``within`` are counts and pixels of all cells. ``law`` holds the
    share of the dark's scatter that is no noise, its mean level, its variance, and the
    number of darks.
    """
    n = values.size
    x = np.zeros(n)
    y = np.zeros(n)
    weight = np.zeros(n)
    xx = 0.0
    xy = 0.0
    used = 0
    inverse = 0.0
    for k in range(n):
        if math.isnan(values[k]):
            continue
        x[k] = _true_deviation(deviation[k], law)
        own = max(float(within[cell[k]]), 1.0)
        mean = counts[cell[k]] / own
        noise = fano * (max(mean, 0.0) + 1.0 / own)
        y[k] = values[k] - mean
        used += 1
        inverse += 1.0 / (max(mean, 0.0) + 1.0 / own)
        weight[k] = 1.0 / (noise + (_UNSTEADY * x[k]) ** 2)
        xx += weight[k] * x[k] * x[k]
        xy += weight[k] * x[k] * y[k]
    if xx <= 0.0:
        return math.nan, math.inf, 0.0
    slope = xy / xx
    meat = 0.0
    for k in range(n):
        meat += (weight[k] * x[k] * (y[k] - slope * x[k])) ** 2
    return slope, math.sqrt(meat) / xx, inverse / used


@numba.njit(nogil=True, cache=True)
def _true_deviation(deviation: float, law: tuple[float, float, float, float]) -> float:
    """Expectation of a pixel's true deviation, given the one that the dark shows."""
    core, level, spread, frames = law
    square = deviation * deviation
    if square > 25.0 * spread:
        noise = level / frames
        if deviation < 0.0:
            sure = 0.5 * square > _NO_NOISE * noise
        else:
            sure = odds_of(deviation, noise, 1.0 / frames) > _NO_NOISE
        if sure:
            return deviation
    return deviation * core if core >= LEAST_STRUCTURE else 0.0


@numba.njit(nogil=True, cache=True)
def join_clusters(
    place: NDArray[np.int32], columns: int, lit: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Size of the 8-connected cluster of each pixel, ``place`` rising, (n,).

    At least the number of lit pixels about one of its members: the wings of a spot do
    not stand out enough to be listed themselves.
    """
    n = place.size
    root = np.arange(n).astype(np.int32)
    for k in range(n):
        for step in (1, columns - 1, columns, columns + 1):
            j = np.searchsorted(place[k + 1 :], place[k] + step) + k + 1
            if j >= n or place[j] != place[k] + step:
                continue
            if abs(place[j] % columns - place[k] % columns) > 1:
                continue
            a, b = k, j
            while root[a] != a:
                a = root[a]
            while root[b] != b:
                b = root[b]
            root[max(a, b)] = min(a, b)
    members = np.zeros(n, np.int32)
    widest = np.zeros(n, np.int32)
    for k in range(n):
        while root[k] != root[root[k]]:
            root[k] = root[root[k]]
        members[root[k]] += 1
        widest[root[k]] = max(widest[root[k]], lit[k])
    size = np.empty(n, np.int32)
    for k in range(n):
        size[k] = max(members[root[k]], widest[root[k]])
    return size
