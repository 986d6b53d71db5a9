"""Compiled: light between the rings by radial band and sector, and its medians.

The sums are one pass, in the order of memory.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.azimuth.sector_steps import orthonormal, remove

__all__ = ["FEW", "level_bands", "median_bands", "sum_against", "sum_alone"]

Floats = NDArray[np.float64]

FEW = 12
"""Sectors below which even a first harmonic can't be told from a shadow."""

_SPOT = 1.5  # of the median light of a band
_LEAST_BANDS = 3


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_alone(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    mean: Floats,
    in_ring: NDArray[np.bool_],
    first: int,
    last: int,
    sums: Floats,
) -> None:
    """Sum light seen, expected, variance, and weight by band and sector: (4, K, 32).

    Bins from ``first`` to before ``last``, rings left out; a band without two bins free
    of them stays 0. Expected is what the mean over the azimuth holds, which has no
    noise to speak of.
    """
    sums[:] = 0.0
    for k in range(sums.shape[1]):
        low, high = _free_band(in_ring, first, last, k, sums.shape[1])
        for i in range(low, high):
            if in_ring[i]:
                continue
            v, m = variance[i], mean[i]
            for s in range(SECTORS):
                w = norm[i, s]
                sums[0, k, s] += w * sector[i, s]
                sums[1, k, s] += w * m
                sums[2, k, s] += w * v
                sums[3, k, s] += w


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_against(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    expected: Floats,
    expected_norm: Floats,
    in_ring: NDArray[np.bool_],
    first: int,
    last: int,
    sums: Floats,
) -> None:
    """As ``sum_alone``; expected is ``expected`` (n_q, 32) of weight ``expected_norm``.

    Its noise counts. Where its weight is 0 it is unknown, and nothing is summed.
    """
    sums[:] = 0.0
    for k in range(sums.shape[1]):
        low, high = _free_band(in_ring, first, last, k, sums.shape[1])
        for i in range(low, high):
            if in_ring[i]:
                continue
            v = variance[i]
            for s in range(SECTORS):
                known = expected_norm[i, s]
                w = norm[i, s] if known > 0.0 else 0.0
                sums[0, k, s] += w * sector[i, s]
                sums[1, k, s] += w * expected[i, s]
                sums[2, k, s] += w * v * (1.0 + w / max(known, 1e-300))
                sums[3, k, s] += w


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _free_band(
    in_ring: NDArray[np.bool_], first: int, last: int, band: int, bands: int
) -> tuple[int, int]:
    """Range of bins of a band, empty without two of them between the rings."""
    span = max(last - first, 1)
    low, high = first + band * span // bands, first + (band + 1) * span // bands
    free = 0
    for i in range(low, high):
        free += 0 if in_ring[i] else 1
    return low, high if free >= 2 else low


@numba.njit(nogil=True, cache=True, error_model="numpy")
def level_bands(sums: Floats, ratio: Floats, variance: Floats, order: int) -> int:
    """Light seen over expected (K, 32), less the harmonics 1 to ``order`` of each band.

    Each band is divided by its own mean level, so a profile that changed alike at all
    azimuths leaves 1. Variance 0 marks what is not known. Bands that cover less than
    three quarters of the sectors of the best one are left out; gives the sectors of it.
    Less than a dozen of them are not enough to tell harmonics. Cells with half as much
    light again as the median one hold spots, and count as not known; so do those that
    held them in the reference.
    """
    bands, sectors = ratio.shape
    count, best = np.zeros(bands, np.int64), 0
    for k in range(bands):
        count[k], known = _divide_band(sums[:, k], ratio[k], variance[k])
        best = max(best, known)
    if best < FEW:
        order = 0
    y, weight = np.empty(sectors), np.zeros(sectors)
    columns = np.zeros((1 + 2 * order, sectors))
    for k in range(bands):
        if count[k] < 0.75 * best or count[k] < 2 * order + 2:
            variance[k, :] = 0.0
            continue
        as_before = True
        level = 0.0
        for s in range(sectors):
            here = 1.0 if variance[k, s] > 0.0 else 0.0
            as_before &= weight[s] == here
            weight[s] = here
            y[s] = ratio[k, s] if here > 0.0 else 0.0
            level += y[s]
        if not as_before:
            orthonormal(weight, order, columns)
        level /= count[k]
        if not level > 0.0:
            variance[k, :] = 0.0
            continue
        remove(columns, columns.shape[0], y)
        for s in range(sectors):
            ratio[k, s] = 1.0 + y[s] / level
            variance[k, s] /= level * level
    return best


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _divide_band(sums: Floats, ratio: Floats, variance: Floats) -> tuple[int, int]:
    """Light seen over expected (32,) of one band; sectors known without spots, and all.

    Known is what is expected to 20 %.
    """
    sectors = ratio.size
    before, held = np.zeros(sectors), np.empty(sectors)
    every = 0
    least = least_before = math.inf
    most = most_before = 0.0
    for s in range(sectors):
        variance[s] = 0.0
        seen, e = sums[0, s], sums[1, s]
        if e > 0.0 and sums[2, s] > 0.0 and e * e > 25.0 * sums[2, s]:
            ratio[s] = seen / e
            variance[s] = sums[2, s] / (e * e)
            before[s] = e / sums[3, s]
            every += 1
            least, most = min(least, ratio[s]), max(most, ratio[s])
            least_before = min(least_before, before[s])
            most_before = max(most_before, before[s])
    # No value above such a multiple of the least is none above that of the median.
    if most <= _SPOT * least and most_before <= _SPOT * least_before:
        return every, every
    most = _SPOT * _middle_of(ratio, variance, held)
    most_before = _SPOT * _middle_of(before, variance, held)
    known = every
    for s in range(sectors):
        spot = ratio[s] > most or before[s] > most_before
        if variance[s] > 0.0 and spot:
            variance[s] = 0.0
            known -= 1
    return known, every


@numba.njit(nogil=True, cache=True, error_model="numpy")
def median_bands(
    ratio: Floats, variance: Floats, first: int, out: Floats, spread: Floats
) -> None:
    """Median over the bands from ``first`` on, and its variance, per sector (32,).

    A sector needs half of the bands, and three: so a spot in one has no say. Variance 0
    marks what is not known.
    """
    bands, sectors = ratio.shape
    held = np.empty(bands)
    usable = 0
    for k in range(first, bands):
        usable += 1 if variance[k].max() > 0.0 else 0
    least = max(_LEAST_BANDS, (usable + 1) // 2)
    for s in range(sectors):
        n = 0
        total = 0.0
        for k in range(first, bands):
            if variance[k, s] > 0.0:
                total += variance[k, s]
                n += 1
        out[s], spread[s] = 1.0, 0.0
        if n >= least:
            out[s] = _middle_of(ratio[first:, s], variance[first:, s], held)
            spread[s] = 0.5 * math.pi * total / (n * n)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _middle_of(values: Floats, variance: Floats, held: Floats) -> float:
    """Median of the values whose variance is not 0; 0 if there are none."""
    n = 0
    for i in range(values.size):
        if variance[i] > 0.0:
            j = n
            while j > 0 and held[j - 1] > values[i]:
                held[j] = held[j - 1]
                j -= 1
            held[j] = values[i]
            n += 1
    return 0.5 * (held[(n - 1) // 2] + held[n // 2]) if n else 0.0
