"""Compiled sums over the azimuth behind the errors of fitted harmonics.

Where sums run over the azimuth they are moments ``sum w f(s)`` of the products of two
waves, so that one matrix product gives them for all rings.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["centred_squares", "products_of_waves", "sandwich"]

Floats = NDArray[np.float64]

_WAVES = 4
_PRODUCTS = 16  # of two out of 1 and the waves: 1, x_i, x_i x_j with j <= i; and a 0


@numba.njit(nogil=True, cache=True)
def products_of_waves(waves: Floats) -> Floats:
    """Products 1, x_i (4), x_i x_j with j <= i (10), 0 of the waves (4, S): (S, 16)."""
    table = np.zeros((waves.shape[1], _PRODUCTS))
    for s in range(waves.shape[1]):
        table[s, 0] = 1.0
        row = 1 + _WAVES
        for i in range(_WAVES):
            table[s, 1 + i] = waves[i, s]
            for j in range(i + 1):
                table[s, row] = waves[i, s] * waves[j, s]
                row += 1
    return table


@numba.njit(nogil=True, cache=True)
def centred_squares(moments: Floats, mean: Floats, squares: Floats) -> None:
    """``sum w (x_i - mean_i)(x_j - mean_j)`` (4, 4) from the moments of ``w``."""
    row = 1 + _WAVES
    for i in range(_WAVES):
        for j in range(i + 1):
            value = moments[row] - mean[i] * moments[1 + j] - mean[j] * moments[1 + i]
            squares[i, j] = squares[j, i] = value + mean[i] * mean[j] * moments[0]
            row += 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _influences(
    inverse: Floats,
    powers: Floats,
    wave_of: NDArray[np.int64],
    centred: Floats,
    influence: Floats,
    leverage: Floats,
) -> None:
    """What a unit of weighted move in each cell of one ring does to each column.

    ``inverse g`` (p, S) with the cell's row ``g`` of the design, from ``powers`` (p,)
    and the waves less their means, ``centred`` (4, S); and ``g' inverse g`` (S,).
    """
    p, sectors = influence.shape
    side = np.zeros((p, _WAVES))
    for i in range(p):
        for j in range(p):
            side[i, wave_of[j]] += inverse[i, j] * powers[j]
    leverage[:] = 0.0
    for i in range(p):
        a, b, c, d = side[i]
        for s in range(sectors):
            influence[i, s] = (a * centred[0, s] + b * centred[1, s]) + (
                c * centred[2, s] + d * centred[3, s]
            )
        power, wave = powers[i], wave_of[i]
        for s in range(sectors):
            leverage[s] += power * centred[wave, s] * influence[i, s]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sandwich(
    spread: Floats,
    a: Floats,
    weight: Floats,
    residual: Floats,
    means: Floats,
    masses: Floats,
    powers: Floats,
    waves: Floats,
    wave_of: NDArray[np.int64],
    table: Floats,
    inverse: Floats,
    covariance: Floats,
    freedom: Floats,
) -> None:
    """HC3 covariance; Satterthwaite's degrees of freedom of each pair of columns."""
    rings, sectors = a.shape
    p = inverse.shape[0]
    pairs = p // 2
    score = np.zeros((rings, sectors))
    centred, influence = np.empty((_WAVES, sectors)), np.empty((p, sectors))
    leverage, part = np.empty(sectors), np.empty(sectors)
    first, second = np.zeros(pairs), np.zeros(pairs)
    for r in range(rings):
        if not masses[r] > 0.0:
            continue
        for x in range(_WAVES):
            for s in range(sectors):
                centred[x, s] = waves[x, s] - means[r, x]
        _influences(inverse, powers[:, r], wave_of, centred, influence, leverage)
        w, of_mass = weight[r] * a[r], 1.0 / masses[r]
        for pair in range(pairs):
            for s in range(sectors):
                one, other = influence[2 * pair, s], influence[2 * pair + 1, s]
                part[s] = one * one + other * other
            total = squares = 0.0
            for s in range(sectors):
                part_of = w[s] * w[s] * spread[r, s] * part[s]
                total += part_of
                squares += part_of * part_of
            first[pair] += total
            second[pair] += squares
        for s in range(sectors):
            left = 1.0 - w[s] * a[r, s] * (of_mass + leverage[s])
            score[r, s] = (w[s] * residual[r, s] / max(left, 0.1)) ** 2
    covariance[:] = _two_sided(
        inverse, _meat(np.dot(score, table), means, powers, wave_of)
    )
    for j in range(pairs):
        freedom[j] = max(first[j] ** 2 / max(second[j], 1e-300) - p, 2.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _meat(
    scores: Floats, means: Floats, powers: Floats, wave_of: NDArray[np.int64]
) -> Floats:
    """Sum of the squared scores' outer products (p, p), from their moments (R, 16)."""
    p, rings = powers.shape
    meat, form = np.zeros((p, p)), np.empty((_WAVES, _WAVES))
    for r in range(rings):
        centred_squares(scores[r], means[r], form)
        for j in range(p):
            for k in range(p):
                both = powers[j, r] * powers[k, r]
                meat[j, k] += both * form[wave_of[j], wave_of[k]]
    return meat


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _two_sided(side: Floats, middle: Floats) -> Floats:
    """``side middle side``, all (p, p), both symmetric."""
    p = side.shape[0]
    half, out = np.zeros((p, p)), np.zeros((p, p))
    for i in range(p):
        for j in range(p):
            for k in range(p):
                half[i, k] += side[i, j] * middle[j, k]
    for i in range(p):
        for j in range(p):
            for k in range(p):
                out[i, k] += half[i, j] * side[j, k]
    return out
