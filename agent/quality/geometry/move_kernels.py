"""Compiled fits of one ring in one sector, and of what follows from a few of them."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.profile_kernels import median_of, slope_of

__all__ = [
    "fit_windows",
    "invert_scaled",
    "measure_windows",
    "share_of_azimuth",
    "shrink",
]

Floats = NDArray[np.float64]

_HUBER = 1.5
_ROUNDS = 5
_FILL = 0.75  # of a sector; the pixels of one filled less lie off its middle
_WORST_CONDITION = 1e6


@numba.njit(nogil=True, cache=True, error_model="numpy")
def measure_windows(
    sector: Floats,
    norm: Floats,
    mean: Floats,
    whole: Floats,
    step: Floats,
    variance: Floats,
    radius: Floats,
    bins: NDArray[np.int64],
    half: int,
    moved: float,
    results: Floats,
    radii: Floats,
) -> float:
    """Fit all windows of a frame about its rings at ``bins`` (R,), ``half`` bins wide.

    ``sector``, ``norm`` are (n, S), the profiles (n,). Fills ``results`` (5, R, S):
    move, sigma, height, its variance, and the height shrunk; and ``radii`` (R,). Gives
    the share of the azimuth that takes part.
    """
    slope = slope_of(mean, whole)
    for i in range(slope.size):
        slope[i] /= step[i]
    fill = np.empty(bins.size)
    for ring in range(bins.size):
        r = radii[ring] = radius[bins[ring]]
        # A sector that was moved reads from another radius, of more pixels or fewer.
        fill[ring] = _FILL * max((r - moved) / (r + moved), 0.0)
    move, sigma, height, height_variance, shrunk = results
    fit_windows(
        sector, norm, mean, slope, variance, bins, half, fill,
        move, sigma, height, height_variance,
    )  # fmt: skip
    shrink(height, height_variance, shrunk)
    return share_of_azimuth(shrunk, sigma)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fit_windows(
    sector: Floats,
    norm: Floats,
    mean: Floats,
    slope: Floats,
    variance: Floats,
    bins: NDArray[np.int64],
    half: int,
    fill: Floats,
    move: Floats,
    sigma: Floats,
    height: Floats,
    height_variance: Floats,
) -> None:
    """Fit ``background + height * mean - move * slope`` in each (ring, sector) window.

    A window reaches ``half`` bins either side of ``bins`` (R,) and must hold ``fill``
    (R,) of the pixels that the fullest one of its ring holds. The results, (R, S),
    are infinite in ``sigma`` and ``height_variance`` where a window cannot be fitted,
    or holds so few pixels that they may lie far from the middle of their sector.
    """
    n, sectors = sector.shape
    least = max(4, half)
    sums = np.empty((10, sectors))
    filled = np.empty(sectors, np.int64)
    for ring in range(bins.size):
        first, last = max(bins[ring] - half, 0), min(bins[ring] + half, n - 1)
        low = high = mean[first]
        for i in range(first, last + 1):
            low, high = min(low, mean[i]), max(high, mean[i])
        top = max(high - low, 1e-12)  # so scaled, the systems are well conditioned
        per_top = 1.0 / top
        sums[:] = 0.0
        filled[:] = 0
        for i in range(first, last + 1):
            w = 1.0 / variance[i]
            shape, minus = (mean[i] - low) * per_top, -slope[i] * per_top
            w1, w2, w_data = w * shape, w * minus, w * per_top
            w11, w12, w22 = w1 * shape, w1 * minus, w2 * minus
            for s in range(sectors):
                each = norm[i, s]
                y = each * sector[i, s]
                sums[0, s] += w * each
                sums[1, s] += w1 * each
                sums[2, s] += w2 * each
                sums[3, s] += w11 * each
                sums[4, s] += w12 * each
                sums[5, s] += w22 * each
                sums[6, s] += w_data * y
                sums[7, s] += w_data * shape * y
                sums[8, s] += w_data * minus * y
                sums[9, s] += each
                filled[s] += each > 0.0
        full = fill[ring] * sums[9].max()
        for s in range(sectors):
            a, b, c, d, e, f = sums[:6, s]
            aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
            determinant = a * aa + b * bb + c * cc
            lacks = filled[s] < least or sums[9, s] < full
            if lacks or not determinant > 1e-9 * a * d * f:
                move[ring, s] = height[ring, s] = 0.0
                sigma[ring, s] = height_variance[ring, s] = math.inf
                continue
            dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
            x, y, z = sums[6, s], sums[7, s], sums[8, s]
            over = 1.0 / determinant
            height[ring, s] = (bb * x + dd * y + ee * z) * over
            move[ring, s] = (cc * x + ee * y + ff * z) * over
            height_variance[ring, s] = dd * over * per_top * per_top
            sigma[ring, s] = math.sqrt(ff * over) * per_top


@numba.njit(nogil=True, cache=True, error_model="numpy")
def shrink(height: Floats, variance: Floats, shrunk: Floats) -> None:
    """Pull noisy heights (R, S) towards 1: their noise would bias the moves to zero.

    0 where the window could not be fitted (infinite variance), and never below.
    """
    shrunk[:] = 0.0
    for r in range(height.shape[0]):
        off = noise = 0.0
        count = 0
        for s in range(height.shape[1]):
            if variance[r, s] < math.inf:
                off += (height[r, s] - 1.0) ** 2
                noise += variance[r, s]
                count += 1
        real = max(off / max(count, 1) - noise / max(count, 1), 0.0)
        for s in range(height.shape[1]):
            if variance[r, s] < math.inf:
                trust = real / (real + variance[r, s] + 1e-30)
                shrunk[r, s] = max(1.0 + trust * (height[r, s] - 1.0), 0.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def share_of_azimuth(amplitude: Floats, sigma: Floats) -> float:
    """``(sum a)^2 / (n sum a^2)`` over the fitted sectors of each ring; the median."""
    shares = np.empty(amplitude.shape[0])
    known = 0
    for r in range(amplitude.shape[0]):
        total = squares = 0.0
        count = 0
        for s in range(amplitude.shape[1]):
            if sigma[r, s] < math.inf:
                total += amplitude[r, s]
                squares += amplitude[r, s] ** 2
                count += 1
        if squares > 0.0:
            shares[known] = total**2 / (count * squares)
            known += 1
    return median_of(shares, known) if known else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _invert(matrix: Floats, inverse: Floats) -> bool:
    """Invert a symmetric, positive matrix (p, p) by Cholesky; False where it is not."""
    p = matrix.shape[0]
    lower = np.zeros((p, p))
    for j in range(p):
        rest = matrix[j, j]
        for k in range(j):
            rest -= lower[j, k] ** 2
        if not rest > 0.0:
            return False
        lower[j, j] = math.sqrt(rest)
        for i in range(j + 1, p):
            value = matrix[i, j]
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            lower[i, j] = value / lower[j, j]
    column = np.empty(p)
    for c in range(p):
        for i in range(p):
            value = 1.0 if i == c else 0.0
            for k in range(i):
                value -= lower[i, k] * column[k]
            column[i] = value / lower[i, i]
        for i in range(p - 1, -1, -1):
            value = column[i]
            for k in range(i + 1, p):
                value -= lower[k, i] * inverse[k, c]
            inverse[i, c] = value / lower[i, i]
    return True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def invert_scaled(normal: Floats, inverse: Floats) -> bool:
    """Invert after scaling to unit diagonal; False where the columns are dependent."""
    p = normal.shape[0]
    scaled = np.empty((p, p))
    for j in range(p):
        if not normal[j, j] > 0.0:
            return False
        for k in range(p):
            scaled[j, k] = normal[j, k] / math.sqrt(normal[j, j] * normal[k, k])
    if not _invert(scaled, inverse):
        return False
    size = inverse_size = 0.0
    for j in range(p):
        size = max(size, np.abs(scaled[j]).sum())
        inverse_size = max(inverse_size, np.abs(inverse[j]).sum())
    for j in range(p):
        for k in range(p):
            inverse[j, k] /= math.sqrt(normal[j, j] * normal[k, k])
    return size * inverse_size < _WORST_CONDITION
