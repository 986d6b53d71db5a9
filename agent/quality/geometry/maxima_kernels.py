"""Compiled search for the rings: maxima of a profile that stand out of its noise."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.profile_kernels import bridged

__all__ = ["MOST_RINGS", "find_maxima", "seek_rings"]

Floats = NDArray[np.float64]

MOST_RINGS = 40
"""The strongest ones are kept."""

_STANDS_OUT = 8.0  # standard deviations of counting noise, in one bin
_PROMINENCE_BINS = 50  # either side: far enough to see the foot of a broad ring
_LOWEST_RADIUS = 12.0  # px; nearer the beam a sector holds a pixel or two per bin
_LEAST_BINS = 16


@numba.njit(nogil=True, cache=True, error_model="numpy")
def seek_rings(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    lit: Floats,
    least_lit: float,
    radius: Floats,
    step: Floats,
    bins: NDArray[np.int64],
    fwhm: Floats,
) -> tuple[int, float]:
    """Find the rings of a profile (n,); how many, and their typical width in pixels.

    ``variance`` is that of ``mean`` times ``whole``; ``lit`` counts the sectors behind
    each bin, of which ``least_lit`` are needed. ``bins`` and ``fwhm``, both
    (``MOST_RINGS``,), take the rings by rising radius. Without rings the width is NaN.
    """
    n = mean.size
    seen, noise = np.empty(n), np.empty(n)
    known = 0
    for i in range(n):
        usable = whole[i] > 0.0 and radius[i] > _LOWEST_RADIUS and lit[i] >= least_lit
        seen[i] = 1.0 if usable else 0.0
        noise[i] = math.sqrt(variance[i] / whole[i]) if usable else math.inf
        known += usable
    if known < _LEAST_BINS:
        return 0, math.nan
    # Empty bins (behind a beamstop, between modules) are bridged, not taken for dips.
    height = bridged(mean, seen)
    every = np.empty((3, n))
    found = find_maxima(height, noise, _STANDS_OUT, _PROMINENCE_BINS, every)
    if not found:
        return 0, math.nan
    prominence, wide = every[1, :found], every[2, :found]
    # What is broader than ten times a typical ring is scattering of air or glass.
    widest = 4.0 * _weighted_median(wide, prominence)
    least = 0.002 * prominence.max()
    keep = (wide < widest) & (wide > 1.2) & (prominence > least)
    kept = np.flatnonzero(keep)
    if kept.size > MOST_RINGS:
        order = np.argsort(-prominence[kept], kind="mergesort")[:MOST_RINGS]
        kept = np.sort(kept[order])
    count = kept.size
    if not count:
        return 0, math.nan
    mass = np.empty(count)
    for k in range(count):
        ring = kept[k]
        bins[k] = int(every[0, ring])
        fwhm[k] = wide[ring] * step[bins[k]]
        mass[k] = math.sqrt(prominence[ring])
    return count, _weighted_median(fwhm[:count], mass)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, kind="mergesort")
    total = 0.0
    for k in order:
        total += weights[k]
    mass = 0.0
    for k in order:
        mass += weights[k]
        if mass >= 0.5 * total:
            return float(values[k])
    return float(values[order[-1]])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def find_maxima(
    height: Floats, noise: Floats, stands_out: float, reach: int, out: Floats
) -> int:
    """Maxima that stand out of the noise: bin, prominence, width in bins.

    As ``scipy.signal.find_peaks`` and ``peak_widths`` define them: prominence of
    ``stands_out * noise`` at least within ``reach`` bins either side, width at half of
    it, the middle of a flat top. ``out`` (3, n) takes them; how many there are is
    returned.
    """
    n = height.size
    found = 0
    i = 1
    while i < n - 1:
        ahead = i + 1
        if height[i - 1] < height[i]:
            while ahead < n - 1 and height[ahead] == height[i]:
                ahead += 1
            if height[ahead] < height[i]:
                peak = (i + ahead - 1) // 2
                if _measure(height, peak, stands_out * noise[peak], reach, out, found):
                    found += 1
                i = ahead
        i += 1
    return found


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _measure(
    height: Floats, peak: int, least: float, reach: int, out: Floats, row: int
) -> bool:
    """Prominence and width of one maximum; False where it doesn't stand out."""
    top = height[peak]
    left_min = right_min = top
    left = right = peak
    k = peak
    while k >= max(peak - reach, 0) and height[k] <= top:
        if height[k] < left_min:
            left_min, left = height[k], k
        k -= 1
    if not top - left_min >= least:
        return False
    k = peak
    while k <= min(peak + reach, height.size - 1) and height[k] <= top:
        if height[k] < right_min:
            right_min, right = height[k], k
        k += 1
    prominence = top - max(left_min, right_min)
    if not prominence >= least:
        return False
    half = top - 0.5 * prominence
    k = peak
    while k > left and height[k] > half:
        k -= 1
    start = float(k)
    if height[k] < half:
        start += (half - height[k]) / (height[k + 1] - height[k])
    k = peak
    while k < right and height[k] > half:
        k += 1
    end = float(k)
    if height[k] < half:
        end -= (half - height[k]) / (height[k - 1] - height[k])
    out[0, row], out[1, row], out[2, row] = peak, prominence, end - start
    return True
