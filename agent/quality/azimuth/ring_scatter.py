"""Compiled: how the light of rings varies from sector to sector: grains, texture."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.azimuth.ring_light import KNOWN
from ringwatch.agent.quality.azimuth.sector_steps import (
    HARMONICS,
    add_column,
    dot,
    remove,
    weigh,
)
from ringwatch.agent.quality.geometry.profile_kernels import nth_smallest

__all__ = ["typical_scatter", "typical_texture"]

Floats = NDArray[np.float64]

_LEAST_TERMS = 5  # differences between sectors, for a variance


@numba.njit(nogil=True, cache=True, error_model="numpy")
def typical_scatter(
    amplitude: Floats, sigma: Floats, within: Floats, floor: float
) -> tuple[float, float, float, float, float]:
    """Medians over the rings: grains, counting, cells, pixels within; freedom of all.

    Each as ``grain_scatter`` gives it, and of ``within``; of an even number of rings
    the upper one. Freedom 0: of no ring enough is known.
    """
    rows = grain_scatter(amplitude, sigma, floor)
    held = np.empty((4, within.size))
    n, freedom = 0, 0.0
    for r in range(within.size):
        if rows[r, 3] > 0.0:
            held[0, n], held[1, n], held[2, n] = rows[r, 0], rows[r, 1], rows[r, 2]
            held[3, n] = within[r]
            freedom += rows[r, 3]
            n += 1
    if n == 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    grains, noise = nth_smallest(held[0], n, n // 2), nth_smallest(held[1], n, n // 2)
    cells, inside = nth_smallest(held[2], n, n // 2), nth_smallest(held[3], n, n // 2)
    return grains, noise, cells, inside, freedom


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
def typical_texture(
    amplitude: Floats, sigma: Floats, floor: float, least: int, most: int
) -> tuple[float, float, float, float, float]:
    """Mean of ``fit_even`` over the first ``most`` rings that are known well enough.

    In ``least`` of the 16 directions that are left when facing sectors are the same.
    """
    half = SECTORS // 2
    sums = np.zeros(5)
    tried = used = 0
    for r in range(amplitude.shape[0]):
        known = 0
        for s in range(half):
            if sigma[r, s] < KNOWN or sigma[r, s + half] < KNOWN:
                known += 1
        if known < least or tried == most:
            continue
        tried += 1
        fit = fit_even(amplitude[r], sigma[r], floor)
        if fit[3] < 3.0:
            continue
        used += 1
        for k, value in enumerate(fit):
            sums[k] += value
    if used:
        sums /= used
    return sums[0], sums[1], sums[2], sums[3], sums[4]


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
