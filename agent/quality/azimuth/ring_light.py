"""Compiled loops over the rings: intensity in each sector, and scatter within."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.azimuth.low_q_kernels import mark_rings
from ringwatch.agent.quality.geometry.profile_kernels import nth_smallest

__all__ = ["KNOWN", "measure_rings"]

Floats = NDArray[np.float64]

KNOWN = 0.5
"""Standard deviation of a relative amplitude beyond which it is not known."""


_HALF = 3, 20  # bins to either side of a ring


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fano_between(
    pixels: NDArray[np.int64],
    total: Floats,
    total_sq: Floats,
    in_ring: NDArray[np.bool_],
) -> float:
    """Variance over mean of the pixels between the rings: median over some 64 bins."""
    bins, sectors = total.shape
    stride = max(bins // 64, 1)
    ratio = np.empty(bins // stride + 1)
    known = 0
    for i in range(0, bins, stride):
        if in_ring[i]:
            continue
        within = seen = 0.0
        free = count = 0
        for s in range(sectors):
            n, t = pixels[i, s], total[i, s]
            if n > 1:
                within += total_sq[i, s] - t * t / n
                seen += t
                count += n
                free += n - 1
        if free > sectors and seen > 20.0:
            ratio[known] = within / free * count / seen
            known += 1
    if known < 3:
        return 1.0
    return max(float(np.median(ratio[:known])), 0.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fit_amplitudes(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    mean: Floats,
    bins: NDArray[np.int64],
    half: NDArray[np.int64],
    amplitude: Floats,
    sigma: Floats,
) -> None:
    """Ring intensity of each sector over the mean ring: amplitude, sigma (R, 32).

    Each window of ``half`` bins to either side is fitted by ``background + amplitude *
    mean``; ``sigma`` is infinite where it can't be.
    """
    n = sector.shape[0]
    sums = np.empty((5, SECTORS))
    for r in range(bins.size):
        low, high = max(bins[r] - half[r], 1), min(bins[r] + half[r] + 1, n - 1)
        foot = mean[low:high].min()
        sums[:] = 0.0
        for i in range(low, high):  # all sectors side by side
            certain, x = 1.0 / variance[i], mean[i] - foot
            for s in range(SECTORS):
                w = norm[i, s] * certain
                wx, y = w * x, sector[i, s]
                sums[0, s] += w
                sums[1, s] += wx
                sums[2, s] += wx * x
                sums[3, s] += w * y
                sums[4, s] += wx * y
        for s in range(SECTORS):
            s0, s1, s2 = sums[0, s], sums[1, s], sums[2, s]
            left = s2 - s1 * s1 / s0 if s0 > 0.0 else 0.0
            amplitude[r, s], sigma[r, s] = 0.0, math.inf
            if left > 0.0 and left > 0.05 * s2:
                amplitude[r, s] = (sums[4, s] - s1 * sums[3, s] / s0) / left
                sigma[r, s] = 1.0 / math.sqrt(left)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def best_known(sigma: Floats, least: int, most: int) -> NDArray[np.int64]:
    """Indices of up to ``most`` rings by rising typical ``sigma`` (R, 32).

    That is the median of the sectors (the upper one); ``least`` of them must be known.
    """
    rings = sigma.shape[0]
    typical, usable = np.empty(rings), np.zeros(rings, np.bool_)
    held = np.empty(SECTORS)
    for r in range(rings):
        n = 0
        for s in range(SECTORS):
            held[s] = sigma[r, s]
            n += 1 if sigma[r, s] < KNOWN else 0
        if n >= least:
            usable[r] = True
            typical[r] = nth_smallest(held, SECTORS, SECTORS // 2)
    chosen = np.empty(min(usable.sum(), most), np.int64)
    for k in range(chosen.size):
        best = -1
        for r in range(rings):
            if usable[r] and (best < 0 or typical[r] < typical[best]):
                best = r
        chosen[k], usable[best] = best, False
    return chosen


@numba.njit(nogil=True, cache=True, error_model="numpy")
def scatter_within(
    pixels: NDArray[np.int64],
    total: Floats,
    total_sq: Floats,
    mean: Floats,
    fano: float,
    bins: NDArray[np.int64],
    half: NDArray[np.int64],
    within: Floats,
) -> None:
    """Variance of the pixels within cells over the squared height of the ring (R,).

    Variance and squared height are summed alike over the upper three quarters of the
    ring; less the detector's own variance (``fano`` times the mean) and what the slope
    of the mean ring makes across a bin of width 1 (``slope^2 / 12``).
    """
    n = total.shape[0]
    # All sectors side by side: scatter, and the pixels less one.
    sums = np.empty((2, SECTORS))
    for r in range(bins.size):
        low, high = max(bins[r] - half[r], 1), min(bins[r] + half[r] + 1, n - 1)
        foot, top = mean[low:high].min(), mean[low:high].max()
        scatter = power = 0.0
        for i in range(low, high):
            x = mean[i] - foot
            if x < 0.25 * (top - foot):
                continue
            slope = 0.5 * (mean[i + 1] - mean[i - 1])
            sums[:] = 0.0
            for s in range(SECTORS):
                count = float(pixels[i, s])
                t = total[i, s] / max(count, 1.0)
                free = count - 1.0
                extra = total_sq[i, s] - t * total[i, s] - free * fano * t
                sums[0, s] = extra if count > 2.0 else 0.0
                sums[1, s] = free if count > 2.0 else 0.0
            free = sums[1].sum()
            scatter += sums[0].sum() - free * slope * slope / 12.0
            power += free * x * x
        within[r] = scatter / power if power > 0.0 else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def measure_rings(
    pixels: NDArray[np.int64],
    total: Floats,
    total_sq: Floats,
    radius: Floats,
    width: Floats,
    sector: Floats,
    norm: Floats,
    variance: Floats,
    mean: Floats,
    bins: NDArray[np.int64],
    fwhm: Floats,
    least: int,
    most: int,
) -> tuple[Floats, Floats, Floats]:
    """Amplitude, sigma (R, 32), and scatter within cells (R,) of the best known rings.

    ``width`` is that of the bins. Up to ``most`` rings, best known first, that are
    known in ``least`` sectors.
    """
    in_ring = np.zeros(mean.size, np.bool_)
    mark_rings(radius, bins, fwhm, in_ring)
    fano = fano_between(pixels, total, total_sq, in_ring)
    half = np.empty(bins.size, np.int64)
    for r in range(bins.size):
        wide = math.ceil(1.5 * fwhm[r] / width[bins[r]])
        half[r] = min(max(wide, _HALF[0]), _HALF[1])
    every, sigmas = np.empty((bins.size, SECTORS)), np.empty((bins.size, SECTORS))
    fit_amplitudes(sector, norm, variance, mean, bins, half, every, sigmas)
    order = best_known(sigmas, least, most)
    within = np.zeros(order.size)
    scatter_within(
        pixels, total, total_sq, mean, fano, bins[order], half[order], within
    )
    return every[order], sigmas[order], within
