"""One crystal from (seed, index), random or a decorated prototype, as numba kernels.

There is no rejection: whatever is drawn is a crystal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from ringwatch.models.crystals.atom_volumes import VOLUME_SPREAD
from ringwatch.models.crystals.cell_shapes import draw_cell
from ringwatch.models.crystals.decoration import decorate, displacements
from ringwatch.models.crystals.philox import begin, choose, normal, uniform
from ringwatch.models.crystals.placement import place_sites
from ringwatch.models.crystals.priors import Draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringwatch.models.crystals.priors import Priors
    from ringwatch.models.crystals.wyckoff import WyckoffTables

MAX_VOLUME = 7000.0
"""Largest cell of a random crystal in A^3."""

_LEAST_ATOM = 6.0
"""A^3 per atom that a cell has at least."""
_LEAST_OCCUPANCY = 0.3


@nb.njit(cache=True, nogil=True)
def _draw_elements(
    state: NDArray[np.uint64], priors: Priors, count: int
) -> NDArray[np.int64]:
    """Atomic numbers, all different."""
    weights = priors.elements.copy()
    z = np.empty(count, np.int64)
    for e in range(count):
        z[e] = choose(state, np.cumsum(weights), 0, len(weights))
        weights[z[e]] = 0.0
    return z


@nb.njit(cache=True, nogil=True)
def _draw_occupancies(
    state: NDArray[np.uint64], priors: Priors, slots: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Occupancies of sites: in a share of crystals one element is partly missing."""
    occupancies = np.ones(len(slots))
    if priors.partial > 0.0 and uniform(state) < priors.partial:
        missing = int(uniform(state) * count)
        share = _LEAST_OCCUPANCY + (1.0 - _LEAST_OCCUPANCY) * uniform(state)
        for site in range(len(slots)):
            if slots[site] == missing:
                occupancies[site] = share
    return occupancies


@nb.njit(cache=True, nogil=True)
def _draw_random(
    state: NDArray[np.uint64], group: int, tables: WyckoffTables, priors: Priors
) -> Draw:
    """Draw a crystal of no known structure."""
    lists = priors.lists
    low, middle, high = lists.first[group]
    if uniform(state) < priors.joint[group]:
        chosen = choose(state, lists.weights, low, middle)
    else:
        chosen = choose(state, lists.weights, middle, high)
    sites = slice(lists.site_first[chosen], lists.site_first[chosen + 1])
    positions = lists.positions[sites].copy()
    slots = lists.slots[sites].copy()
    n = len(positions)
    count = slots.max() + 1
    z = _draw_elements(state, priors, count)
    radii = np.empty(n)
    volume = 0.0
    atoms = 0
    for site in range(n):
        radii[site] = priors.radii[z[slots[site]]]
        copies = tables.multiplicity[group, positions[site]]
        volume += copies * priors.atom_volume[z[slots[site]]]
        atoms += copies
    volume *= math.exp(VOLUME_SPREAD * normal(state))
    volume = max(min(volume, MAX_VOLUME), _LEAST_ATOM * atoms)
    cell = draw_cell(state, group, priors.shapes, volume)
    coordinates = place_sites(
        state, group, tables, positions, radii, cell, priors.contact_draws
    )
    occupancies = _draw_occupancies(state, priors, slots, count)
    b_iso = displacements(state, count)
    return Draw(group, positions, slots, coordinates, occupancies, z, b_iso, cell, -1)


@nb.njit(cache=True, nogil=True)
def draw(seed: int, index: int, tables: WyckoffTables, priors: Priors) -> Draw:
    """Draw crystal number ``index`` of a seed.

    Parameters
    ----------
    seed, index : int
        Key and counter; nothing else decides, whatever was drawn before.
    tables : WyckoffTables
        Wyckoff positions.
    priors : Priors
        What to draw from.

    Returns
    -------
    Draw
        The crystal.
    """
    state = begin(seed, index)
    group = choose(state, priors.groups, 1, 231)
    # Without prototypes no number is spent on the question.
    share = priors.prototype_share[group]
    if share > 0.0 and uniform(state) < share:
        return decorate(state, group, tables, priors)
    return _draw_random(state, group, tables, priors)
