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
    """Scalar product, summed in order."""
    total = 0.0
    for s in range(a.size):
        total += a[s] * b[s]
    return total


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

    Gram-Schmidt, twice, which is enough (Giraud et al. 2005, Numer. Math. 101).
    """
    column = columns[j]
    before = math.sqrt(dot(column, column))
    remove(columns, j, column)
    remove(columns, j, column)
    length = math.sqrt(dot(column, column))
    if length <= 1e-3 * before or length == 0.0:
        column[:] = 0.0
        return 0.0
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
def find_step(
    weight: Floats, y: Floats, columns: Floats, sign: float, widest: int, pair: bool
) -> tuple[int, int]:
    """Range of sectors (start, width) that stands out most of smooth harmonics.

    A matched filter over all starts and widths up to ``widest``; width 0 where nothing
    stands out by ``sign`` (1 for more light, -1 for less). With ``pair`` the sectors
    that face the range belong to it. The first three come from ``weigh`` with room for
    four more.
    """
    sectors, base = y.size, columns.shape[0] - 4
    rest, root = y.copy(), np.sqrt(weight)
    remove(columns, base, rest)
    scaled = np.empty((sectors, base))
    for s in range(sectors):
        for j in range(base):
            scaled[s, j] = root[s] * columns[j, s]
    best, start, width = 0.0, 0, 0
    along = np.empty(base)
    for begin in range(sectors):
        along[:] = 0.0
        power = signal = 0.0
        for wide in range(1, widest + 1):
            for half in range(2 if pair else 1):
                s = (begin + wide - 1 + half * (sectors // 2)) % sectors
                power += weight[s]
                signal += sign * root[s] * rest[s]
                for j in range(base):
                    along[j] += scaled[s, j]
            left = power
            for j in range(base):
                left -= along[j] * along[j]
            if signal > 0.0 and left > 1e-3 * power:
                score = signal * signal / left
                if score > best:
                    best, start, width = score, begin, wide
    return start, width


@numba.njit(nogil=True, cache=True, error_model="numpy")
def measure_step(
    weight: Floats, y: Floats, columns: Floats, start: int, width: int, facing: int
) -> tuple[float, float, float]:
    """How far a range of sectors stands out: step, sigma, degrees of freedom.

    The sectors on either side are left free, since an edge rarely falls between two
    sectors. ``facing`` says of the sectors that face the range: 0 they are as the rest,
    1 they stand out alike, -1 the step is against them, whatever both have in common.
    ``sigma`` has the scatter of the other sectors in it, and is infinite where the step
    can't be measured. Arguments as for ``find_step``; the last rows are overwritten.
    """
    sectors, base = y.size, columns.shape[0] - 4
    half = sectors // 2
    columns[base:] = 0.0
    for side in range(2):
        outside = (start - 1 if side == 0 else start + width) % sectors
        columns[base + side, outside] = math.sqrt(weight[outside])
        if facing == 1:
            across = (outside + half) % sectors
            columns[base + side, across] = math.sqrt(weight[across])
    for wide in range(width):
        here = (start + wide) % sectors
        across = (here + half) % sectors
        root, other = math.sqrt(weight[here]), math.sqrt(weight[across])
        columns[base + 3, here] = root
        if facing == 1:
            columns[base + 3, across] = other
        elif facing == -1:  # a here + b across = (a + b) / 2 even + (a - b) / 2 odd
            columns[base + 2, here], columns[base + 2, across] = root, other
            columns[base + 3, here] = 0.5 * root
            columns[base + 3, across] = -0.5 * other
    free = -float(base) - (4.0 if facing == -1 else 3.0)
    for s in range(sectors):
        free += 1.0 if weight[s] > 0.0 else 0.0
    for j in range(base, base + 3):
        add_column(columns, j)
    length = add_column(columns, base + 3)
    if length == 0.0 or free < 2.0:
        return 0.0, math.inf, free
    step = dot(columns[base + 3], y) / length
    rest = y.copy()
    remove(columns, base + 4, rest)
    scatter = max(dot(rest, rest) / free, 1.0)
    return step, math.sqrt(scatter) / length, free
