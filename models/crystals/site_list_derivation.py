"""Where the shipped site lists come from: candidates that spglib confirms.

``python -m ringwatch.models.crystals.site_list_derivation`` writes
``tables/site_lists.npz`` in about ten minutes.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib

from ringwatch.models.crystals.cell_shapes import draw_cell, shape_table
from ringwatch.models.crystals.philox import begin
from ringwatch.models.crystals.prototype_sites import orbit
from ringwatch.models.crystals.site_lists import MAX_ELEMENTS, SITE_LISTS
from ringwatch.models.crystals.wyckoff import MAX_ATOMS, MAX_SITES, wyckoff_tables
from ringwatch.models.diffraction.unit_cell import direct_metric
from ringwatch.models.symmetry import ENANTIOMORPHIC_PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

KNOWN_LISTS = 6
"""Lists made of each set of positions of known structures, fewer if few elements."""
FREE_LISTS = 250
"""Lists of each space group made site by site."""
ELEMENT_SHARES = (0.03, 0.20, 0.45, 0.22, 0.07, 0.03)
"""Shares of crystals of 1 to 6 elements; the real ones of `_VOLUMES`' fit have 1, 17,
51, 23, 6 and 1 %."""

_ATTEMPTS = 4
"""Candidates tried for each list that is wanted."""
_PARTNER = {a: b for pair in ENANTIOMORPHIC_PAIRS for a, b in (pair, pair[::-1])}
_SYMPREC = 1e-3


def confirmed(
    group: int,
    positions: NDArray[np.int64],
    slots: NDArray[np.int64],
    rng: np.random.Generator,
) -> bool:
    """Whether spglib finds the group of a list in a random cell.

    Parameters
    ----------
    group : int
        Space group; its mirror image counts as the same.
    positions, slots : (n,) int64
        Wyckoff position and element of each site.
    rng : numpy Generator
        Of coordinates and cell.

    Returns
    -------
    bool
        True where the symmetry is not higher.
    """
    tables = wyckoff_tables()
    atoms = [orbit(tables, group, int(w), rng.random(3)) for w in positions]
    copies = [len(some) for some in atoms]
    state = begin(int(rng.integers(2**62)), 0)
    cell = draw_cell(state, group, shape_table(tables), 20.0 * sum(copies))
    axes = np.linalg.cholesky(direct_metric(cell.tolist()))
    crystal: Any = (axes, np.concatenate(atoms), np.repeat(slots + 1, copies))
    with warnings.catch_warnings():
        # spglib 2.8 warns of its own error handling at each call.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = spglib.get_symmetry_dataset(crystal, symprec=_SYMPREC)
    return found is not None and found.number in (group, _PARTNER.get(group))


def _partition(n_sites: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Elements of sites, numbered by first appearance, each at least once."""
    count = min(1 + int(rng.choice(MAX_ELEMENTS, p=ELEMENT_SHARES)), n_sites)
    slots = rng.permutation(
        np.concatenate([np.arange(count), rng.integers(0, count, n_sites - count)])
    )
    order = list(dict.fromkeys(slots.tolist()))
    return np.array([order.index(slot) for slot in slots.tolist()])


