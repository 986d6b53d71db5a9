"""Compiled loops over a profile or a window of frames, for flags of the series."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_point", "compare_shapes", "cut_spikes", "fit_trend", "update_memory"]

Floats = NDArray[np.float64]

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
    total = remembered = 0.0
    used = 0
    for i in range(n):
        if whole[i] > 0.0 and memory_var[i] < np.inf:
            total += whole[i] * mean[i]
            remembered += whole[i] * memory[i]
            used += 1
    if not (total > 0.0 and remembered > 0.0):
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0
    slope, level = total / remembered, 0.0
    z, sigma = np.zeros(n), np.zeros(n)
    for turn in range(4):  # three robust fits, then what is left
        for i in range(n):
            if whole[i] > 0.0 and memory_var[i] < np.inf:
                sigma[i] = np.sqrt(variance[i] / whole[i] + slope**2 * memory_var[i])
                z[i] = (mean[i] - slope * memory[i] - level) / sigma[i]
        if turn < 3:
            slope, level = _fit_shape(mean, memory, z, sigma, slope, level)
    chi2 = moved = noise = 0.0
    for i in range(n):
        size = _not_alone(z, i)
        left[i] = np.sign(z[i]) * size * sigma[i]
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
        noise = np.sqrt(variance[i] / whole[i])
        if mean[i] - foot > _SPIKE * (beside - foot) + 2 * _ALONE * noise:
            out[i] = 0.5 * (mean[i - 1] + mean[i + 1])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fit_shape(
    mean: Floats,
    memory: Floats,
    z: Floats,
    sigma: Floats,
    slope: float,
    level: float,
) -> tuple[float, float]:
    """Robust line of ``mean`` on ``memory``; the old one where it would not rise."""
    s0 = s1 = s2 = t0 = t1 = 0.0
    middle = memory.mean()
    for i in range(mean.size):
        if sigma[i] == 0.0:
            continue
        w = 1.0 / sigma[i] ** 2
        if abs(z[i]) > _ALONE:
            w *= _ALONE / abs(z[i])
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
def _not_alone(z: Floats, i: int) -> float:
    """Size of a difference, cut down to twice that of its neighbours of equal sign."""
    beside = 0.0
    if i > 0 and z[i - 1] * z[i] > 0.0:
        beside = abs(z[i - 1])
    if i < z.size - 1 and z[i + 1] * z[i] > 0.0:
        beside = max(beside, abs(z[i + 1]))
    return min(abs(z[i]), max(_ALONE, 2.0 * beside))


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
def add_point(
    at: Floats,
    values: Floats,
    sigmas: Floats,
    filled: int,
    new_at: float,
    new_values: Floats,
    new_sigmas: Floats,
) -> int:
    """Append a point, the oldest goes where the window is full; how many it holds."""
    size = at.size
    if filled == size:
        for i in range(size - 1):
            at[i] = at[i + 1]
            for row in range(values.shape[0]):
                values[row, i] = values[row, i + 1]
                sigmas[row, i] = sigmas[row, i + 1]
        filled -= 1
    at[filled] = new_at
    values[:, filled] = new_values
    sigmas[:, filled] = new_sigmas
    return filled + 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fit_trend(
    at: Floats, values: Floats, sigmas: Floats, count: int, out: Floats
) -> None:
    """Straight line through the first ``count`` points of each row.

    ``out`` (rows, 6) takes: finite points, slope, its standard deviation, the span from
    the first to the last point, the sum of squares about the best single step less that
    about the line, and the degrees of freedom. The deviation is the larger of the
    scatter about the line and the mean of ``sigmas``, inflated by ``(1 + rho) / (1 -
    rho)`` where neighbours are correlated by ``rho`` (a first-order autoregression).
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
