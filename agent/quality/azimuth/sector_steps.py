"""Ranges of sectors that stand out of what is smooth around the azimuth, compiled.

Smooth are the first harmonics of the azimuth; they and the range are fitted together,
by Gram-Schmidt on rows weighted by the inverse standard deviation of each sector.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.cakes import SECTORS

__all__ = [
    "HARMONICS",
    "MOST_WIDE",
    "add_column",
    "dot",
    "find_step",
    "lay_out",
    "measure_step",
    "orthonormal",
    "remove",
    "weigh",
]

Floats = NDArray[np.float64]

MOST_WIDE = 12
"""Widest range of sectors that is looked for: 135 degrees of 32 sectors."""

_CHI = 2.0 * np.pi * (np.arange(SECTORS) + 0.5) / SECTORS
HARMONICS = np.stack(
    [np.ones(SECTORS)] + [f(m * _CHI) for m in range(1, 7) for f in (np.cos, np.sin)]
)
"""(13, 32): 1, cos chi, sin chi, cos 2 chi, ... sin 6 chi."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def dot(a: Floats, b: Floats) -> float:
    """Scalar product of a multiple of four elements, in four sums side by side.

    One sum would wait for each of its additions.
    """
    t0 = t1 = t2 = t3 = 0.0
    for s in range(0, a.size, 4):
        t0 += a[s] * b[s]
        t1 += a[s + 1] * b[s + 1]
        t2 += a[s + 2] * b[s + 2]
        t3 += a[s + 3] * b[s + 3]
    return (t0 + t1) + (t2 + t3)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def remove(columns: Floats, count: int, y: Floats) -> None:
    """Take the first ``count`` orthonormal rows out of ``y``."""
    for j in range(count):
        along = dot(columns[j], y)
        for s in range(y.size):
            y[s] -= along * columns[j, s]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def add_column(columns: Floats, j: int) -> float:
    """Make row ``j`` orthonormal to those before; its length, 0 if it depends on them.

    Gram-Schmidt, a second time where the first takes away half of the square: twice is
    enough (Giraud et al. 2005, Numer. Math. 101).
    """
    column = columns[j]
    before = dot(column, column)
    remove(columns, j, column)
    square = dot(column, column)
    if square < 0.5 * before:
        remove(columns, j, column)
        square = dot(column, column)
    if square <= 1e-6 * before or square == 0.0:
        column[:] = 0.0
        return 0.0
    length = math.sqrt(square)
    for s in range(column.size):
        column[s] /= length
    return length


@numba.njit(nogil=True, cache=True, error_model="numpy")
def orthonormal(weight: Floats, order: int, columns: Floats) -> None:
    """Fill rows with harmonics 0 to ``order`` times root weight, made orthonormal."""
    for s in range(weight.size):
        root = math.sqrt(weight[s])
        for j in range(1 + 2 * order):
            columns[j, s] = root * HARMONICS[j, s]
    for j in range(1 + 2 * order):
        add_column(columns, j)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def weigh(
    level: Floats, variance: Floats, order: int, more: int
) -> tuple[Floats, Floats, Floats]:
    """Weights, root-weighted level, and harmonics 0 to ``order`` made orthonormal.

    The harmonics are rows, with room for ``more``. Variance 0 marks sectors that are
    not known.
    """
    sectors = level.size
    weight, y = np.zeros(sectors), np.zeros(sectors)
    for s in range(sectors):
        if variance[s] > 0.0:
            weight[s] = 1.0 / variance[s]
            y[s] = math.sqrt(weight[s]) * level[s]
    columns = np.zeros((1 + 2 * order + more, sectors))
    orthonormal(weight, order, columns)
    return weight, y, columns


@numba.njit(nogil=True, cache=True, error_model="numpy")
def lay_out(weight: Floats, y: Floats, columns: Floats) -> Floats:
    """Lay the smooth harmonics and what they leave of ``y`` out, (n + 2, 64).

    Arguments as ``weigh`` gives them, all ``n`` columns filled. A sum over a row's
    sectors is the scalar product with the indicator of these sectors times the root of
    the weight: of the harmonics, then of the indicator itself, then of what is left of
    ``y``. Each row stands there twice, so that a range may run over its end.
    """
    base = columns.shape[0]
    rest = y.copy()
    remove(columns, base, rest)
    rows = np.empty((base + 2, 2 * SECTORS))
    for s in range(SECTORS):
        root = math.sqrt(weight[s])
        for j in range(base):
            rows[j, s] = root * columns[j, s]
        rows[base, s], rows[base + 1, s] = weight[s], root * rest[s]
    rows[:, SECTORS:] = rows[:, :SECTORS]
    return rows


