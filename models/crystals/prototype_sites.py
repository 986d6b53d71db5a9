"""A real structure as Wyckoff positions of our tables, checked atom by atom.

Structures come with all atoms of a conventional cell as spglib standardises it, which
differs from our tables in the origin alone: where International Tables has two, spglib
takes the first, PyXtal the second.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from ringwatch.models.diffraction.unit_cell import atomic_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ringwatch.models.crystals.wyckoff import WyckoffTables

TOLERANCE = 2e-3
"""Greatest deviation of an atom from its symmetric place, in cell edges."""
_CELL_TOLERANCE = 0.01
"""Greatest relative deviation of an edge, or of an angle from its value, in radians."""
_WHOLE = np.array(list(itertools.product(range(-2, 3), repeat=3)), np.float64)
_SYSTEM_ENDS = (2, 15, 74, 142, 194, 230)


class UnusableStructureError(ValueError):
    """A structure does not fit the Wyckoff positions of its space group."""


@dataclass(frozen=True, slots=True)
class Site:
    """One element on one Wyckoff position; see `PrototypePool` for the fields."""

    position: int
    slot: int
    coordinates: tuple[float, float, float]
    occupancy: float
    shared: bool


@dataclass(frozen=True, slots=True)
class Template:
    """One real structure; see `ringwatch.models.crystals.prototypes.PrototypePool`."""

    space_group: int
    cell: tuple[float, ...]
    elements: tuple[int, ...]
    sites: tuple[Site, ...]
    kind: int


def orbit(
    tables: WyckoffTables, group: int, position: int, xyz: NDArray[np.float64]
) -> NDArray[np.float64]:
    """All atoms of a Wyckoff position.

    Parameters
    ----------
    tables : WyckoffTables
        Wyckoff positions.
    group, position : int
        Space group and position in it.
    xyz : (3,) float64
        Parameters of the position.

    Returns
    -------
    (multiplicity, 3) float64
        Fractional coordinates, 0 to 1.
    """
    first = tables.first[group, position]
    rows = slice(first, first + tables.n_operations[group, position])
    folded = tables.rotation[rows] @ xyz + tables.translation[rows]
    if tables.inversion[group]:
        folded = np.concatenate([folded, -folded[tables.weight[rows] == 2]])
    centring = tables.centring[group, : tables.n_centring[group]] / 6
    atoms: NDArray[np.float64] = (folded[:, None] + centring).reshape(-1, 3) % 1.0
    return atoms


def _same_atoms(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two lists of atoms are the same but for order and whole cells."""
    difference = one[:, None] - other
    away = abs(difference - np.rint(difference)).max(axis=2)
    near = away < TOLERANCE
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())


@cache
def _inverse(turn: bytes) -> NDArray[np.float64]:
    """Pseudo-inverse of an operation's matrix; few matrices are many positions'."""
    return np.asarray(np.linalg.pinv(np.frombuffer(turn).reshape(3, 3)), np.float64)


def find_position(
    tables: WyckoffTables, group: int, atoms: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64]] | None:
    """Wyckoff position and parameters that give an orbit.

    Parameters
    ----------
    tables : WyckoffTables
        Wyckoff positions.
    group : int
        Space group.
    atoms : (m, 3) float64
        Fractional coordinates of a whole orbit.

    Returns
    -------
    (int, (3,) float64) or None
        None where no position gives these atoms.
    """
    for position in range(tables.n_positions[group]):
        if tables.multiplicity[group, position] != len(atoms):
            continue
        op = tables.first[group, position]
        turn, shift = tables.rotation[op], tables.translation[op]
        inverse = _inverse(turn.tobytes())
        for atom in atoms:
            # The first operation is not onto: whole cells may have to be added first.
            images = atom - shift + _WHOLE
            xyz = images @ inverse.T
            away = abs(xyz @ turn.T - images).max(axis=1)
            best = int(away.argmin())
            if away[best] < TOLERANCE and _same_atoms(
                orbit(tables, group, position, xyz[best]), atoms
            ):
                return position, xyz[best]
    return None


