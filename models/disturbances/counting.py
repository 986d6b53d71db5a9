"""From intensities to counts, and to what archives make of counts."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Counting", "count"]

Float = NDArray[np.float32]
Floats = NDArray[np.float64]

_POISSON_BELOW = 200.0
"""Counts per bin above which a normal deviate is Poisson enough: skewness 0.07."""
RAW, CUT, FOLDED = 0, 1, 2
"""What became of the background: left in; taken off, negative values set to zero; taken
off, negative values made positive."""


class Counting(NamedTuple):
    """How D patterns were counted and published; every array has shape (D,).

    Attributes
    ----------
    q_low, q_high, step : float
        First and last point and their distance, 1/Angstrom.
    counts : float
        Counts at intensity 1.
    ceiling : float
        Intensity that the detector cannot exceed; inf: none.
    treatment : int
        `RAW`, `CUT` or `FOLDED`.
    base : float
        Level that was taken off, in standard deviations below the true background.
    """

    q_low: Floats
    q_high: Floats
    step: Floats
    counts: Floats
    ceiling: Floats
    treatment: NDArray[np.int64]
    base: Floats


@njit(cache=True, nogil=True)
def _treated_mean(
    rng: np.random.Generator, mean: float, base: float, n: int, folded: bool
) -> float:
    """Mean over n points of counts less ``base``, folded or cut at zero."""
    total = 0.0
    root = math.sqrt(mean)
    for _ in range(n):
        if mean < 3.0:
            value = float(rng.poisson(mean))
        else:
            # The second term gives the skewness of Poisson's distribution (E. A.
            # Cornish, R. A. Fisher, Rev. Inst. Int. Stat. 5 (1938) 307).
            z = rng.standard_normal()
            value = mean + root * z + (z * z - 1.0) / 6.0
        value -= base
        total += abs(value) if folded else max(value, 0.0)
    return total / n


@njit(cache=True, nogil=True)
def _count_one(
    rng: np.random.Generator,
    y: Float,
    background: Float,
    edges: Floats,
    how: Counting,
    pattern: int,
) -> None:
    """Count pattern number ``pattern`` of ``how`` in place."""
    q_low, step, counts = how.q_low[pattern], how.step[pattern], how.counts[pattern]
    treatment = how.treatment[pattern]
    last_point = int((how.q_high[pattern] - q_low) / step)
    before = math.ceil((edges[0] - q_low) / step)
    filled = -1
    for i in range(len(y)):
        after = math.ceil((edges[i + 1] - q_low) / step)
        n = min(after, last_point + 1) - max(before, 0)
        before = after
        if n < 1:
            continue
        mean = counts * max(y[i], 0.0)
        if treatment != RAW:
            level = counts * background[i]
            base = level - how.base[pattern] * math.sqrt(max(level, 0.0))
            value = _treated_mean(rng, mean, base, n, treatment == FOLDED)
        elif n * mean < _POISSON_BELOW:
            value = rng.poisson(n * mean) / n
        else:
            value = mean + math.sqrt(mean / n) * rng.standard_normal()
        y[i] = min(value / counts, how.ceiling[pattern])
        if filled >= 0 and i > filled + 1:
            slope = (y[i] - y[filled]) / (i - filled)
            for k in range(filled + 1, i):
                y[k] = y[filled] + slope * (k - filled)
        filled = i


@njit(cache=True, nogil=True)
def count(
    rng: np.random.Generator,
    y: Float,
    background: Float,
    edges: Floats,
    how: Counting,
) -> None:
    """Count patterns point by point and average the points of each bin, in place.

    The sum of n Poisson counts is one of n times the mean, so that a bin costs one
    draw; where negative values were treated, every point is drawn. Bins finer than the
    points are interpolated.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    y : (D, n) float32
        Intensity with background, strongest line near 1; becomes the same with noise.
    background : (D, n) float32
        The background in it.
    edges : (n + 1,) float64
        Of the bins, 1/Angstrom, ascending.
    how : Counting
        Counts, steps, and what was done afterwards.
    """
    for pattern in range(len(y)):
        _count_one(rng, y[pattern], background[pattern], edges, how, pattern)
