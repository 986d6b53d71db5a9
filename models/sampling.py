"""One random crystal from (seed, index), as numba kernels.

The priors follow Schopmans et al., Digital Discovery 2 (2023) 1414 where nothing else
is said: Wyckoff sets from known structures or site by site, elements by frequency,
uniform coordinates, volume from atomic radii. Axis ratios are wider than theirs. There
is no rejection: whatever is drawn is a crystal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import gemmi
import numba as nb
import numpy as np

from ringwatch.models.form_factors import MAX_Z
from ringwatch.models.philox import begin, choose, normal, uniform
from ringwatch.models.wyckoff import MAX_ATOMS, MAX_SITES, WyckoffTables

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ELEMENTS = 6
"""Most different elements in a crystal."""
MAX_VOLUME = 7000.0
"""Largest cell in A^3."""
AXIS_RANGE = (2.2, 45.0)
"""Cell edges in A; outside, a tamer axis ratio is taken."""

_ELEMENT_COUNT = np.cumsum([0.05, 0.25, 0.37, 0.20, 0.09, 0.04])
_RARE = (2, 10, 18, 36, 43, 54, 61, 84, 85, 86, 87, 88, 89, 91, 93, 94)
_FREQUENT = {8: 12, 16: 4, 9: 3, 17: 3, 7: 3, 14: 3, 6: 1.5, 15: 3}
_HEAVIEST_DRAWN = 94
_SYSTEM_ENDS = np.array([2, 15, 74, 142, 194, 230])
"""Last group of each kind of cell: a to c, in the order that `_draw_cell` knows."""


class Priors(NamedTuple):
    """What `draw` draws from.

    Attributes
    ----------
    groups : (231,) float64
        Running sum of space-group probabilities.
    sets : (S,) float64
        Running sum of the weights of known Wyckoff sets.
    joint : float
        Share of crystals whose Wyckoff set is a known one.
    positions : (231, 27) float64
        Weights of Wyckoff positions for sets drawn site by site.
    elements : (99,) float64
        Weights of elements.
    atom_volume : (99,) float64
        Volume per atom in A^3.
    """

    groups: NDArray[np.float64]
    sets: NDArray[np.float64]
    joint: float
    positions: NDArray[np.float64]
    elements: NDArray[np.float64]
    atom_volume: NDArray[np.float64]


class Draw(NamedTuple):
    """One crystal as it was drawn.

    Attributes
    ----------
    space_group : int
        1 to 230.
    positions : (n,) int64
        Wyckoff position of each site.
    slots : (n,) int64
        Which element each site has.
    coordinates : (n, 3) float64
        Free parameters x, y, z of each site.
    z : (6,) int64
        Atomic numbers of the element slots.
    b_iso : (6,) float64
        Displacement parameter of each element slot in A^2.
    cell : (6,) float64
        a, b, c in A, alpha, beta, gamma in degrees.
    """

    space_group: int
    positions: NDArray[np.int64]
    slots: NDArray[np.int64]
    coordinates: NDArray[np.float64]
    z: NDArray[np.int64]
    b_iso: NDArray[np.float64]
    cell: NDArray[np.float64]


def build_priors(
    tables: WyckoffTables, group_probability: NDArray[np.float64], joint: float
) -> Priors:
    """Weights of everything that is drawn.

    Parameters
    ----------
    tables : WyckoffTables
        Positions and the sets of known structures.
    group_probability : (231,) float64
        Of each space group; entry 0 is 0.
    joint : float
        Share of known Wyckoff sets, 0 to 1.

    Returns
    -------
    Priors
        Running sums and weights.
    """
    seen = np.zeros_like(tables.multiplicity, dtype=np.float64)
    for group in range(1, 231):
        rows = slice(tables.set_first[group], tables.set_first[group + 1])
        sets, count = tables.sets[rows], tables.set_count[rows]
        used = sets >= 0
        np.add.at(seen[group], sets[used], np.repeat(count, used.sum(axis=1)))
    exists = np.arange(seen.shape[1]) < tables.n_positions[:, None]
    total = seen.sum(axis=1, keepdims=True)
    flat = exists / np.maximum(exists.sum(axis=1, keepdims=True), 1)
    # A fifth stays even, so that positions never seen are trained on as well.
    mixed = 0.8 * seen / np.maximum(total, 1) + 0.2 * flat
    elements = np.zeros(MAX_Z + 1)
    elements[1 : _HEAVIEST_DRAWN + 1] = 1.0
    elements[list(_RARE)] = 0.0
    for z, weight in _FREQUENT.items():
        elements[z] = weight
    radii = [gemmi.Element(z) for z in range(1, MAX_Z + 1)]
    radius = np.array([0.0] + [(e.covalent_r + e.vdw_r) / 2 for e in radii])
    return Priors(
        groups=np.cumsum(group_probability) / group_probability.sum(),
        # The root keeps the few sets that many structures share from crowding out all.
        sets=np.cumsum(np.sqrt(tables.set_count)),
        joint=float(joint),
        positions=np.where(total > 20, mixed, flat),
        elements=elements,
        atom_volume=4.0 / 3.0 * np.pi * radius**3,
    )


@nb.njit(cache=True, nogil=True)
def _draw_sites(
    state: NDArray[np.uint64], tables: WyckoffTables, priors: Priors, group: int
) -> NDArray[np.int64]:
    """Wyckoff positions, one by one, honouring multiplicity and fixed positions."""
    wanted = min(max(int(math.exp(1.5 + 0.75 * normal(state))), 1), MAX_SITES)
    n_positions = tables.n_positions[group]
    free = np.ones(n_positions, np.bool_)
    cumulative = np.empty(n_positions)
    positions = np.empty(MAX_SITES, np.int64)
    left = MAX_ATOMS
    n = 0
    while n < wanted:
        total = 0.0
        for w in range(n_positions):
            if free[w] and tables.multiplicity[group, w] <= left:
                total += priors.positions[group, w]
            cumulative[w] = total
        if total == 0.0:
            break
        chosen = choose(state, cumulative, 0, n_positions)
        left -= tables.multiplicity[group, chosen]
        if tables.freedom[group, chosen] == 0:
            free[chosen] = False
        positions[n] = chosen
        n += 1
    return positions[:n]


@nb.njit(cache=True, nogil=True)
def _draw_elements(
    state: NDArray[np.uint64], priors: Priors, n_sites: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Atomic numbers without replacement, and which of them each site has."""
    count = min(choose(state, _ELEMENT_COUNT, 0, MAX_ELEMENTS) + 1, n_sites)
    weights = priors.elements.copy()
    z = np.ones(MAX_ELEMENTS, np.int64)
    for e in range(count):
        z[e] = choose(state, np.cumsum(weights), 0, len(weights))
        weights[z[e]] = 0.0
    slots = np.empty(n_sites, np.int64)
    for site in range(n_sites):
        slots[site] = site if site < count else int(uniform(state) * count)
    return z, slots


