"""Real structure types with other elements, cells and free coordinates: numba kernels.

A template keeps its space group and Wyckoff positions. Elements that differ stay
different and free coordinates are moved at random, so no symmetry is gained.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from ringwatch.models.crystals.cell_shapes import SYSTEM_ENDS, squared_skew
from ringwatch.models.crystals.philox import choose, normal, uniform
from ringwatch.models.crystals.priors import Draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringwatch.models.crystals.priors import Priors
    from ringwatch.models.crystals.wyckoff import WyckoffTables

MAX_PROTOTYPE_VOLUME = 9000.0
"""Largest cell of a decorated prototype in A^3."""

_KEPT, _SIMILAR = 0.35, 0.9
"""Running shares: elements kept, elements like them; else elements at random."""
_STILL = 0.15
"""Share in which neither cell nor coordinates are moved."""
_VOLUME_SPREAD = (0.04, 0.08)
"""Of ln(volume) with the elements kept, and with others."""
_EDGE_SPREAD = 0.03
_ANGLE_SPREAD = 1.0
"""Degrees."""
_MOST_SHIFT = 0.2
"""Greatest standard deviation of coordinates in A."""
_LEAST_SKEW = 0.02
"""Of the squared volume of a cell of unit edges; angles near flat stay as they are."""


@nb.njit(cache=True, nogil=True)
def displacements(state: NDArray[np.uint64], n: int) -> NDArray[np.float64]:
    """Draw B of n element slots in A^2: 0.1 to 2.1, alike within a crystal.

    Parameters
    ----------
    state : (11,) uint64
        Stream of `ringwatch.models.crystals.philox.begin`; advanced.
    n : int
        How many.

    Returns
    -------
    (n,) float64
        B = 8 pi^2 <u^2>.
    """
    common = 1.4 * uniform(state) ** 1.5
    b_iso = np.empty(n)
    for e in range(n):
        b_iso[e] = 0.1 + common * (0.6 + 0.8 * uniform(state))
    return b_iso


@nb.njit(cache=True, nogil=True)
def _substitute(
    state: NDArray[np.uint64], priors: Priors, old: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Other elements, all different, in the place of those of a template."""
    style = uniform(state)
    z = old.copy()
    if style < _KEPT:
        return z
    for e in range(len(z)):
        weights = priors.elements.copy()
        if style < _SIMILAR:
            weights = priors.similar[old[e]].copy()
        for earlier in range(e):
            weights[z[earlier]] = 0.0
        z[e] = choose(state, np.cumsum(weights), 0, len(weights))
    return z


@nb.njit(cache=True, nogil=True)
def _reshape(
    state: NDArray[np.uint64], group: int, old: NDArray[np.float64], still: bool
) -> NDArray[np.float64]:
    """Cell with edges and angles moved as the crystal system allows."""
    kind = int(np.searchsorted(SYSTEM_ENDS, group))
    cell = old.copy()
    if still:
        return cell
    for axis in range(3):
        cell[axis] *= math.exp(_EDGE_SPREAD * normal(state))
    if kind >= 3:
        cell[1] = cell[0]
    if kind == 5:
        cell[2] = cell[0]
    for axis in range(3):
        if kind == 0 or (kind == 1 and axis == 1):
            cell[3 + axis] += _ANGLE_SPREAD * normal(state)
    if squared_skew(cell[3:]) < _LEAST_SKEW:
        cell[3:] = old[3:]
    return cell


@nb.njit(cache=True, nogil=True)
def decorate(
    state: NDArray[np.uint64], group: int, tables: WyckoffTables, priors: Priors
) -> Draw:
    """Draw a crystal of a real structure type.

    Parameters
    ----------
    state : (11,) uint64
        Stream of `ringwatch.models.crystals.philox.begin`; advanced.
    group : int
        Space group; the pool must have a template of it.
    tables, priors : WyckoffTables, Priors
        Wyckoff positions; templates and elements.

    Returns
    -------
    Draw
        The crystal.
    """
    pool = priors.prototypes
    template = choose(state, pool.weights, pool.first[group], pool.first[group + 1])
    sites = slice(pool.site_first[template], pool.site_first[template + 1])
    old_z = pool.slot_z[pool.slot_first[template] : pool.slot_first[template + 1]]
    positions = pool.site_position[sites].copy()
    slots = pool.site_slot[sites].copy()
    coordinates = pool.site_coordinates[sites].copy()
    occupancies = pool.site_occupancy[sites].copy()
    shared = pool.site_shared[sites]
    z = _substitute(state, priors, old_z)
    before = after = 0.0
    for site in range(len(positions)):
        copies = tables.multiplicity[group, positions[site]] * occupancies[site]
        before += copies * priors.atom_volume[old_z[slots[site]]]
        after += copies * priors.atom_volume[z[slots[site]]]
    still = uniform(state) < _STILL
    old_cell = pool.cell[template]
    cell = _reshape(state, group, old_cell, still)
    volume = old_cell[0] * old_cell[1] * old_cell[2]
    volume *= math.sqrt(squared_skew(old_cell[3:])) * after / before
    spread = _VOLUME_SPREAD[0] if after == before else _VOLUME_SPREAD[1]
    volume *= math.exp(spread * normal(state))
    volume = min(volume, MAX_PROTOTYPE_VOLUME)
    now = cell[0] * cell[1] * cell[2] * math.sqrt(squared_skew(cell[3:]))
    cell[:3] *= (volume / now) ** (1.0 / 3.0)
    shift = 0.0 if still else _MOST_SHIFT * uniform(state)
    for site in range(len(positions)):
        for axis in range(3):
            if shared[site]:
                coordinates[site, axis] = coordinates[site - 1, axis]
            elif shift > 0.0:
                coordinates[site, axis] += shift / cell[axis] * normal(state)
    b_iso = displacements(state, len(z))
    return Draw(
        group, positions, slots, coordinates, occupancies, z, b_iso, cell, template
    )