@numba.njit(nogil=True, cache=True, error_model="numpy")
def find_step(rows: Floats, sign: float, widest: int, pair: bool) -> tuple[int, int]:
    """Range of sectors (start, width) that stands out most of smooth harmonics.

    A matched filter over all starts and widths up to ``widest`` (16 at most); width 0
    where nothing stands out by ``sign`` (1 for more light, -1 for less). With ``pair``
    the sectors that face the range belong to it, and the start lies in the first half.
    ``rows`` come from ``lay_out``.
    """
    # All starts side by side.
    sums = np.zeros((rows.shape[0], SECTORS))
    score = np.empty((widest, SECTORS))
    for wide in range(widest):
        _add_sectors(rows, wide, sums)
        if pair:
            _add_sectors(rows, (wide + SECTORS // 2) % SECTORS, sums)
        _score_starts(sums, sign, score[wide])
    best, start, width = 0.0, 0, 0
    for s in range(SECTORS // 2 if pair else SECTORS):
        for wide in range(widest):
            if score[wide, s] > best:
                best, start, width = score[wide, s], s, wide + 1
    return start, width


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_sectors(rows: Floats, ahead: int, sums: Floats) -> None:
    """Add to the sums of each start (n + 2, 32) the sector that lies ``ahead``."""
    first = max(ahead, 0)  # as the compiler can't know: all starts side by side
    for j in range(sums.shape[0]):
        for s in range(SECTORS):
            sums[j, s] += rows[j, first + s]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _score_starts(sums: Floats, sign: float, score: Floats) -> None:
    """Fill (32,): chi^2 of each start's step, 0 if it is of the other sign."""
    base = sums.shape[0] - 2
    for s in range(SECTORS):
        score[s] = sums[base, s]
    for j in range(base):
        for s in range(SECTORS):
            score[s] -= sums[j, s] * sums[j, s]
    for s in range(SECTORS):
        signal, left = sign * sums[base + 1, s], score[s]
        known = signal > 0.0 and left > 1e-3 * sums[base, s]
        score[s] = signal * signal / left if known else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def measure_step(
    rows: Floats, start: int, width: int, facing: int
) -> tuple[float, float, float, float]:
    """How far a range of sectors stands out: step, sigma, degrees of freedom, scatter.

    The sectors on either side are left free, since an edge rarely falls between two
    sectors. ``facing`` says of the sectors that face the range: 0 they are as the rest,
    1 they stand out alike, -1 the step is against them, whatever both have in common.
    ``sigma`` has the scatter of the other sectors in it, and is infinite where the step
    can't be measured; the last says how many times their variances, at least once.
    ``rows`` come from ``lay_out``.

    Four unknowns: the sector before, the one behind, what the range and those that face
    it have in common (if at all), the step. Their normal equations, less what smooth
    harmonics explain, are solved by elimination.
    """
    base = rows.shape[0] - 2
    free = -float(base) - (4.0 if facing == -1 else 3.0)
    chi2 = 0.0
    for s in range(SECTORS):
        if rows[base, s] > 0.0:
            free += 1.0
            chi2 += rows[base + 1, s] * rows[base + 1, s] / rows[base, s]
    a, b, even, step = _range_sums(rows, base, start, width, facing)
    matrix, own = np.zeros((4, 4)), np.empty(4)
    own[0], own[1], own[2], own[3] = a, b, even, step
    if facing == -1:
        own[3], matrix[2, 3] = 0.25 * even, step
    for i in range(4):
        matrix[i, i] = own[i]
    right = np.empty(4)
    right[:] = _range_sums(rows, base + 1, start, width, facing)
    for j in range(base):
        part = _range_sums(rows, j, start, width, facing)
        for i in range(4):
            for m in range(i, 4):
                matrix[i, m] -= part[i] * part[m]
    chi2 -= _eliminate(matrix, own, right)
    square = matrix[3, 3]
    if square == 0.0 or free < 2.0:
        return 0.0, math.inf, free, 1.0
    scatter = max(chi2 / free, 1.0)
    return right[3] / square, math.sqrt(scatter / square), free, scatter


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _range_sums(
    rows: Floats, j: int, start: int, width: int, facing: int
) -> tuple[float, float, float, float]:
    """Sums of one row: sectors before, behind, range and those that face it, step."""
    half = SECTORS // 2
    before, behind = (start - 1) % SECTORS, (start + width) % SECTORS
    a, b = rows[j, before], rows[j, behind]
    here = across = 0.0
    for s in range(start, start + width):
        here += rows[j, s % SECTORS]
        across += rows[j, (s + half) % SECTORS]
    if facing == 0:
        return a, b, 0.0, here
    if facing == 1:
        return (
            a + rows[j, before + half],
            b + rows[j, behind + half],
            0.0,
            here + across,
        )
    # here x + across y = (here + across) (x + y) / 2 + (here - across) / 2 (x - y)
    return a, b, here + across, 0.5 * (here - across)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _eliminate(matrix: Floats, own: Floats, right: Floats) -> float:
    """Make normal equations triangular in place (L D L^T); the chi^2 they explain.

    Of the symmetric matrix the upper half is used. An unknown of which less than
    1e-6 of ``own`` is left depends on those before: its diagonal becomes 0.
    """
    explained = 0.0
    for i in range(own.size):
        if matrix[i, i] <= 1e-6 * own[i]:
            matrix[i, i] = 0.0
            continue
        for j in range(i + 1, own.size):
            share = matrix[i, j] / matrix[i, i]
            for m in range(j, own.size):
                matrix[j, m] -= share * matrix[i, m]
            right[j] -= share * right[i]
        explained += right[i] * right[i] / matrix[i, i]
    return explained
