"""A pattern on the network's grid to its channels: background, scale, two views."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ringwatch.models.fast_math import FINITE

__all__ = ["LOG_GAIN", "SNIP_STEP", "SNIP_WINDOW", "fill_channels"]

Float = NDArray[np.float32]

LOG_GAIN = 2000.0
"""Second channel: log(1 + 2000 y) shows lines down to 1/2000 of the highest."""

SNIP_STEP = 0.004
"""Spacing of the uniform q grid the background is estimated on, in 1/Angstrom."""
SNIP_WINDOW = 40
"""Largest half window in steps. Forty windows in turn lower a curve as diffusion with a
standard deviation of sqrt(sum p^2) steps, 0.6 1/Angstrom, would: a slowly curving
background goes, a halo leaves a hump that the network has met in training, and a crowd
of overlapping lines is not mistaken for background."""


@njit(cache=True, nogil=True, fastmath=FINITE)
def _clip_peaks(level: Float, half_window: int) -> None:
    """Run SNIP in place: no point stays above the mean of its two neighbours.

    C. G. Ryan et al., Nucl. Instrum. Methods B 34 (1988) 396, with the window shrinking
    as in M. Morhac et al., Nucl. Instrum. Methods A 401 (1997) 113.
    """
    n = len(level)
    half_window = min(half_window, (n - 1) // 2)
    now, then = level, level.copy()
    for p in range(half_window, 0, -1):
        # Slices, and no index that might be negative, let the compiler vectorise.
        left, middle, right = now[: n - 2 * p], now[p : n - p], now[2 * p :]
        clipped = then[p : n - p]
        for i in range(n - 2 * p):
            mean = np.float32(0.5) * (left[i] + right[i])
            clipped[i] = min(middle[i], mean)
        then[:p], then[n - p :] = now[:p], now[n - p :]
        now, then = then, now
    level[:] = now


@njit(cache=True, nogil=True)
def fill_channels(
    intensity: Float, covered: Float, q: NDArray[np.float64], out: Float
) -> None:
    """Background off, highest point to one, square root and logarithm: one pattern."""
    n = len(q)
    first, last = -1, -1
    lowest, highest = np.float32(np.inf), np.float32(-np.inf)
    for i in range(n):
        if covered[i] > 0:
            first = i if first < 0 else first
            last = i
            lowest = min(lowest, intensity[i])
            highest = max(highest, intensity[i])
    out[:] = 0
    if first < 0 or not highest > lowest:
        return
    # SNIP works on square roots, where counting noise is equally wide everywhere.
    m = int((q[last] - q[first]) / SNIP_STEP) + 2
    level = np.empty(m, np.float32)
    j = first
    for k in range(m):
        x = min(q[first] + k * SNIP_STEP, q[last])
        while j < last - 1 and q[j + 1] < x:
            j += 1
        share = (x - q[j]) / (q[j + 1] - q[j]) if last > first else 0.0
        y = intensity[j] + share * (intensity[min(j + 1, last)] - intensity[j])
        level[k] = math.sqrt(max((y - lowest) / (highest - lowest), 0.0))
    _clip_peaks(level, SNIP_WINDOW)
    top = np.float32(1e-12)
    for i in range(first, last + 1):
        if covered[i] > 0:
            place = (q[i] - q[first]) / SNIP_STEP
            k = min(int(place), m - 2)
            base = level[k] + (place - k) * (level[k + 1] - level[k])
            y = (intensity[i] - lowest) / (highest - lowest) - base * base
            out[0, i] = max(y, 0.0)
            top = max(top, out[0, i])
    for i in range(first, last + 1):
        if covered[i] > 0:
            y = out[0, i] / top
            out[0, i] = math.sqrt(y)
            out[1, i] = math.log(np.float32(1.0) + np.float32(LOG_GAIN) * y) / 7.6
            out[2, i] = covered[i]
