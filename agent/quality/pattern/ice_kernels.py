"""Lines of ice in a profile: each fitted by itself, then asked whether they agree."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["STRONG", "best_scale", "fit_ice", "fit_lines"]

Floats = NDArray[np.float64]

STRONG = 3
"""The first lines, which must all be there."""

_LEAST_Z = 3.0  # of each of them; the budget holds for all together
_FURTHER = (3, 4, 5, 7, 10)  # nearly as strong: three of them must be there as well
_FURTHER_THERE = 3
_FURTHER_Z = 2.5
_ALIKE = 2.5  # texture and few grains change a line's share by less than this factor
_DUE = 6.0  # standard deviations of a line that must not be missing
_OFF_PLACE = 0.3  # of the ring's FWHM


@numba.njit(nogil=True, cache=True)
def fit_ice(fitted: Floats, lines: Floats) -> tuple[float, float, float]:
    """Amount of ice from its lines, with sigma, and the joint significance.

    Non-negative least squares of one amount, lines that also hold a ring of the sample
    (more than ``_ALIKE`` times the rest) left out. There is no ice, and amount and z
    are 0, where a strong line is missing or off its place, or two that are due.

    Parameters
    ----------
    fitted : (11, 4) float64
        Counts of each line, sigma (0 where it was not measured); how far it is off its
        place, in FWHM, and sigma of that.
    lines : (11,) float64
        Share of the counts of the ice that each line should hold where it was measured.
    """
    ratio, error = np.zeros(lines.size), np.full(lines.size, np.inf)
    at_place = np.zeros(lines.size, np.bool_)
    for i in range(lines.size):
        if fitted[i, 1] > 0.0 and lines[i] > 0.0:
            ratio[i], error[i] = fitted[i, 0] / lines[i], fitted[i, 1] / lines[i]
            at_place[i] = abs(fitted[i, 2]) - 2.0 * fitted[i, 3] < _OFF_PLACE
    for i in range(STRONG):
        if ratio[i] < _LEAST_Z * error[i] or not at_place[i]:
            return 0.0, np.inf, 0.0
    low = np.median(ratio[:STRONG])
    mass = precise = amount = pull = 0.0
    own = ratio < _ALIKE * low
    for i in range(lines.size):
        if own[i]:
            w = 1.0 / (error[i] ** 2 + (0.3 * low) ** 2)
            mass += w
            amount += w * ratio[i]
            precise += 1.0 / error[i] ** 2
            pull += ratio[i] / error[i] ** 2
    if not (amount > 0.0 and precise > 0.0):
        return 0.0, np.inf, 0.0
    amount /= mass
    strong = further = missing = 0
    for i in range(lines.size):
        weak = ratio[i] < amount / _ALIKE
        alike = not weak and ratio[i] < amount * _ALIKE
        if alike and at_place[i] and ratio[i] > _FURTHER_Z * error[i]:
            strong += i < STRONG
            further += i in _FURTHER
        if amount > _DUE * error[i] and (weak or (own[i] and not at_place[i])):
            missing += 1
    if missing > 1 or further < _FURTHER_THERE or strong < STRONG:
        return 0.0, np.inf, 0.0
    sigma = 1.0 / math.sqrt(precise)
    return amount, sigma, pull * sigma


@numba.njit(nogil=True, cache=True, error_model="numpy")
def best_scale(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    radius: Floats,
    place: Floats,
    start: float,
    step: float,
    scales: Floats,
    fwhm: float,
    strong: int,
) -> float:
    """Common scale of the places at which the weakest line is the strongest."""
    fitted, covered = np.zeros((strong, 4)), np.zeros(strong)
    best, chosen = -np.inf, 1.0
    for scale in scales:
        fitted[:] = 0.0
        at = (scale * place[:strong] - start) / step
        fit_lines(mean, variance, whole, radius, at, fwhm, fitted, covered)
        least = np.inf
        for line in range(strong):
            if fitted[line, 1] > 0.0:
                least = min(least, fitted[line, 0] / fitted[line, 1])
        if least < np.inf and least > best:
            best, chosen = least, scale
    return chosen


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fit_lines(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    radius: Floats,
    at: Floats,
    fwhm: float,
    fitted: Floats,
    covered: Floats,
) -> None:
    """Fit ``a + b x + c x^2 + h g + s x g`` at each place (bins), least squares.

    Errors are inflated by the misfit, which other rings in the window make.
    """
    reach = math.ceil(2.2 * fwhm)
    narrow = fwhm / 2.3548
    normal, right, column = np.empty((5, 5)), np.empty(5), np.empty(5)
    for line in range(at.size):
        middle = round(float(at[line]))
        if middle - reach < 0 or middle + reach >= mean.size:
            continue
        normal[:] = 0.0
        right[:] = 0.0
        used, inside, total = 0, 0.0, 0.0
        for i in range(middle - reach, middle + reach + 1):
            if whole[i] > 0.0:
                _columns((i - at[line]) / narrow, fwhm, column)
                w = whole[i] / variance[i]
                used += 1
                total += w * mean[i] * mean[i]
                inside = inside + whole[i] / (2 * np.pi * max(radius[i], 1.0))
                for j in range(5):
                    right[j] += w * column[j] * mean[i]
                    for k in range(5):
                        normal[j, k] += w * column[j] * column[k]
        if used < reach + 5 or not whole[middle] > 0.0:
            continue
        inverse = np.linalg.inv(normal)
        solution = inverse @ right
        misfit = (total - solution @ right) / (used - 5)
        inflation = math.sqrt(max(float(misfit), 1.0))
        # Counts of a ring of this height, all pixels of the covered azimuth.
        area = 1.0645 * fwhm * inside / used * 2 * np.pi * max(radius[middle], 1.0)
        height, slope = solution[3], solution[4]
        fitted[line, 0] = height * area
        fitted[line, 1] = np.sqrt(inverse[3, 3]) * inflation * area
        covered[line] = inside / used
        if height > 0.0:
            off = slope / height / 2.3548  # first order in the offset
            error = np.sqrt(inverse[4, 4]) * inflation / height / 2.3548
            fitted[line, 2], fitted[line, 3] = off, error


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _columns(x: float, fwhm: float, column: Floats) -> None:
    g = np.exp(-0.5 * x * x)
    column[0], column[1], column[2] = 1.0, x / fwhm, (x / fwhm) ** 2
    column[3], column[4] = g, x * g
