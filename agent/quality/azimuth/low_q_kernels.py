"""Compiled loops over the cells next to the beam, and which bins lie in a ring."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.profile_kernels import nth_smallest

__all__ = [
    "excess_near_beam",
    "first_even_bin",
    "in_rings",
    "light_beyond",
    "mark_rings",
    "rings_all_around",
    "trend_near_beam",
]

Floats = NDArray[np.float64]


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
def in_rings(
    radius: Floats,
    bins: NDArray[np.int64],
    fwhm: Floats,
    bins_before: NDArray[np.int64],
    fwhm_before: Floats,
) -> NDArray[np.bool_]:
    """Bins within a ring of one set or of another."""
    marked = np.zeros(radius.size, np.bool_)
    mark_rings(radius, bins, fwhm, marked)
    mark_rings(radius, bins_before, fwhm_before, marked)
    return marked


@numba.njit(nogil=True, cache=True, error_model="numpy")
def first_even_bin(
    sector: Floats, norm: Floats, mean: Floats, dark_below: float
) -> tuple[int, int, int]:
    """First bin that is covered, out of the beamstop's shadow, and of its penumbra.

    Looked for in the inner quarter. A bin is in the shadow where the mean is below
    ``dark_below`` times the median of the inner third, in the penumbra where fewer than
    four fifths of the sectors reach half the mean; all inside the last such bin counts
    as such.
    """
    bins, sectors = sector.shape
    inner = max(bins // 3, 1)
    level = dark_below * nth_smallest(mean[:inner].copy(), inner, inner // 2)
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
def rings_all_around(
    sector: Floats,
    norm: Floats,
    trend: Floats,
    end: int,
    in_ring: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Bins before ``end`` that are in a ring, and not in a blob that looks like one.

    A ring is brighter than the trend in a quarter of the sectors, by a third.
    """
    out = np.zeros(end, np.bool_)
    for i in range(end):
        if not in_ring[i]:
            continue
        covered = bright = 0
        for s in range(sector.shape[1]):
            if norm[i, s] > 0.0:
                covered += 1
                bright += 1 if sector[i, s] > 1.33 * trend[i] else 0
        out[i] = 4 * bright >= covered
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def trend_near_beam(radius: Floats, mean: Floats, anchor: int) -> Floats:
    """What the light further out lets expect near the beam (n,).

    A power law through the light at bin ``anchor`` and at twice its radius; constant
    inside of half of it.
    """
    n = mean.size
    outer = anchor
    while outer < n - 5 and radius[outer] < 2.0 * radius[anchor]:
        outer += 1
    inside, outside = 0.0, 0.0
    for k in range(4):
        inside += mean[min(anchor + k, n - 1)] / 4.0
        outside += mean[min(outer + k, n - 1)] / 4.0
    steep = 0.0
    if inside > 0.0 and outside > 0.0 and outer > anchor:
        steep = math.log(inside / outside) / math.log(radius[outer] / radius[anchor])
        steep = min(max(steep, 0.0), 6.0)
    out = np.empty(n)
    for i in range(n):
        r = max(radius[i], 0.5 * radius[anchor])
        out[i] = max(inside, 0.0) * (radius[anchor] / r) ** steep
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def light_beyond(
    radius: Floats,
    mean: Floats,
    variance: Floats,
    before: Floats,
    beside: float,
    inner: int,
) -> tuple[float, int, float]:
    """Counts of a quantum, where the neighbourhood of the beam ends, light beyond.

    The end is the first bin from radius ``beside`` on, but not before bin ``inner``.
    The light is that over the light of the profile ``before``, 1 if that is empty.
    """
    noise = light = 0.0
    for i in range(mean.size):
        noise += variance[i]
        light += mean[i]
    end = max(int(np.searchsorted(radius, beside)), inner)
    was = now = 0.0
    if before.size:
        for i in range(end, mean.size):
            was += radius[i] * before[i]
            now += radius[i] * mean[i]
    gain = max(noise / max(light, 1e-9), 1.0)
    return gain, end, now / was if was > 0.0 else 1.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def excess_near_beam(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    maximum: Floats,
    expected: Floats,
    scale: float,
    in_ring: NDArray[np.bool_],
    inner: int,
    end: int,
    times: tuple[float, float],
    threshold: float,
    gain: float,
) -> Floats:
    """Counts above ``scale * expected`` in cells of more than ``times`` that.

    The first of ``times`` holds before bin ``inner``, the second beyond. Each cell must
    stand out by ``threshold`` sigma, and by what few quanta of ``gain`` counts do by
    chance.

    ``expected`` is (n_q, 32), or (n_q, 1) where it is the same all around. Of the cells
    before bin ``end`` that are in no ring. Gives the excess, its variance, the part
    before bin ``inner``, the part beyond that goes to one side more than to the other,
    the share of the azimuth that takes part beyond, and the brightest pixel.
    """
    sectors = sector.shape[1]
    around = np.zeros(sectors)
    out = np.zeros(6)
    everywhere = expected.shape[1] == 1
    for i in range(end):
        if in_ring[i] and i >= inner:
            continue
        for s in range(sectors):
            w = norm[i, s]
            if not w > 0.0:
                continue
            e = scale * max(expected[i, 0 if everywhere else s], 0.0)
            if not sector[i, s] > times[0 if i < inner else 1] * e:
                continue
            more = (sector[i, s] - e) * w
            noise = threshold * math.sqrt(variance[i] * w) + threshold**2 * gain
            if more > noise:
                out[0] += more
                out[1] += variance[i] * w
                out[5] = max(out[5], maximum[i, s])
                if i < inner:
                    out[2] += more
                else:
                    around[s] += more
    power = 0.0
    for s in range(sectors):
        out[3] += max(around[s] - around[(s + sectors // 2) % sectors], 0.0)
        power += around[s] * around[s]
    beyond = out[0] - out[2]
    out[4] = beyond * beyond / (sectors * power) if power > 0.0 else 0.0
    return out
