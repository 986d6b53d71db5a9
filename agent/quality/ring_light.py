"""Compiled loops over the rings: intensity in each sector, and how it scatters."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.sector_steps import (
    HARMONICS,
    add_column,
    dot,
    remove,
    weigh,
)

__all__ = [
    "KNOWN",
    "fano_between",
    "fit_amplitudes",
    "fit_even",
    "grain_scatter",
    "scatter_within",
]

Floats = NDArray[np.float64]

KNOWN = 0.5
"""Standard deviation of a relative amplitude beyond which it is not known."""


_LEAST_TERMS = 5  # differences between sectors, for a variance


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
    n, sectors = sector.shape
    for r in range(bins.size):
        low, high = max(bins[r] - half[r], 1), min(bins[r] + half[r] + 1, n - 1)
        foot = mean[low:high].min()
        for s in range(sectors):
            s0 = s1 = s2 = y0 = y1 = 0.0
            for i in range(low, high):
                w = norm[i, s] / variance[i]
                x = mean[i] - foot
                s0 += w
                s1 += w * x
                s2 += w * x * x
                y0 += w * sector[i, s]
                y1 += w * x * sector[i, s]
            left = s2 - s1 * s1 / s0 if s0 > 0.0 else 0.0
            amplitude[r, s], sigma[r, s] = 0.0, math.inf
            if left > 0.0 and left > 0.05 * s2:
                amplitude[r, s] = (y1 - s1 * y0 / s0) / left
                sigma[r, s] = 1.0 / math.sqrt(left)


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
    n, sectors = total.shape
    for r in range(bins.size):
        low, high = max(bins[r] - half[r], 1), min(bins[r] + half[r] + 1, n - 1)
        foot, top = mean[low:high].min(), mean[low:high].max()
        scatter = power = 0.0
        for i in range(low, high):
            x = mean[i] - foot
            if x < 0.25 * (top - foot):
                continue
            slope = 0.5 * (mean[i + 1] - mean[i - 1])
            for s in range(sectors):
                count = pixels[i, s]
                if count > 2:
                    t = total[i, s] / count
                    extra = total_sq[i, s] - t * total[i, s] - (count - 1) * fano * t
                    scatter += extra - (count - 1) * slope * slope / 12.0
                    power += (count - 1) * x * x
        within[r] = scatter / power if power > 0.0 else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def grain_scatter(amplitude: Floats, sigma: Floats, floor: float) -> Floats:
    """Scatter of each ring's cells: by grains, by counting, cells, freedom; (R, 4).

    Variances are over the squared mean amplitude. Texture is even and smooth: neither
    the difference between facing sectors nor the second difference between neighbours
    sees it. The smaller of the two estimates counts. ``floor`` adds to ``sigma``;
    freedom 0 marks rings of which too little is known.
    """
    rings, sectors = amplitude.shape
    half = sectors // 2
    out = np.zeros((rings, 4))
    a, v = np.empty(sectors), np.empty(sectors)
    for r in range(rings):
        level, cells = 0.0, 0
        for s in range(sectors):
            known = sigma[r, s] < KNOWN
            a[s] = amplitude[r, s]
            v[s] = sigma[r, s] ** 2 + floor**2 if known else math.inf
            level += a[s] if known else 0.0
            cells += 1 if known else 0
        if cells == 0 or not level > 0.0:
            continue
        odd = odd_noise = bend = bend_noise = 0.0
        pairs = bends = 0
        for s in range(sectors):
            p, n = (s - 1) % sectors, (s + 1) % sectors
            if s < half and v[s] + v[s + half] < math.inf:
                odd += 0.5 * (a[s] - a[s + half]) ** 2
                odd_noise += 0.5 * (v[s] + v[s + half])
                pairs += 1
            if v[p] + v[s] + v[n] < math.inf:
                bend += (a[p] - 2.0 * a[s] + a[n]) ** 2 / 6.0
                bend_noise += (v[p] + 4.0 * v[s] + v[n]) / 6.0
                bends += 1
        scale, best = (cells / level) ** 2, math.inf
        if pairs >= _LEAST_TERMS:
            best = (odd - odd_noise) / pairs * scale
            out[r, 1], out[r, 3] = odd_noise / pairs * scale, pairs
        # Second differences share sectors: 35 of them are worth 18 independent ones.
        if bends >= _LEAST_TERMS and (bend - bend_noise) / bends * scale < best:
            best = (bend - bend_noise) / bends * scale
            out[r, 1], out[r, 3] = bend_noise / bends * scale, 18.0 / 35.0 * bends
        out[r, 0], out[r, 2] = best, cells
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fit_even(
    amplitude: Floats, sigma: Floats, floor: float
) -> tuple[float, float, float, float, float]:
    """Even harmonics 2, 4, 6 of a ring: J - 1, explained, left over, freedom, noise.

    J is the mean of the squared smooth intensity over the squared mean, less what the
    scatter about it makes. ``explained`` and what is left over are chi^2, the variance
    being ``sigma^2 + floor^2``; the first harmonic is fitted beside them. ``noise`` is
    the relative variance that is left over of one sector. Freedom 0: not known.
    """
    sectors = amplitude.size
    variance = np.zeros(sectors)
    known = 0
    for s in range(sectors):
        if sigma[s] < KNOWN:
            variance[s] = sigma[s] * sigma[s] + floor * floor
            known += 1
    free = known - 9.0
    if free < 3.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    weight, y, columns = weigh(amplitude, variance, 1, 6)
    for s in range(sectors):
        root = math.sqrt(weight[s])
        for m in range(1, 4):
            columns[1 + 2 * m, s] = root * HARMONICS[4 * m - 1, s]
            columns[2 + 2 * m, s] = root * HARMONICS[4 * m, s]
    for j in range(3, 9):
        add_column(columns, j)
    rest = y.copy()
    remove(columns, 9, rest)
    odd = y.copy()
    along = dot(columns[0], y)
    explained = dot(y, y) - dot(rest, rest) - along * along
    for j in range(1, 3):
        part = dot(columns[j], y)
        explained -= part * part
        odd -= part * columns[j]
    first = second = noise = 0.0
    for s in range(sectors):
        if weight[s] > 0.0:
            root = math.sqrt(weight[s])
            smooth = (odd[s] - rest[s]) / root
            first += smooth / known
            second += smooth * smooth / known
            noise += rest[s] * rest[s] / weight[s] / free
    if not first > 0.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    noise /= first * first
    excess = second / (first * first) - 1.0 - 6.0 / known * noise
    return excess, explained, dot(rest, rest), free, noise