@nb.njit(cache=True, nogil=True)
def _axis_ratios(
    state: NDArray[np.uint64], kind: int, wide: bool
) -> NDArray[np.float64]:
    """Edges up to a common factor, by kind of cell (see `_draw_cell`)."""
    spread = 0.3
    if wide:
        spread = 0.25 if uniform(state) < 0.5 else 0.5
    ratios = np.empty(3)
    for axis in range(3):
        ratios[axis] = math.exp(spread * normal(state))
    if kind >= 3:
        ratios[1] = ratios[0]
    if wide and kind == 3:
        ratios[2] = ratios[0] * math.exp(0.4 + 0.65 * normal(state))
    if wide and kind == 4:
        ratios[2] = ratios[0] * math.exp(0.55 + 0.75 * normal(state))
    if kind == 5:
        ratios[2] = ratios[0]
    return ratios


@nb.njit(cache=True, nogil=True)
def _draw_cell(
    state: NDArray[np.uint64], group: int, volume: float
) -> NDArray[np.float64]:
    """Edges in A and angles in degrees of a cell of given volume in A^3.

    Kinds: 0 triclinic, 1 monoclinic, 2 orthorhombic, 3 tetragonal, 4 hexagonal, 5
    cubic.
    """
    kind = int(np.searchsorted(_SYSTEM_ENDS, group))
    cell = np.full(6, 90.0)
    if kind == 0:
        for axis in range(3):
            cell[3 + axis] = 90.0 + 12.0 * min(max(normal(state), -2.2), 2.2)
    elif kind == 1:
        cell[4] = 90.0 + 12.0 * min(abs(normal(state)), 2.8)
    elif kind == 4:
        cell[5] = 120.0
    cosines = np.cos(np.radians(cell[3:]))
    product = cosines[0] * cosines[1] * cosines[2]
    skew = math.sqrt(max(1.0 - (cosines**2).sum() + 2.0 * product, 0.05))
    for wide in (True, False):
        ratios = _axis_ratios(state, kind, wide)
        scale = (volume / (ratios[0] * ratios[1] * ratios[2] * skew)) ** (1.0 / 3.0)
        cell[:3] = ratios * scale
        if cell[:3].min() >= AXIS_RANGE[0] and cell[:3].max() <= AXIS_RANGE[1]:
            break
    return cell


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
    low, high = tables.set_first[group], tables.set_first[group + 1]
    if uniform(state) < priors.joint and high > low:
        row = tables.sets[choose(state, priors.sets, low, high)]
        positions = row[: (row >= 0).sum()].copy()
    else:
        positions = _draw_sites(state, tables, priors, group)
    n = len(positions)
    z, slots = _draw_elements(state, priors, n)
    volume = 0.0
    atoms = 0
    for site in range(n):
        copies = tables.multiplicity[group, positions[site]]
        volume += copies * priors.atom_volume[z[slots[site]]]
        atoms += copies
    volume *= math.exp(0.05 + 0.28 * normal(state))
    volume = max(min(volume, MAX_VOLUME), 6.0 * atoms)
    cell = _draw_cell(state, group, volume)
    coordinates = np.empty((n, 3))
    for site in range(n):
        for axis in range(3):
            coordinates[site, axis] = uniform(state)
    common = 1.4 * uniform(state) ** 1.5
    b_iso = np.empty(MAX_ELEMENTS)
    for e in range(MAX_ELEMENTS):
        b_iso[e] = 0.1 + common * (0.6 + 0.8 * uniform(state))
    return Draw(group, positions, slots, coordinates, z, b_iso, cell)
