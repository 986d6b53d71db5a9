"""Compiled loops over the bins next to the beam, and which of them lie in a ring."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import MAX_Q_BINS
from ringwatch.agent.quality.geometry.profile_kernels import nth_smallest

__all__ = [
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
    sector: Floats,
    norm: Floats,
    mean: Floats,
    dark_below: float,
    most_lit: int = MAX_Q_BINS,
) -> tuple[int, int, int]:
    """First bin that is covered, out of the beamstop's shadow, and of its penumbra.

    Looked for in the inner quarter, as far as ``most_lit`` bins in a row that lie in
    neither: beyond those it is dark between rings. A bin is in the shadow where the
    mean is below ``dark_below`` times the median of the inner third, in the penumbra
    where fewer than four fifths of the sectors reach half the mean; all inside the last
    such bin counts as such.
    """
    bins, sectors = sector.shape
    inner = max(bins // 3, 1)
    level = dark_below * nth_smallest(mean[:inner].copy(), inner, inner // 2)
    covered_from, dark, last, even = bins, -1, -1, 0
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
        even += 1
        if mean[i] < level or lit < 0.8 * covered:
            last, even = i, 0
        if even >= most_lit:
            break
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
