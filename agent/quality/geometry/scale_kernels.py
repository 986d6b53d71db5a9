"""Compiled fit of a reference's rings in one profile: how far, how high, what scale."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.maxima_kernels import MOST_RINGS, seek_rings
from ringwatch.agent.quality.geometry.profile_kernels import (
    median_of,
    read_scaled,
    slope_of,
)

__all__ = ["NO_RINGS", "fit_rings", "follow_rings", "through_origin"]

Floats = NDArray[np.float64]

NO_RINGS = -1.0
"""Brightness that tells of a reference without two rings."""

_HUBER = 1.5
_ROUNDS = 5
_QUIETEST = 0.003  # px; a ring's radius is never known better
_LEAST_AMPLITUDE = 0.1
_FOLLOWED = 8  # rounds
_STILL = 0.1  # sigma


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fit_rings(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    radius: Floats,
    step: Floats,
    pitch: float,
    known_mean: Floats,
    known_spread: Floats,
    scale: float,
    moved: Floats,
) -> tuple[int, float, float, float, float, float, float, float, float, float]:
    """Fit the rings of a known profile, scaled, in another one, all (n,).

    Each ring by ``background + height * known - move * slope`` in a window of its own.

    Parameters
    ----------
    mean, variance, whole : (n,) float64
        The frame's profile, its variance times ``whole``, its weight.
    radius, step : (n,) float64
        Of the bins, pixels.
    pitch : float
        Median of ``step``.
    known_mean, known_spread : (n,) float64
        The reference's profile and its variance.
    scale : float
        Relative change by which the reference is read.
    moved : (3, MOST_RINGS) float64
        Takes radius in the reference, move from it and its sigma, by ring, all pixels.

    Returns
    -------
    usable : int
        Rings in ``moved``.
    change, sigma, scatter, counting, freedom, apart : float
        Of the radii against the scaled reference (``through_origin``; NaN with fewer
        than two usable rings), ``apart`` in typical widths of the rings.
    bright, height, height_sigma : float
        Mean profile over the known one (``NO_RINGS`` where that has fewer than two
        rings), and weighted mean of the heights of the rings over that.
    """
    n = mean.size
    read = np.empty((2, n))
    if scale == 0.0:
        read[0], read[1] = known_mean, known_spread
    else:
        slope = slope_of(known_mean, whole)
        read_scaled(radius, known_mean, slope, known_spread, scale, read)
    template, spread = read[0], read[1]
    level = light = 0.0
    for i in range(n):
        level += whole[i] * template[i]
        light += whole[i] * mean[i]
    bright = max(light / max(level, 1e-12), 1e-6)
    lit = np.empty(n)
    for i in range(n):
        template[i] *= bright
        spread[i] = variance[i] + spread[i] * bright**2 * whole[i]
        lit[i] = whole[i] > 0.0
    bins, fwhm = np.empty(MOST_RINGS, np.int64), np.empty(MOST_RINGS)
    rings, width = seek_rings(
        template, spread, whole, lit, 1.0, radius, step, bins, fwhm
    )
    if rings < 2:
        none = math.nan
        return 0, none, none, none, none, none, math.inf, NO_RINGS, none, math.inf
    slope = slope_of(template, whole)
    half = int(min(max(math.ceil(1.3 * width / pitch), 3), 20))
    usable = 0
    total = lift = 0.0
    for ring in range(rings):
        at = bins[ring]
        first, last = max(at - half, 0), min(at + half, n - 1)
        move, sigma, height, noise = _fit_ring(
            mean, whole, template, slope, step, spread, first, last, max(4, half)
        )
        if not noise < math.inf:
            continue
        total += 1.0 / noise
        lift += height / noise
        real = max((height - 1.0) ** 2 - noise, 0.0)  # noise would bias the move to 0
        a = max(1.0 + real / (real + noise + 1e-30) * (height - 1.0), 0.0)
        if a > _LEAST_AMPLITUDE:
            moved[0, usable] = radius[at]
            moved[1, usable] = move / a
            moved[2, usable] = math.hypot(sigma / a, _QUIETEST)
            usable += 1
    high, high_sigma = math.nan, math.inf
    if total > 0.0:
        high, high_sigma = lift / total, 1.0 / math.sqrt(total)
    if usable < 2:
        none = math.nan
        nothing = (usable, none, none, none, none, none, math.inf)
        return *nothing, bright, high, high_sigma
    change, error, scatter, counting, freedom, apart = through_origin(
        moved[0, :usable], moved[1, :usable], moved[2, :usable]
    )
    for k in range(usable):  # from the unscaled reference
        moved[0, k] /= 1.0 + scale
        moved[1, k] += moved[0, k] * scale
    apart /= width
    fit = (usable, change, error, scatter, counting, freedom, apart)
    return *fit, bright, high, high_sigma


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fit_ring(
    mean: Floats,
    whole: Floats,
    template: Floats,
    slope: Floats,
    step: Floats,
    variance: Floats,
    first: int,
    last: int,
    least: int,
) -> tuple[float, float, float, float]:
    """Move in pixels and its sigma, height and its variance, of one ring.

    By weighted linear least squares over the bins ``first`` to ``last``, of which
    ``least`` must hold pixels. The last number is infinite where it cannot be fitted.
    """
    low = high = template[first]
    for i in range(first, last + 1):
        low, high = min(low, template[i]), max(high, template[i])
    top = max(high - low, 1e-12)  # so scaled, the system is well conditioned
    a = b = c = d = e = f = x = y = z = 0.0
    filled = 0
    for i in range(first, last + 1):
        w = whole[i] / variance[i]
        shape, minus = (template[i] - low) / top, -slope[i] / (step[i] * top)
        data = w * mean[i] / top
        a += w
        b += w * shape
        c += w * minus
        d += w * shape * shape
        e += w * shape * minus
        f += w * minus * minus
        x += data
        y += data * shape
        z += data * minus
        filled += whole[i] > 0.0
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * aa + b * bb + c * cc
    if filled < least or not determinant > 1e-9 * a * d * f:
        return 0.0, math.inf, 0.0, math.inf
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    height = (bb * x + dd * y + ee * z) / determinant
    move = (cc * x + ee * y + ff * z) / determinant
    sigma = math.sqrt(ff / determinant) / top
    return move, sigma, height, dd / determinant / top**2


@numba.njit(nogil=True, cache=True, error_model="numpy")
def through_origin(
    r: Floats, moved: Floats, noise: Floats
) -> tuple[float, float, float, float, float, float]:
    """Robust ``moved = slope r``.

    Gives the slope and its standard deviation: the best guess, by the scatter alone
    (HC3), and by ``noise`` alone; the degrees of freedom of the scatter, and the
    scatter itself in pixels.
    """
    n = r.size
    huber, size, weight = np.ones(n), np.empty(n), np.empty(n)
    for k in range(n):
        size[k] = noise[k] ** 2
    usual = median_of(size, n)
    excess = used = slope = power = typical = 0.0
    for _ in range(_ROUNDS):
        used = excess
        power = lift = 0.0
        for k in range(n):
            weight[k] = huber[k] / (noise[k] ** 2 + used)
            power += weight[k] * r[k] * r[k]
            lift += weight[k] * r[k] * moved[k]
        slope = lift / power
        for k in range(n):
            size[k] = abs(moved[k] - slope * r[k])
        typical = 1.4826 * median_of(size, n)
        excess = max(typical**2 - usual, 0.0)
        for k in range(n):
            s = abs(moved[k] - slope * r[k]) / math.sqrt(noise[k] ** 2 + excess)
            huber[k] = _HUBER / s if s > _HUBER else 1.0
    variance = counted = first = second = 0.0
    for k in range(n):
        influence = weight[k] * r[k] / power
        counted += (influence * noise[k]) ** 2
        leverage = min(influence * r[k], 0.9)
        variance += (influence * (moved[k] - slope * r[k]) / (1.0 - leverage)) ** 2
        part = influence**2 * (noise[k] ** 2 + used)
        first += part
        second += part * part
    within = np.count_nonzero(huber == 1.0)
    variance *= (huber.sum() / max(within, 1)) ** 2
    sigma = math.sqrt(max(variance, 1.0 / power))
    freedom = max(first**2 / second - 1.0, 1.0)
    return slope, sigma, math.sqrt(variance), math.sqrt(counted), freedom, typical


@numba.njit(nogil=True, cache=True, error_model="numpy")
def follow_rings(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    radius: Floats,
    step: Floats,
    known_mean: Floats,
    known_spread: Floats,
    bright: float,
    half: int,
    moved: Floats,
) -> None:
    """Fit each ring again where it lies now, until it stays: exact for large moves.

    Parameters
    ----------
    mean, variance, whole, radius, step, known_mean, known_spread : (n,) float64
        As in ``fit_rings``.
    bright : float
        Mean profile over the known one.
    half : int
        Bins that a window reaches either side of its ring.
    moved : (3, rings) float64
        As ``fit_rings`` left it; moves and sigmas are replaced, the latter infinite
        where a ring is lost.
    """
    n = mean.size
    known_slope = slope_of(known_mean, whole)
    template, slope, spread = np.empty(n), np.empty(n), np.empty(n)
    for ring in range(moved.shape[1]):
        move, sigma = moved[1, ring], math.inf
        for _ in range(_FOLLOWED):
            at = np.searchsorted(radius, moved[0, ring] + move)
            first, last = max(at - half, 0), min(at + half, n - 1)
            for i in range(first, last + 1):
                wanted = min(max(radius[i] - move, radius[0]), radius[n - 1])
                low = min(max(np.searchsorted(radius, wanted) - 1, 0), n - 2)
                p = (wanted - radius[low]) / (radius[low + 1] - radius[low])
                q = 1.0 - p
                left, right = known_slope[low], known_slope[low + 1]
                value = q * q * (1.0 + 2.0 * p) * known_mean[low]
                value += p * p * (1.0 + 2.0 * q) * known_mean[low + 1]
                template[i] = bright * (value + p * q * (q * left - p * right))
                slope[i] = bright * (q * left + p * right)
                noise = q * known_spread[low] + p * known_spread[low + 1]
                spread[i] = variance[i] + noise * bright**2 * whole[i]
            more, error, height, noise = _fit_ring(
                mean, whole, template, slope, step, spread, first, last, max(4, half)
            )
            sigma = math.inf
            if not (noise < math.inf and height > _LEAST_AMPLITUDE):
                break
            more /= height
            move += more
            sigma = math.hypot(error / height, _QUIETEST)
            if abs(more) < _STILL * sigma:
                break
        moved[1, ring], moved[2, ring] = move, sigma
