"""Axis ratios and angles of random cells, fitted to real structures by lattice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numba as nb
import numpy as np

from ringwatch.models.crystals.philox import normal, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringwatch.models.crystals.wyckoff import WyckoffTables

AXIS_RANGE = (2.4, 45.0)
"""Cell edges in A; outside, a tamer axis ratio is taken."""

_ANGLE_LIMITS = (60.0, 120.0)
_MOST_OBTUSE = 43.0
"""Of a monoclinic angle above 90 degrees; other choices of axes come below it."""
_LEAST_SKEW = 0.1
"""Of the squared volume of a cell of unit edges."""
_UNEVEN = 0.2
"""Share of crystals whose ratios spread half as much again: real ones have tails."""


class _Shape(NamedTuple):
    """Mean, standard deviation and correlation of ln(b/a) and ln(c/a); of angles."""

    mean_b: float
    mean_c: float
    spread_b: float
    spread_c: float
    correlation: float
    angle: float = 0.0


_SHAPES = {
    # Fitted to 4,774 inorganic structures, each type weighing as the root of its
    # number. Of the angles: standard deviation from 90 degrees.
    "aP": _Shape(0.16, 0.41, 0.20, 0.30, 0.4, 15.0),
    "mP": _Shape(0.05, 0.30, 0.49, 0.36, 0.2, 20.0),
    "mC": _Shape(-0.51, -0.28, 0.66, 0.44, 0.5, 22.0),
    "oP": _Shape(0.0, 0.0, 0.62, 0.62, 0.5),
    "oC": _Shape(0.60, 0.18, 0.72, 0.72, 0.6),
    "oA": _Shape(0.15, 0.35, 0.50, 0.75, 0.3),
    "oF": _Shape(0.45, 0.45, 0.45, 0.80, 0.2),
    "oI": _Shape(0.45, 0.60, 0.48, 0.58, 0.2),
    "tP": _Shape(0.0, 0.26, 0.0, 0.76, 0.0),
    "tI": _Shape(0.0, 0.39, 0.0, 0.80, 0.0),
    "hP": _Shape(0.0, 0.33, 0.0, 0.77, 0.0),
    "hR": _Shape(0.0, 0.99, 0.0, 0.90, 0.0),
    "cP": _Shape(0.0, 0.0, 0.0, 0.0, 0.0),
}
SYSTEM_ENDS = np.array([2, 15, 74, 142, 194, 230])
"""Last group of each kind of cell: triclinic, monoclinic, orthorhombic, tetragonal,
hexagonal axes, cubic."""
_BASE = {(3, 3, 0): "C", (0, 3, 3): "A", (3, 3, 3): "I"}


def lattice_symbol(tables: WyckoffTables, group: int) -> str:
    """Lattice of a space group: ``oA`` apart from ``oC``, all cubic ones ``cP``."""
    kind = int(np.searchsorted(SYSTEM_ENDS, group))
    letter = "P"
    if 0 < kind < 5 and tables.n_centring[group] > 1:
        letter = _BASE.get(tuple(tables.centring[group, 1].tolist()), "")
        if tables.n_centring[group] > 2:
            letter = "F" if kind == 2 else "R"
    return "amothc"[kind] + letter


def shape_table(tables: WyckoffTables) -> NDArray[np.float64]:
    """Numbers that `draw_cell` needs, by space group.

    Parameters
    ----------
    tables : WyckoffTables
        Their centrings say which lattice a group has.

    Returns
    -------
    (231, 6) float64
        Mean of ln(b/a) and ln(c/a), their standard deviations, the correlation, the
        spread of angles in degrees; row 0 is 0.
    """
    table = np.zeros((231, 6))
    for group in range(1, 231):
        table[group] = _SHAPES[lattice_symbol(tables, group)]
    return table


@nb.njit(cache=True, nogil=True)
def squared_skew(angles: NDArray[np.float64]) -> float:
    """Squared volume of a cell of unit edges (Int. Tables C, 2004, section 1.1).

    Parameters
    ----------
    angles : (3,) float64
        alpha, beta, gamma in degrees.

    Returns
    -------
    float
        1 for right angles; negative where no such cell exists.
    """
    c = np.cos(np.radians(angles))
    return 1.0 - (c**2).sum() + 2.0 * c[0] * c[1] * c[2]


@nb.njit(cache=True, nogil=True)
def _angles(state: NDArray[np.uint64], kind: int, spread: float) -> NDArray[np.float64]:
    """Draw alpha, beta, gamma in degrees as the kind of cell allows."""
    angles = np.full(3, 90.0)
    if kind == 0:
        for axis in range(3):
            angle = 90.0 + spread * normal(state)
            angles[axis] = min(max(angle, _ANGLE_LIMITS[0]), _ANGLE_LIMITS[1])
        if squared_skew(angles) < _LEAST_SKEW:
            angles = 90.0 + 0.5 * (angles - 90.0)
    elif kind == 1:
        angles[1] += min(abs(spread * normal(state)), _MOST_OBTUSE)
    elif kind == 4:
        angles[2] = 120.0
    return angles


@nb.njit(cache=True, nogil=True)
def draw_cell(
    state: NDArray[np.uint64], group: int, shapes: NDArray[np.float64], volume: float
) -> NDArray[np.float64]:
    """Draw a cell of given volume.

    Parameters
    ----------
    state : (11,) uint64
        Stream of `ringwatch.models.crystals.philox.begin`; advanced.
    group : int
        Space group, 1 to 230.
    shapes : (231, 6) float64
        See `shape_table`.
    volume : float
        A^3.

    Returns
    -------
    (6,) float64
        Edges in A and angles in degrees.
    """
    kind = int(np.searchsorted(SYSTEM_ENDS, group))
    mean_b, mean_c, spread_b, spread_c, correlation, angle = shapes[group]
    cell = np.empty(6)
    cell[3:] = _angles(state, kind, angle)
    x, y = normal(state), normal(state)
    y = correlation * x + math.sqrt(1.0 - correlation**2) * y
    stretch = 1.5 if uniform(state) < _UNEVEN else 1.0
    skew = math.sqrt(squared_skew(cell[3:]))
    for tame in (1.0, 0.5, 0.0):
        ratio_b = math.exp(tame * (mean_b + stretch * spread_b * x))
        ratio_c = math.exp(tame * (mean_c + stretch * spread_c * y))
        a = (volume / (ratio_b * ratio_c * skew)) ** (1.0 / 3.0)
        cell[0], cell[1], cell[2] = a, a * ratio_b, a * ratio_c
        if cell[:3].min() >= AXIS_RANGE[0] and cell[:3].max() <= AXIS_RANGE[1]:
            break
    return cell
