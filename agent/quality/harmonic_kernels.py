"""Compiled regression of the rings' displacements on harmonics of the azimuth."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.move_kernels import invert_scaled
from ringwatch.agent.quality.profile_kernels import median_of

__all__ = ["robust_harmonics"]

Floats = NDArray[np.float64]

_HUBER = 1.5
_ROUNDS = 5
_LEAST_SECTORS = 6  # of a ring


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
    middle = median_of(noise.copy(), n)
    quiet = 0
    for k in range(n):
        if noise[k] <= middle:
            cells[quiet] = cells[k]
            noise[quiet] = noise[k] ** 2
            quiet += 1
    return quiet, median_of(noise, quiet)


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

    Fills ``beta`` (p,), ``covariance`` (p, p) and ``freedom`` (p / 2,) of each pair of
    columns; gives whether it could, how much the others inflate the variance of the
    first pair, and the scatter beyond counting noise. The offsets are eliminated
    (Frisch and Waugh); sums over the azimuth are taken once for all powers of radius.
    """
    rings, sectors = a.shape
    p = beta.size
    usable = np.empty((rings, sectors), np.bool_)
    n = 0
    for r in range(rings):
        count = 0
        for s in range(sectors):
            usable[r, s] = a[r, s] > 0.02 and sigma[r, s] < math.inf
            count += usable[r, s]
        usable[r] &= count >= _LEAST_SECTORS
        n += count if count >= _LEAST_SECTORS else 0
    if n < p + 6:
        return False, 0.0, 0.0
    cells = np.empty(a.size, np.int64)
    quiet, quiet_variance = _quiet_cells(sigma, a, usable, cells)
    huber = np.ones((rings, sectors))
    weight, residual = np.zeros((rings, sectors)), np.zeros((rings, sectors))
    means, masses = np.zeros((rings, 4)), np.zeros(rings)
    normal, inverse, right = np.empty((p, p)), np.empty((p, p)), np.empty(p)
    moved = np.empty(a.size)
    excess = used = 0.0
    for _ in range(_ROUNDS):
        used = excess
        normal[:] = 0.0
        right[:] = 0.0
        for r in range(rings):
            _add_ring(
                move[r], sigma[r], a[r], usable[r], huber[r], used, powers[:, r], waves,
                wave_of, weight[r], means[r], masses[r : r + 1], residual[r], normal,
                right,
            )  # fmt: skip
        if not invert_scaled(normal, inverse):
            return False, 0.0, 0.0
        for j in range(p):
            beta[j] = (inverse[j] * right).sum()
        for r in range(rings):
            _take_off(beta, powers[:, r], waves, wave_of, means[r], a[r], residual[r])
        for k in range(quiet):
            r, s = divmod(cells[k], sectors)
            moved[k] = abs(residual[r, s] / a[r, s])
        scatter = 1.4826 * median_of(moved, quiet)
        excess = max(scatter**2 - quiet_variance, 1e-8)
        for r in range(rings):
            for s in range(sectors):
                spread = sigma[r, s] ** 2 + (a[r, s] ** 2 + 0.05) * excess
                size = abs(residual[r, s]) / math.sqrt(spread)
                huber[r, s] = _HUBER / size if size > _HUBER else 1.0
    _sandwich(
        sigma, a, usable, used, weight, residual, means, masses, powers, waves, wave_of,
        inverse, covariance, freedom,
    )  # fmt: skip
    covariance *= _clipping(huber, usable)
    alone = normal[0, 0] * normal[1, 1] - normal[0, 1] ** 2
    inflation = (inverse[0, 0] + inverse[1, 1]) / (
        (normal[0, 0] + normal[1, 1]) / alone
    )
    return True, inflation, math.sqrt(excess)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_ring(
    move: Floats,
    sigma: Floats,
    a: Floats,
    usable: NDArray[np.bool_],
    huber: Floats,
    excess: float,
    powers: Floats,
    waves: Floats,
    wave_of: NDArray[np.int64],
    weight: Floats,
    means: Floats,
    mass: Floats,
    centred: Floats,
    normal: Floats,
    right: Floats,
) -> None:
    """Add one ring, freed of its offset, to the normal equations; ``centred`` moves."""
    sectors, p = a.size, powers.size
    squares, products = np.zeros((4, 4)), np.zeros(4)
    total = m0 = m1 = m2 = m3 = lift = 0.0
    for s in range(sectors):
        if not usable[s]:
            weight[s] = 0.0
            continue
        w = huber[s] / (sigma[s] ** 2 + (a[s] ** 2 + 0.05) * excess)
        weight[s] = w
        u = w * a[s]
        v = u * a[s]
        total += v
        m0 += v * waves[0, s]
        m1 += v * waves[1, s]
        m2 += v * waves[2, s]
        m3 += v * waves[3, s]
        lift += u * move[s]
    if not total > 0.0:
        mass[0] = 0.0
        centred[:] = 0.0
        return
    mass[0] = total
    means[0], means[1], means[2], means[3] = (
        m0 / total,
        m1 / total,
        m2 / total,
        m3 / total,
    )
    lift /= total
    for s in range(sectors):
        centred[s] = move[s] - a[s] * lift
        u = weight[s] * a[s]
        v = u * a[s]
        c0, c1 = waves[0, s] - means[0], waves[1, s] - means[1]
        c2, c3 = waves[2, s] - means[2], waves[3, s] - means[3]
        y = u * centred[s]
        products[0] += c0 * y
        products[1] += c1 * y
        products[2] += c2 * y
        products[3] += c3 * y
        squares[0, 0] += v * c0 * c0
        squares[1, 0] += v * c1 * c0
        squares[1, 1] += v * c1 * c1
        squares[2, 0] += v * c2 * c0
        squares[2, 1] += v * c2 * c1
        squares[2, 2] += v * c2 * c2
        squares[3, 0] += v * c3 * c0
        squares[3, 1] += v * c3 * c1
        squares[3, 2] += v * c3 * c2
        squares[3, 3] += v * c3 * c3
    for j in range(p):
        x = wave_of[j]
        right[j] += powers[j] * products[x]
        for k in range(p):
            y_ = wave_of[k]
            value = squares[max(x, y_), min(x, y_)]
            normal[j, k] += powers[j] * powers[k] * value


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
    """Take the fitted harmonics off the moves of one ring."""
    size = np.zeros(4)
    for j in range(beta.size):
        size[wave_of[j]] += beta[j] * powers[j]
    for s in range(a.size):
        fitted = size[0] * (waves[0, s] - means[0]) + size[1] * (waves[1, s] - means[1])
        fitted += size[2] * (waves[2, s] - means[2]) + size[3] * (
            waves[3, s] - means[3]
        )
        centred[s] -= a[s] * fitted


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sandwich(
    sigma: Floats,
    a: Floats,
    usable: NDArray[np.bool_],
    excess: float,
    weight: Floats,
    residual: Floats,
    means: Floats,
    masses: Floats,
    powers: Floats,
    waves: Floats,
    wave_of: NDArray[np.int64],
    inverse: Floats,
    covariance: Floats,
    freedom: Floats,
) -> None:
    """HC3 covariance; Satterthwaite's degrees of freedom of each pair of columns."""
    p = inverse.shape[0]
    x, pull = np.empty(p), np.empty(p)
    first, second = np.zeros(p // 2), np.zeros(p // 2)
    covariance[:] = 0.0
    for r in range(a.shape[0]):
        for s in range(a.shape[1]):
            if not usable[r, s]:
                continue
            w = weight[r, s]
            for j in range(p):
                k = wave_of[j]
                x[j] = a[r, s] * powers[j, r] * (waves[k, s] - means[r, k])
            leverage = w * a[r, s] ** 2 / masses[r]
            for j in range(p):
                total = 0.0
                for k in range(p):
                    total += inverse[j, k] * x[k]
                pull[j] = total * w
                leverage += pull[j] * x[j]
            spread = sigma[r, s] ** 2 + (a[r, s] ** 2 + 0.05) * excess
            for j in range(p // 2):
                part = (pull[2 * j] ** 2 + pull[2 * j + 1] ** 2) * spread
                first[j] += part
                second[j] += part * part
            score = residual[r, s] / max(1.0 - leverage, 0.1)
            for j in range(p):
                pull[j] *= score
            for j in range(p):
                for k in range(p):
                    covariance[j, k] += pull[j] * pull[k]
    for j in range(p // 2):
        freedom[j] = max(first[j] ** 2 / max(second[j], 1e-300) - p, 2.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _clipping(huber: Floats, usable: NDArray[np.bool_]) -> float:
    """Factor on the covariance because clipped residuals don't respond to a move.

    The slope of Huber's score function is 1 within the bound and 0 beyond, while the
    normal equations hold its weights (Huber 1981, Robust Statistics, ch. 7.6): 1.12^2
    for normal errors.
    """
    weights = inside = 0.0
    for r in range(huber.shape[0]):
        for s in range(huber.shape[1]):
            if usable[r, s]:
                weights += huber[r, s]
                inside += huber[r, s] == 1.0
    return (weights / max(inside, 1.0)) ** 2
