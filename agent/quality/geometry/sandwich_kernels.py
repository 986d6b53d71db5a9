"""Compiled sums over the azimuth behind the errors of fitted harmonics.

All are moments ``sum w f(s)`` of the products of two waves, so that one matrix product
gives them for all rings, pairs of columns and sectors.
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


@numba.njit(nogil=True, cache=True)
def _spread_out(form: Floats, mean: Floats, coefficients: Floats) -> None:
    """Coefficients (16,) of ``(x - mean)' form (x - mean)`` in the waves' products."""
    row = 1 + _WAVES
    constant = 0.0
    coefficients[_PRODUCTS - 1] = 0.0
    for i in range(_WAVES):
        linear = 0.0
        for j in range(_WAVES):
            linear += form[i, j] * mean[j]
        constant += linear * mean[i]
        coefficients[1 + i] = -2.0 * linear
        for j in range(i + 1):
            coefficients[row] = form[i, j] * (1.0 if i == j else 2.0)
            row += 1
    coefficients[0] = constant


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _form(
    matrix: Floats, powers: Floats, wave_of: NDArray[np.int64], form: Floats
) -> None:
    """``sum matrix[j, k] powers_j powers_k`` by pairs of waves (4, 4), symmetric."""
    form[:] = 0.0
    for j in range(powers.size):
        x = wave_of[j]
        form[x, x] += matrix[j, j] * powers[j] ** 2
        for k in range(j):
            value = matrix[j, k] * powers[j] * powers[k]
            form[x, wave_of[k]] += value
            form[wave_of[k], x] += value


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _forms(
    inverse: Floats,
    means: Floats,
    powers: Floats,
    wave_of: NDArray[np.int64],
    coefficients: Floats,
) -> None:
    """Quadratic forms (p / 2 + 1, R, 16): influence on each pair, and the leverage."""
    p = inverse.shape[0]
    form, matrix = np.empty((_WAVES, _WAVES)), np.empty((p, p))
    for part in range(coefficients.shape[0]):
        for j in range(p):
            for k in range(p):
                if 2 * part == p:
                    matrix[j, k] = inverse[j, k]
                    continue
                one = inverse[2 * part, j] * inverse[2 * part, k]
                other = inverse[2 * part + 1, j] * inverse[2 * part + 1, k]
                matrix[j, k] = one + other
        for r in range(means.shape[0]):
            _form(matrix, powers[:, r], wave_of, form)
            _spread_out(form, means[r], coefficients[part, r])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sandwich(
    spread: Floats,
    a: Floats,
    weight: Floats,
    residual: Floats,
    means: Floats,
    masses: Floats,
    powers: Floats,
    wave_of: NDArray[np.int64],
    table: Floats,
    inverse: Floats,
    covariance: Floats,
    freedom: Floats,
) -> None:
    """HC3 covariance; Satterthwaite's degrees of freedom of each pair of columns.

    The leverage of a cell, and what it adds to the variance of a pair, are quadratic
    forms in its waves.
    """
    rings, sectors = a.shape
    p = inverse.shape[0]
    pairs = p // 2
    form, score = np.empty((_WAVES, _WAVES)), np.zeros((rings, sectors))
    coefficients = np.zeros((pairs + 1, rings, _PRODUCTS))
    first, second = np.zeros(p // 2), np.zeros(p // 2)
    meat = np.zeros((p, p))
    _forms(inverse, means, powers, wave_of, coefficients)
    flat = coefficients.reshape((pairs + 1) * rings, _PRODUCTS)
    values = np.dot(flat, np.ascontiguousarray(table.T))  # ((pairs + 1) R, S)
    for r in range(rings):
        if not masses[r] > 0.0:
            continue
        for s in range(sectors):
            w = weight[r, s] * a[r, s]
            for pair in range(pairs):
                part_of = w * w * spread[r, s] * values[pair * rings + r, s]
                first[pair] += part_of
                second[pair] += part_of * part_of
            form_of = values[pairs * rings + r, s]
            leverage = w * a[r, s] * (1.0 / masses[r] + form_of)
            score[r, s] = (w * residual[r, s] / max(1.0 - leverage, 0.1)) ** 2
    scores = np.dot(score, table)
    for r in range(rings):
        centred_squares(scores[r], means[r], form)
        for j in range(p):
            for k in range(p):
                both = powers[j, r] * powers[k, r]
                meat[j, k] += both * form[wave_of[j], wave_of[k]]
    covariance[:] = _two_sided(inverse, meat)
    for j in range(p // 2):
        freedom[j] = max(first[j] ** 2 / max(second[j], 1e-300) - p, 2.0)


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
