"""From drawn crystals to powder lines: the loop that training waits for, in numba."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from ringwatch.models.crystals.sampling import draw
from ringwatch.models.crystals.structure_factors import (
    box_size,
    enumerate_reflections,
    squared_structure_factors,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringwatch.models.crystals.priors import Draw, Priors
    from ringwatch.models.crystals.wyckoff import WyckoffTables

_TWO_PI = 2.0 * math.pi


@nb.njit(cache=True, nogil=True)
def reciprocal_products(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scalar products of the reciprocal axes (Int. Tables B, 2008, chapter 1.1).

    Parameters
    ----------
    cell : (6,) float64
        a, b, c in A, alpha, beta, gamma in degrees.

    Returns
    -------
    (6,) float64
        a*a*, b*b*, c*c*, 2 a*b*, 2 a*c*, 2 b*c* in 1/A^2, so that 1/d^2 is their sum
        with h^2, k^2, l^2, hk, hl, kl.
    """
    metric = np.empty((3, 3))
    for i in range(3):
        metric[i, i] = cell[i] ** 2
        for j in range(i):
            # The angle between axes i and j has the number of the third axis.
            angle = cell[3 + 3 - i - j]
            # cos(90 degrees) is 6e-17 in floating point: say zero, so that lines that
            # coincide by symmetry coincide in numbers.
            cosine = 0.0 if angle == 90.0 else math.cos(math.radians(angle))
            metric[i, j] = metric[j, i] = cell[i] * cell[j] * cosine
    inverse = np.linalg.inv(metric)
    products = np.empty(6)
    for axis in range(3):
        products[axis] = inverse[axis, axis]
    products[3] = 2.0 * inverse[0, 1]
    products[4] = 2.0 * inverse[0, 2]
    products[5] = 2.0 * inverse[1, 2]
    return products


@nb.njit(cache=True, nogil=True)
def fold_atoms(
    tables: WyckoffTables, drawn: Draw
) -> tuple[
    NDArray[np.float64], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]
]:
    """Atoms without centring copies and with one of each inversion pair.

    Parameters
    ----------
    tables : WyckoffTables
        Wyckoff positions.
    drawn : Draw
        The crystal.

    Returns
    -------
    positions : (3, n) float64
        Fractional coordinates, sorted by element slot.
    weight : (n,) float32
        Copies that each atom stands for, times its occupancy.
    slots : (e + 1,) int64
        Atoms of element slot j are ``slots[j]:slots[j + 1]``.
    sites : (n,) int64
        Site of each atom.
    """
    group = drawn.space_group
    n = 0
    for site in range(len(drawn.positions)):
        n += tables.n_operations[group, drawn.positions[site]]
    positions = np.empty((3, n))
    weight = np.empty(n, np.float32)
    slots = np.zeros(len(drawn.z) + 1, np.int64)
    sites = np.empty(n, np.int64)
    at = 0
    for slot in range(len(drawn.z)):
        for site in range(len(drawn.positions)):
            if drawn.slots[site] != slot:
                continue
            first = tables.first[group, drawn.positions[site]]
            for op in range(
                first, first + tables.n_operations[group, drawn.positions[site]]
            ):
                for axis in range(3):
                    x = tables.translation[op, axis]
                    for other in range(3):
                        turn = tables.rotation[op, axis, other]
                        x += turn * drawn.coordinates[site, other]
                    positions[axis, at] = x - math.floor(x)
                weight[at] = tables.weight[op] * drawn.occupancies[site]
                sites[at] = site
                at += 1
        slots[slot + 1] = at
    return positions, weight, slots, sites


@nb.njit(cache=True, nogil=True)
def _lines(
    drawn: Draw,
    tables: WyckoffTables,
    s_range: tuple[float, float],
    factors: NDArray[np.float32],
    step: float,
    f_double: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Q in 1/A and |F|^2 times multiplicity of one crystal's lines."""
    group = drawn.space_group
    code = tables.laue[group]
    edges = drawn.cell[:3]
    room = box_size(code, edges, s_range[1])
    hkl = np.empty((room, 3), np.int32)
    s2 = np.empty(room)
    multiplicity = np.empty(room)
    centring = tables.centring[group, : tables.n_centring[group]]
    n = enumerate_reflections(
        code,
        reciprocal_products(drawn.cell),
        edges,
        centring,
        s_range,
        tables.line_multiplicity,
        hkl,
        s2,
        multiplicity,
    )
    positions, weight, slots, _ = fold_atoms(tables, drawn)
    f_squared = np.empty(n)
    squared_structure_factors(
        positions,
        weight,
        slots,
        drawn.z,
        drawn.b_iso,
        tables.inversion[group],
        hkl[:n],
        s2[:n],
        factors,
        step,
        f_double,
        f_squared,
    )
    strength = f_squared * multiplicity[:n] * float(len(centring)) ** 2
    return np.sqrt(s2[:n]) * _TWO_PI, strength


@nb.njit(cache=True, nogil=True)
def powder_lines(
    seed: int,
    first: int,
    count: int,
    tables: WyckoffTables,
    priors: Priors,
    s_range: tuple[float, float],
    factors: NDArray[np.float32],
    step: float,
    f_double: NDArray[np.float64],
) -> tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]
]:
    """Lines of crystals ``first`` to ``first + count - 1`` of a seed.

    Parameters
    ----------
    seed, first, count : int
        Which crystals.
    tables, priors : WyckoffTables, Priors
        What is drawn, and from what.
    s_range : (float, float)
        Least and greatest 1/d in 1/A.
    factors, step : (99, k) float32, float
        See `ringwatch.models.diffraction.form_factors.form_factor_table`.
    f_double : (99,) float64
        f'' in electrons by atomic number; see `dispersion_corrections` there.

    Returns
    -------
    groups : (count,) int64
        Space groups.
    start : (count + 1,) int64
        Slices of the two arrays that follow.
    q : (m,) float32
        2 pi / d in 1/A.
    strength : (m,) float32
        |F|^2 times multiplicity in electrons^2.
    """
    groups = np.empty(count, np.int64)
    start = np.zeros(count + 1, np.int64)
    q = np.empty(512 * max(count, 1), np.float32)
    strength = np.empty_like(q)
    for b in range(count):
        drawn = draw(seed, first + b, tables, priors)
        groups[b] = drawn.space_group
        q_b, strength_b = _lines(drawn, tables, s_range, factors, step, f_double)
        low, high = start[b], start[b] + len(q_b)
        if high > len(q):
            q = np.concatenate((q, np.empty(high, np.float32)))
            strength = np.concatenate((strength, np.empty(high, np.float32)))
        q[low:high] = q_b
        strength[low:high] = strength_b
        start[b + 1] = high
    return groups, start, q[: start[-1]].copy(), strength[: start[-1]].copy()
