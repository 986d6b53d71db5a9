"""Compiled regression of the rings' displacements on harmonics of the azimuth."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.move_kernels import invert_scaled
from ringwatch.agent.quality.geometry.profile_kernels import median_near, median_of
from ringwatch.agent.quality.geometry.sandwich_kernels import (
    centred_squares,
    products_of_waves,
    sandwich,
)

__all__ = ["robust_harmonics"]

Floats = NDArray[np.float64]

_HUBER = 1.5
_ROUNDS = 5
_STILL = 0.05  # standard deviations; a round that moves less is the last one
_LEAST_SECTORS = 6  # of a ring
_WAVES = 4


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _quiet_cells(
    sigma: Floats, a: Floats, usable: NDArray[np.bool_], cells: NDArray[np.int64]
) -> tuple[int, float]:
    """List the better half of the strong cells; how many, median of their variance."""
    sectors = a.shape[1]
    least = 0.2
    n = 0
    for r in range(a.shape[0]):
        for s in range(sectors):
            n += usable[r, s] and a[r, s] > least
    if n < 8:
        least = 0.0
    noise = np.empty(a.size)
    n = 0
    for r in range(a.shape[0]):
        for s in range(sectors):
            if usable[r, s] and a[r, s] > least:
                cells[n] = r * sectors + s
                noise[n] = sigma[r, s] / a[r, s]
                n += 1
    ordered = noise[:n].copy()
    middle = median_of(ordered, n)
    quiet = 0
    for k in range(n):
        cells[quiet] = cells[k]
        quiet += noise[k] <= middle
    # The median was found by putting what is below it in front.
    for k in range(quiet):
        ordered[k] = ordered[k] ** 2
    return quiet, median_of(ordered, quiet)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def robust_harmonics(
    move: Floats,
    sigma: Floats,
    a: Floats,
    powers: Floats,
    waves: Floats,
    wave_of: NDArray[np.int64],
    beta: Floats,
    covariance: Floats,
    freedom: Floats,
) -> tuple[bool, float, float]:
    """Weighted Huber regression with a free offset per ring and HC3 errors.

    The model is ``move = a (offset + sum_j beta_j powers[j, r] waves[wave_of[j], s])``
    with ``move``, ``sigma``, ``a`` (R, S), ``powers`` (p, R), ``waves`` (4, S).

    Fills ``beta`` (p,), the first of ``covariance`` (6, 6) and of ``freedom`` (3,), by
    pairs of columns; gives whether it could, how much the others inflate the variance
    of the first pair, and the scatter beyond counting noise. The offsets are
    eliminated (Frisch and Waugh).
    """
    rings, sectors = a.shape
    p = beta.size
    usable = np.empty((rings, sectors), np.bool_)
    used, noise = np.empty((rings, sectors)), np.empty((rings, sectors))
    n = 0
    for r in range(rings):
        count = 0
        for s in range(sectors):
            usable[r, s] = a[r, s] > 0.02 and sigma[r, s] < math.inf
            count += usable[r, s]
        usable[r] &= count >= _LEAST_SECTORS
        n += count if count >= _LEAST_SECTORS else 0
        for s in range(sectors):  # cells without use: no weight, and any finite noise
            used[r, s] = 1.0 if usable[r, s] else 0.0
            noise[r, s] = sigma[r, s] ** 2 if usable[r, s] else 1.0
    if n < p + 6:
        return False, 0.0, 0.0
    cells = np.empty(a.size, np.int64)
    quiet, quiet_variance = _quiet_cells(sigma, a, usable, cells)
    table = products_of_waves(waves)
    huber, spread, later = used.copy(), noise.copy(), np.empty((rings, sectors))
    weight, residual = np.empty((rings, sectors)), np.empty((rings, sectors))
    means, masses = np.zeros((rings, _WAVES)), np.zeros(rings)
    normal, inverse, right = np.empty((p, p)), np.empty((p, p)), np.empty(p)
    moved, scratch, strength = np.empty(quiet), np.empty(quiet), np.empty(quiet)
    for k in range(quiet):
        strength[k] = a.reshape(-1)[cells[k]]
    left = residual.reshape(-1)
    excess, middle = 0.0, math.sqrt(quiet_variance) * 0.67
    for turn in range(_ROUNDS):
        if turn:
            spread, later = later, spread
        _add_rings(
            move, a, huber, spread, powers, wave_of, table, weight, means, masses,
            residual, normal, right,
        )  # fmt: skip
        if not invert_scaled(normal, inverse):
            return False, 0.0, 0.0
        still = True
        for j in range(p):
            before = beta[j]
            beta[j] = (inverse[j] * right).sum()
            still = still and abs(beta[j] - before) < _STILL * math.sqrt(inverse[j, j])
        _take_off(beta, powers, waves, wave_of, means, a, residual)
        for k in range(quiet):
            moved[k] = abs(left[cells[k]] / strength[k])
        middle = median_near(moved, quiet, middle, scratch)
        before = excess
        excess = max((1.4826 * middle) ** 2 - quiet_variance, 1e-8)
        still = still and abs(excess - before) < _STILL * (excess + quiet_variance)
        _bound(
            noise.reshape(-1), a.reshape(-1), used.reshape(-1), left, excess,
            later.reshape(-1), huber.reshape(-1),
        )  # fmt: skip
        if turn and still:
            break
    inner = covariance[:p, :p]
    sandwich(
        spread, a, weight, residual, means, masses, powers, waves, wave_of, table,
        inverse, inner, freedom,
    )  # fmt: skip
    inner *= _clipping(huber)
    _keep_above(inverse, inner)
    alone = normal[0, 0] * normal[1, 1] - normal[0, 1] ** 2
    inflation = (inverse[0, 0] + inverse[1, 1]) / (
        (normal[0, 0] + normal[1, 1]) / alone
    )
    return True, inflation, math.sqrt(excess)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _keep_above(counting: Floats, covariance: Floats) -> None:
    """Keep the determinant of each pair's covariance (p, p) above the model's.

    ``counting`` follows from counts and the excess of all cells. The scatter of few may
    come out small by chance: a ring of 30 cells had half the error of its counts.
    """
    for j in range(0, covariance.shape[0], 2):
        k = j + 1
        least = counting[j, j] * counting[k, k] - counting[j, k] ** 2
        found = covariance[j, j] * covariance[k, k] - covariance[j, k] ** 2
        if not found > 1e-6 * least:
            covariance[j : k + 1, j : k + 1] = counting[j : k + 1, j : k + 1]
        elif found < least:
            covariance[j : k + 1] *= (least / found) ** 0.25
            covariance[:, j : k + 1] *= (least / found) ** 0.25


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _bound(
    noise: Floats,
    a: Floats,
    used: Floats,
    residual: Floats,
    excess: float,
    spread: Floats,
    huber: Floats,
) -> None:
    """Fill variance and Huber's weight of each cell (n,), 0 for those not used."""
    # Loops over few arrays each: else the compiler gives up proving them apart.
    for k in range(noise.size):
        spread[k] = noise[k] + (a[k] * a[k] + 0.05) * excess
    for k in range(noise.size):
        bounded = _HUBER * math.sqrt(spread[k]) / abs(residual[k])
        huber[k] = used[k] * (bounded if bounded < 1.0 else 1.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _weigh(
    huber: Floats,
    spread: Floats,
    a: Floats,
    move: Floats,
    weight: Floats,
    power: Floats,
    lift: Floats,
) -> None:
    """Fill ``w``, ``w a^2`` and ``w a move`` of each cell (n,)."""
    for k in range(a.size):
        weight[k] = huber[k] / spread[k]
    for k in range(a.size):
        power[k] = weight[k] * a[k] * a[k]
    for k in range(a.size):
        lift[k] = weight[k] * a[k] * move[k]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_rings(
    move: Floats,
    a: Floats,
    huber: Floats,
    spread: Floats,
    powers: Floats,
    wave_of: NDArray[np.int64],
    table: Floats,
    weight: Floats,
    means: Floats,
    masses: Floats,
    centred: Floats,
    normal: Floats,
    right: Floats,
) -> None:
    """Normal equations of all rings, each freed of its offset; ``centred`` moves."""
    rings, sectors = a.shape
    p = powers.shape[0]
    normal[:] = 0.0
    right[:] = 0.0
    squares = np.empty((_WAVES, _WAVES))
    both = np.empty((2 * rings, sectors))
    v, u = both[:rings], both[rings:]
    _weigh(
        huber.reshape(-1), spread.reshape(-1), a.reshape(-1), move.reshape(-1),
        weight.reshape(-1), v.reshape(-1), u.reshape(-1),
    )  # fmt: skip
    every = np.dot(both, table)  # (2 R, 16)
    for r in range(rings):
        moments, lifts = every[r], every[rings + r]
        total = masses[r] = moments[0]
        if not total > 0.0:
            means[r] = 0.0
            centred[r] = 0.0
            continue
        for i in range(_WAVES):
            means[r, i] = moments[1 + i] / total
        lift = lifts[0] / total
        for s in range(sectors):
            centred[r, s] = move[r, s] - a[r, s] * lift
        centred_squares(moments, means[r], squares)
        for j in range(p):
            x = wave_of[j]
            right[j] += powers[j, r] * (lifts[1 + x] - moments[1 + x] * lift)
            for k in range(j + 1):
                normal[j, k] += powers[j, r] * powers[k, r] * squares[x, wave_of[k]]
    for j in range(p):
        for k in range(j):
            normal[k, j] = normal[j, k]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _take_off(
    beta: Floats,
    powers: Floats,
    waves: Floats,
    wave_of: NDArray[np.int64],
    means: Floats,
    a: Floats,
    centred: Floats,
) -> None:
    """Take the fitted harmonics off the moves (R, S)."""
    rings, sectors = a.shape
    size, fitted = np.empty(_WAVES), np.empty(sectors)
    for r in range(rings):
        size[:] = 0.0
        for j in range(beta.size):
            size[wave_of[j]] += beta[j] * powers[j, r]
        x0, x1, x2, x3 = size
        y0, y1, y2, y3 = means[r]
        middle = x0 * y0 + x1 * y1 + x2 * y2 + x3 * y3
        for s in range(sectors):
            fitted[s] = (x0 * waves[0, s] + x1 * waves[1, s]) + (
                x2 * waves[2, s] + x3 * waves[3, s]
            )
        for s in range(sectors):
            centred[r, s] -= a[r, s] * (fitted[s] - middle)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _clipping(huber: Floats) -> float:
    """Factor on the covariance because clipped residuals don't respond to a move.

    The slope of Huber's score function is 1 within the bound and 0 beyond, while the
    normal equations hold its weights (Huber 1981, Robust Statistics, ch. 7.6): 1.12^2
    for normal errors.
    """
    inside = np.count_nonzero(huber == 1.0)
    return (huber.sum() / max(inside, 1)) ** 2
