"""Compiled loops over the cells of a cake: light by radial band and sector.

The sums are one pass, in the order of memory; ``shadow`` and ``low_q`` give them
meaning.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.sector_steps import (
    MOST_WIDE,
    find_step,
    measure_step,
    orthonormal,
    remove,
    weigh,
)

__all__ = [
    "BANDS",
    "FEW",
    "deepest_shade",
    "first_even_bin",
    "level_bands",
    "mark_rings",
    "median_bands",
    "sum_bands",
]

Floats = NDArray[np.float64]

BANDS = 16
"""Radial bands from the beamstop to the edge of the detector."""

FEW = 12
"""Sectors below which even a first harmonic can't be told from a shadow."""

_SPOT = 1.5  # of the median light of a band
_LEAST_BANDS = 3
_HINT = 3.0  # sigma; less than that isn't worth a closer look


@numba.njit(nogil=True, cache=True, error_model="numpy")
def mark_rings(
    radius: Floats, bins: NDArray[np.int64], fwhm: Floats, marked: NDArray[np.bool_]
) -> None:
    """Mark the bins within two FWHM and a pixel of a ring."""
    for k in range(bins.size):
        reach = 2.0 * fwhm[k] + 1.0
        centre = radius[bins[k]]
        i = bins[k]
        while i >= 0 and radius[i] >= centre - reach:
            marked[i] = True
            i -= 1
        i = bins[k] + 1
        while i < radius.size and radius[i] <= centre + reach:
            marked[i] = True
            i += 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def first_even_bin(
    sector: Floats, norm: Floats, mean: Floats, level: float
) -> tuple[int, int, int]:
    """First bin that is covered, out of the beamstop's shadow, and of its penumbra.

    Looked for in the inner quarter. A bin is in the shadow where the mean is below
    ``level``, in the penumbra where fewer than four fifths of the sectors reach half
    the mean; all inside the last such bin counts as such.
    """
    bins, sectors = sector.shape
    covered_from, dark, last = bins, -1, -1
    for i in range(bins // 4):
        covered = lit = 0
        for s in range(sectors):
            if norm[i, s] > 0.0:
                covered += 1
                if sector[i, s] >= 0.5 * mean[i]:
                    lit += 1
        if covered == 0:
            continue
        covered_from = min(covered_from, i)
        if mean[i] < level:
            dark = i
        if mean[i] < level or lit < 0.8 * covered:
            last = i
    return covered_from, dark + 1, last + 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_bands(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    expected: Floats,
    expected_norm: Floats,
    in_ring: NDArray[np.bool_],
    first: int,
    last: int,
    out: Floats,
) -> None:
    """Sum light seen, expected, variance, and weight by band and sector: (4, K, 32).

    Bins from ``first`` to before ``last``, rings left out; a band without two bins free
    of them stays 0. ``expected`` (n_q, 32) has the weight ``expected_norm`` (its
    noise counts); where that is infinite it is exact, where it is 0 unknown.
    """
    bands, sectors = out.shape[1], out.shape[2]
    span = max(last - first, 1)
    out[:] = 0.0
    for k in range(bands):
        low = first + k * span // bands
        high = first + (k + 1) * span // bands
        free = 0
        for i in range(low, high):
            free += 0 if in_ring[i] else 1
        if free < 2:
            continue
        for i in range(low, high):
            if in_ring[i]:
                continue
            v = variance[i]
            for s in range(sectors):
                w, known = norm[i, s], expected_norm[i, s]
                if w > 0.0 and known > 0.0:
                    out[0, k, s] += w * sector[i, s]
                    out[1, k, s] += w * expected[i, s]
                    out[2, k, s] += w * v * (1.0 + w / known)
                    out[3, k, s] += w


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
    y, weight = np.empty(sectors), np.empty(sectors)
    columns = np.empty((1 + 2 * order, sectors))
    for k in range(bands):
        if count[k] < 0.75 * best or count[k] < 2 * order + 2:
            variance[k, :] = 0.0
            continue
        for s in range(sectors):
            weight[s] = 1.0 if variance[k, s] > 0.0 else 0.0
            y[s] = ratio[k, s] if weight[s] > 0.0 else 0.0
        level = y.sum() / count[k]
        if not level > 0.0:
            variance[k, :] = 0.0
            continue
        orthonormal(weight, order, columns)
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
    for s in range(sectors):
        variance[s] = 0.0
        seen, e = sums[0, s], sums[1, s]
        if e > 0.0 and sums[2, s] > 0.0 and e * e > 25.0 * sums[2, s]:
            ratio[s] = seen / e
            variance[s] = sums[2, s] / (e * e)
            before[s] = e / sums[3, s]
            every += 1
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


@numba.njit(nogil=True, cache=True, error_model="numpy")
def deepest_shade(
    ratio: Floats,
    variance: Floats,
    starts: NDArray[np.int64],
    floor: float,
    order: int,
    facing: bool,
) -> Floats:
    """Most significant lack of light beyond any of the bands ``starts``.

    Gives start and width of the range of sectors, band, depth, sigma, degrees of
    freedom; freedom 0 where nothing is known. With ``facing`` what the sectors that
    face the range lack too doesn't count. ``floor`` adds to the standard deviation of a
    sector.
    """
    sectors = ratio.shape[1]
    level, spread = np.empty(sectors), np.empty(sectors)
    best = np.array([0.0, 0.0, 0.0, 0.0, math.inf, 0.0])
    for band in starts:
        median_bands(ratio, variance, band, level, spread)
        for s in range(sectors):
            if spread[s] > 0.0:
                spread[s] += floor * floor
        weight, y, columns = weigh(level, spread, order, 4)
        start, width = find_step(weight, y, columns, -1.0, MOST_WIDE, False)
        # A sector at either end may be shaded in part: it is then left free as well.
        for trim in range(3 if width > 1 else 1):
            begin, wide = start + trim % 2, width - (1 if trim else 0)
            step, sigma, free = measure_step(weight, y, columns, begin, wide, 0)
            if facing:
                odd = measure_step(weight, y, columns, begin, wide, -1)
                if odd[0] / odd[1] > step / sigma:
                    step, sigma, free = odd
            known = best[5] > 0.0
            if free >= 3.0 and (not known or -step / sigma > best[3] / best[4]):
                best[0], best[1], best[2] = begin % sectors, wide, band
                best[3], best[4], best[5] = -step, sigma, free
            if trim == 0 and not -step > _HINT * sigma:
                break
    return best
