"""Sums over short lists of pixels, compiled: the mask's edges, a dark's pattern."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.kernel import PIXELS, TOTAL
from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.outlier_kernel import odds_of

__all__ = ["LEAST_STRUCTURE", "SUMS", "fit_dark", "gather", "sum_edges"]

NUMBER, MARKED, SEEN, EXPECTED, VARIANCE = range(5)
SEEN_SQ, CROSS, EXPECTED_SQ = range(5, 8)
SUMS = 8
"""Columns of the sums along the edges, one row a group."""

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
        bad = value == marker or not -math.inf < value < math.inf
        values[k] = math.nan if bad or (value < 0.0 and not signed) else value


@numba.njit(nogil=True, cache=True)
def sum_edges(
    values: NDArray[np.float64],
    place: NDArray[np.int32],
    cell: NDArray[np.int32],
    group: NDArray[np.int64],
    moments: NDArray[np.float64],
    fano: float,
    dark: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Sums (8, 8) of each group of edge pixels, cell by cell."""
    k = 0
    while k < values.size:
        c, g = cell[k], group[k]
        row = c - c % SECTORS
        total = 0.0
        pixels = 0.0
        for step in (-1, 0, 1):
            beside = row + (c + step) % SECTORS
            total += moments[beside, TOTAL]
            pixels += moments[beside, PIXELS]
        mean = total / max(pixels, 1.0)
        most = 3.0 * max(mean, 0.0) + 10.0 * fano
        number = 0.0
        seen = 0.0
        base = 0.0
        while k < values.size and cell[k] == c and group[k] == g:
            if math.isnan(values[k]):
                sums[g, MARKED] += 1.0
            else:
                number += 1.0
                seen += min(values[k], most)
                if dark.size:
                    base += dark[place[k]]
            k += 1
        if pixels < 1.0:
            continue
        seen -= base
        expected = number * mean - base
        sums[g, NUMBER] += number
        sums[g, SEEN] += seen
        sums[g, EXPECTED] += expected
        sums[g, VARIANCE] += fano * max(mean, 0.0) * number * (1.0 + number / pixels)
        sums[g, SEEN_SQ] += seen * seen
        sums[g, CROSS] += seen * expected
        sums[g, EXPECTED_SQ] += expected * expected


@numba.njit(nogil=True, cache=True)
def fit_dark(
    values: NDArray[np.float64],
    cell: NDArray[np.int32],
    deviation: NDArray[np.float64],
    moments: NDArray[np.float64],
    fano: float,
    law: tuple[float, float, float, float],
) -> tuple[float, float, float]:
    """Weighted slope through the origin, its deviation, and the mean of 1/counts.

    The standard deviation is the sandwich; infinite where the dark has no structure.
    ``law`` holds the share of the dark's scatter that is no noise, its mean level, its
    variance, and the number of darks.
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
        number = max(moments[cell[k], PIXELS], 1.0)
        mean = moments[cell[k], TOTAL] / number
        noise = fano * (max(mean, 0.0) + 1.0 / number)
        y[k] = values[k] - mean
        used += 1
        inverse += 1.0 / (max(mean, 0.0) + 1.0 / number)
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
