"""Compiled loops over a profile or a window of frames, for flags of the series."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["compare_shapes", "cut_spikes", "take_in", "update_memory"]

Floats = NDArray[np.float64]
Numbers = tuple[float, float, float, float]

_ALONE = 4.0  # standard deviations that a bin may stick out by itself
_SPIKE = 4.0  # height over that of the neighbours
_MOST_CORRELATED = 0.7  # a bent ramp leaves smooth residuals and is a ramp all the same


@numba.njit(nogil=True, cache=True, error_model="numpy")
def compare_shapes(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    memory: Floats,
    memory_var: Floats,
    left: Floats,
) -> tuple[float, float, float, float, float, int]:
    """Fit ``mean = slope * memory + level`` and measure what is left.

    Parameters
    ----------
    mean, variance, whole : (n,) float64
        As in ``Profiles``: the variance of ``mean`` is ``variance / whole``.
    memory, memory_var : (n,) float64
        Remembered profile and the variance of it, infinite where nothing was seen.
    left : (n,) float64
        Takes what is left of ``mean``, bins that stick out alone cut down.

    Returns
    -------
    slope, level : float
        Of the fit.
    chi2 : float
        Reduced chi-square of what is left.
    moved, noise : float
        Half the absolute difference over the counts, and what counting noise makes of
        it, 0..1.
    bins : int
        Bins used, 0 where one of the two has no counts above the dark.
    """
    n = mean.size
    total = remembered = middle = 0.0
    used = 0
    own = np.empty(n)  # variance of the frame; below 0 where one of the two is missing
    for i in range(n):
        seen = (whole[i] > 0.0) & (memory_var[i] < np.inf)
        own[i] = variance[i] / whole[i] if seen else -1.0
        weight = whole[i] if seen else 0.0
        total += weight * mean[i]
        remembered += weight * memory[i]
        middle += memory[i]
        used += seen
    if not (total > 0.0 and remembered > 0.0):
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0
    slope, level = total / remembered, 0.0
    for _ in range(3):  # robust fits
        slope, level = _fit_shape(
            mean, own, memory, memory_var, middle / n, slope, level
        )
    z, sigma = np.zeros(n + 2), np.zeros(n)  # z from 1 on, with a 0 at either end
    for i in range(n):
        if own[i] >= 0.0:
            sigma[i] = np.sqrt(own[i] + slope**2 * memory_var[i])
            z[i + 1] = (mean[i] - slope * memory[i] - level) / sigma[i]
    chi2 = moved = noise = 0.0
    for i in range(n):
        size = _not_alone(z[i], z[i + 1], z[i + 2])
        left[i] = math.copysign(size, z[i + 1]) * sigma[i]
        chi2 += size * size
        moved += whole[i] * size * sigma[i]
        noise += whole[i] * sigma[i]
    half = 0.5 / total
    noise *= half * np.sqrt(2.0 / np.pi)
    return slope, level, chi2 / max(used - 2, 1), half * moved, noise, used


@numba.njit(nogil=True, cache=True, error_model="numpy")
def cut_spikes(mean: Floats, variance: Floats, whole: Floats, out: Floats) -> None:
    """Profile without single bins that stand out as no ring does, all (n,).

    A zinger raises one bin by far more than its neighbours, a ring of 2 bins FWHM only
    twice as much.
    """
    n = mean.size
    out[:] = mean
    for i in range(2, n - 2):
        if not (whole[i - 1] > 0.0 and whole[i] > 0.0 and whole[i + 1] > 0.0):
            continue
        beside = max(mean[i - 1], mean[i + 1])
        foot = min(mean[i - 2], mean[i + 2], beside)
        over = mean[i] - foot - _SPIKE * (beside - foot)
        if over > 0.0 and over > 2 * _ALONE * np.sqrt(variance[i] / whole[i]):
            out[i] = 0.5 * (mean[i - 1] + mean[i + 1])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fit_shape(
    mean: Floats,
    own: Floats,
    memory: Floats,
    memory_var: Floats,
    middle: float,
    slope: float,
    level: float,
) -> tuple[float, float]:
    """Robust line of ``mean`` on ``memory``; the old one where it would not rise."""
    s0 = s1 = s2 = t0 = t1 = 0.0
    for i in range(mean.size):
        if own[i] < 0.0:
            continue
        w = 1.0 / (own[i] + slope**2 * memory_var[i])
        off = mean[i] - slope * memory[i] - level
        far = w * off * off
        if far > _ALONE**2:
            w *= _ALONE / np.sqrt(far)
        x = memory[i] - middle
        s0 += w
        s1 += w * x
        s2 += w * x * x
        t0 += w * mean[i]
        t1 += w * x * mean[i]
    det = s0 * s2 - s1 * s1
    if det > 1e-9 * s0 * s2 and s0 * t1 - s1 * t0 > 0.0:
        slope = (s0 * t1 - s1 * t0) / det
        level = (s2 * t0 - s1 * t1) / det - slope * middle
    return slope, level


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _not_alone(before: float, z: float, after: float) -> float:
    """Size of a difference, cut down to twice that of its neighbours of equal sign."""
    one = abs(before) if before * z > 0.0 else 0.0
    other = abs(after) if after * z > 0.0 else 0.0
    return min(abs(z), max(_ALONE, 2.0 * max(one, other)))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def update_memory(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    left: Floats,
    slope: float,
    level: float,
    share: float,
    memory: Floats,
    memory_var: Floats,
) -> None:
    """Mix a frame into the memory, on its scale; bins without pixels wait.

    All (n,), counts per pixel, as in ``compare_shapes``; ``share`` is the weight of the
    new frame. A zinger is not remembered, as ``left`` is cut down.
    """
    for i in range(mean.size):
        if not whole[i] > 0.0:
            continue
        new_var = variance[i] / whole[i] / (slope * slope)
        if memory_var[i] == np.inf:
            memory[i], memory_var[i] = (mean[i] - level) / slope, new_var
            continue
        memory[i] += share * left[i] / slope
        memory_var[i] = (1.0 - share) ** 2 * memory_var[i] + share * share * new_var


@numba.njit(nogil=True, cache=True, error_model="numpy")
def take_in(
    at: Floats,
    values: Floats,
    sigmas: Floats,
    filled: int,
    new_at: float,
    new_values: Numbers,
    new_sigmas: Numbers,
    fits: Floats,
) -> int:
    """Append a point to a window, and fit its trends; how many points it holds.

    The oldest point goes where the window is full.

    Parameters
    ----------
    at : (n,) float64
    values, sigmas : (rows, n) float64
    filled : int
    new_at : float
    new_values, new_sigmas : tuple of float
        One for each row.
    fits : (rows, 6) float64
        Takes for each row: finite points, slope, its standard deviation, the span from
        the first to the last point, the sum of squares about the best single step less
        that about the line, and the degrees of freedom.
    """
    size = at.size
    if filled == size:
        filled -= 1
        at[:filled] = at[1:]
        for row in range(values.shape[0]):
            for i in range(filled):
                values[row, i] = values[row, i + 1]
                sigmas[row, i] = sigmas[row, i + 1]
    at[filled] = new_at
    for row in range(values.shape[0]):
        values[row, filled] = new_values[row]
        sigmas[row, filled] = new_sigmas[row]
    _fit_trends(at, values, sigmas, filled + 1, fits)
    return filled + 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fit_trends(
    at: Floats, values: Floats, sigmas: Floats, count: int, out: Floats
) -> None:
    """Straight line through the first ``count`` points of each row.

    The deviation is the larger of the scatter about the line and the mean of
    ``sigmas``, inflated by ``(1 + rho) / (1 - rho)`` where neighbours are correlated by
    ``rho`` (a first-order autoregression).
    """
    x, y = np.empty(count), np.empty(count)
    for row in range(values.shape[0]):
        n = 0
        stated = 0.0
        for i in range(count):
            if np.isfinite(values[row, i]):
                x[n], y[n] = at[i], values[row, i]
                if np.isfinite(sigmas[row, i]):
                    stated += sigmas[row, i] ** 2
                n += 1
        out[row, :] = 0.0
        if n < 3:
            out[row, 0] = n
            continue
        mx, my = x[:n].mean(), y[:n].mean()
        sxx = sxy = syy = 0.0
        for i in range(n):
            sxx += (x[i] - mx) ** 2
            sxy += (x[i] - mx) * (y[i] - my)
            syy += (y[i] - my) ** 2
        if not sxx > 0.0:
            continue
        slope = sxy / sxx
        rss = paired = best = before = 0.0
        last = 0.0
        for i in range(n):
            residual = y[i] - my - slope * (x[i] - mx)
            rss += residual * residual
            paired += residual * last
            last = residual
            before += y[i] - my
            if i < n - 1:  # a step after this point explains so much
                best = max(best, before * before * n / ((i + 1.0) * (n - 1.0 - i)))
        rho = 0.0
        if rss > 0.0:
            rho = min(max(paired / rss, 0.0), _MOST_CORRELATED)
        variance = max(rss / (n - 2), stated / n) * (1.0 + rho) / (1.0 - rho)
        out[row, 0] = n
        out[row, 1] = slope
        out[row, 2] = np.sqrt(variance / sxx)
        out[row, 3] = x[n - 1] - x[0]
        out[row, 4] = (syy - best) - rss
        out[row, 5] = max(n * (1.0 - rho) / (1.0 + rho) - 2.0, min(6.0, n - 2.0))