@cache
def _origins(group: int) -> tuple[NDArray[np.float64], ...]:
    """Shifts that may lead from spglib's origin to ours; the sign is tried."""
    shifts = [np.zeros(3)]
    for entry in gemmi.spacegroup_table():
        if entry.number == group and entry.ext == "1":
            tran = np.array(entry.basisop.tran) / gemmi.Op.DEN
            shifts += [tran, -tran]
    return tuple(shifts)


def _regular_cell(group: int, cell: Sequence[float]) -> tuple[float, ...]:
    """Cell with the exact equalities of its crystal system."""
    edges, angles = np.array(cell[:3], np.float64), np.array(cell[3:], np.float64)
    kind = int(np.searchsorted(_SYSTEM_ENDS, group))
    regular = angles.copy()
    if kind > 0:
        regular[:] = 90.0
        if kind == 1:
            regular[1] = angles[1]
        if kind == 4:
            regular[2] = 120.0
    even = edges.copy()
    if kind >= 3:
        even[:2] = edges[:2].mean()
    if kind == 5:
        even[:] = edges.mean()
    off = max(abs(even / edges - 1).max(), abs(np.radians(regular - angles)).max())
    if off > _CELL_TOLERANCE:
        msg = f"cell {tuple(cell)} is not one of space group {group}: expected axis b"
        raise UnusableStructureError(msg)
    return (*even.tolist(), *regular.tolist())


def _kind(group: int, sites: Sequence[Site], tables: WyckoffTables) -> int:
    """Hash of the structure type, the same for all structures of one type."""
    slots: dict[int, list[tuple[int, int]]] = {}
    for site in sites:
        entry = tables.multiplicity[group, site.position]
        free = tables.freedom[group, site.position]
        slots.setdefault(site.slot, []).append((int(entry), int(free)))
    name = f"{group} {sorted(sorted(entries) for entries in slots.values())}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")


def make_template(
    tables: WyckoffTables,
    *,
    space_group: int,
    cell: Sequence[float],
    elements: Sequence[str],
    positions: NDArray[np.float64],
    occupancies: NDArray[np.float64],
    orbits: Sequence[int],
) -> Template:
    """Find the Wyckoff positions of a structure and check that they give its atoms.

    Parameters
    ----------
    tables : WyckoffTables
        Wyckoff positions.
    space_group : int
        1 to 230.
    cell : 6 floats
        a, b, c in A, alpha, beta, gamma in degrees, conventional.
    elements : n str
        Chemical symbols.
    positions : (n, 3) float64
        Fractional coordinates of all atoms of the cell.
    occupancies : (n,) float64
        0 to 1.
    orbits : n int
        Equal where atoms are equivalent. Elements that share a place have one entry
        each.

    Returns
    -------
    Template
        With the exact symmetry of its space group.

    Raises
    ------
    UnusableStructureError
        If some atoms are no orbit of the group, or the cell is not one of its system.
    """
    regular = _regular_cell(space_group, cell)
    symbols = list(dict.fromkeys(elements))
    members: dict[tuple[int, int], list[int]] = {}
    for atom, (number, symbol) in enumerate(zip(orbits, elements, strict=True)):
        members.setdefault((number, symbols.index(symbol)), []).append(atom)
    for origin in _origins(space_group):
        sites: list[Site] = []
        last = -1
        for (number, slot), rows in sorted(members.items()):
            if number == last:
                found = (sites[-1].position, np.array(sites[-1].coordinates))
                if not _same_atoms(
                    orbit(tables, space_group, *found), positions[rows] + origin
                ):
                    break
            else:
                place = find_position(tables, space_group, positions[rows] + origin)
                if place is None:
                    break
                found = place
            share = float(occupancies[rows].mean())
            x, y, z = found[1].tolist()
            if 0.0 < share <= 1.001:
                sites.append(
                    Site(found[0], slot, (x, y, z), min(share, 1.0), number == last)
                )
                last = number
        else:
            z_of = tuple(atomic_number("H" if s == "D" else s) for s in symbols)
            kind = _kind(space_group, sites, tables)
            return Template(space_group, regular, z_of, tuple(sites), kind)
    msg = f"{len(elements)} atoms are no orbits of space group {space_group}"
    raise UnusableStructureError(msg)