def _site_by_site(
    group: int, weights: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Wyckoff positions one by one, a position without freedom at most once."""
    tables = wyckoff_tables()
    wanted = int(np.clip(np.exp(1.5 + 0.75 * rng.standard_normal()), 1, MAX_SITES))
    n = tables.n_positions[group]
    multiplicity, freedom = tables.multiplicity[group, :n], tables.freedom[group, :n]
    weights = weights[:n].copy()
    positions: list[int] = []
    left = MAX_ATOMS
    while len(positions) < wanted:
        possible = np.where(multiplicity <= left, weights, 0.0)
        if possible.sum() == 0.0:
            break
        chosen = int(rng.choice(n, p=possible / possible.sum()))
        left -= int(multiplicity[chosen])
        if freedom[chosen] == 0:
            weights[chosen] = 0.0
        positions.append(chosen)
    return np.sort(positions)


def _position_weights(group: int) -> NDArray[np.float64]:
    """How often known structures have each position, a fifth of it even."""
    tables = wyckoff_tables()
    rows = slice(tables.set_first[group], tables.set_first[group + 1])
    sets, count = tables.sets[rows], tables.set_count[rows]
    used = sets >= 0
    seen = np.bincount(sets[used], np.repeat(count, used.sum(axis=1)), minlength=27)
    exists = np.arange(27) < tables.n_positions[group]
    even: NDArray[np.float64] = exists / exists.sum()
    return 0.8 * seen / seen.sum() + 0.2 * even if seen.sum() > 20 else even


def _lists(
    group: int, rng: np.random.Generator
) -> Iterator[tuple[bool, float, NDArray[np.int64], NDArray[np.int64]]]:
    """Confirmed lists of a group: known or not, weight, positions, slots."""
    tables = wyckoff_tables()
    for row in range(tables.set_first[group], tables.set_first[group + 1]):
        positions = tables.sets[row][tables.sets[row] >= 0]
        found = _confirmed_partitions(group, positions, KNOWN_LISTS, rng)
        for slots in found:
            weight = float(np.sqrt(tables.set_count[row])) / len(found)
            yield True, weight, positions, slots
    weights = _position_weights(group)
    seen: set[tuple[int, ...]] = set()
    for _ in range(_ATTEMPTS * FREE_LISTS):
        positions = _site_by_site(group, weights, rng)
        slots = _partition(len(positions), rng)
        key = (*positions.tolist(), -1, *slots.tolist())
        if key not in seen and confirmed(group, positions, slots, rng):
            yield False, 1.0, positions, slots
            if len(seen) >= FREE_LISTS:
                break
        seen.add(key)


def _confirmed_partitions(
    group: int, positions: NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Up to so many different partitions of a set of positions."""
    found: list[NDArray[np.int64]] = []
    seen: set[tuple[int, ...]] = set()
    for _ in range(_ATTEMPTS * wanted):
        slots = _partition(len(positions), rng)
        key = tuple(slots.tolist())
        if key in seen:
            continue
        seen.add(key)
        if confirmed(group, positions, slots, rng):
            found.append(slots)
            if len(found) == wanted:
                break
    return found


def derive_site_lists(groups: range = range(1, 231)) -> dict[str, NDArray[Any]]:
    """Compute the shipped arrays (minutes).

    Parameters
    ----------
    groups : range
        Space groups; all are shipped.

    Returns
    -------
    dict of str to array
        As stored: sizes of lists in the place of their slices, weights unsummed.
    """
    first = np.zeros((231, 3), np.int64)
    known_sets = np.zeros(231, np.int64)
    weight: list[float] = []
    positions: list[NDArray[np.int64]] = []
    slots: list[NDArray[np.int64]] = []
    for group in range(1, 231):
        first[group] = len(weight)
        if group in groups:
            rng = np.random.default_rng([2024, group])
            sets = set()
            for known, share, where, which in _lists(group, rng):
                weight.append(share)
                positions.append(where)
                slots.append(which)
                if known:
                    first[group, 1] = len(weight)
                    sets.add(tuple(where.tolist()))
            known_sets[group] = len(sets)
        first[group, 2] = len(weight)
    return {
        "first": first,
        "known_sets": known_sets,
        "weight": np.array(weight, np.float32),
        "size": np.array([len(where) for where in positions], np.uint8),
        "positions": np.concatenate(positions).astype(np.uint8),
        "slots": np.concatenate(slots).astype(np.uint8),
    }


if __name__ == "__main__":
    arrays = derive_site_lists()
    path = Path(__file__).parents[1] / "tables" / SITE_LISTS
    np.savez_compressed(path, allow_pickle=False, **arrays)
    sys.stdout.write(f"{len(arrays['size'])} lists, {path.stat().st_size} bytes\n")
