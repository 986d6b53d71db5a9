"""Where the shipped table of Wyckoff positions comes from: PyXtal's operations.

``python -m ringwatch.models.crystals.wyckoff_derivation`` writes
``tables/wyckoff.npz``.
"""

from __future__ import annotations

import csv
import itertools
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyxtal.symmetry import Group

from ringwatch.models.crystals.wyckoff import (
    LAUE_CLASSES,
    MAX_ATOMS,
    MAX_POSITIONS,
    MAX_SITES,
    TABLE,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODES_BY_LAST_GROUP = (
    (2, 0),
    (15, 1),
    (74, 2),
    (88, 3),
    (142, 4),
    (148, 5),
    (167, 7),
    (176, 8),
    (194, 9),
    (206, 10),
    (230, 11),
)
_MIRROR_GROUPS_31M = frozenset({149, 151, 153, 157, 159, 162, 163})


def laue_code(space_group: int) -> int:
    """Index into `LAUE_CLASSES` of a space group in its standard setting.

    Parameters
    ----------
    space_group : int
        Number in International Tables, 1 to 230.

    Returns
    -------
    int
        0 to 11.

    Raises
    ------
    ValueError
        If there is no such space group.
    """
    if not 1 <= space_group <= 230:
        msg = f"space group {space_group}: expected a number from 1 to 230"
        raise ValueError(msg)
    if space_group in _MIRROR_GROUPS_31M:
        return 6
    return next(code for last, code in _CODES_BY_LAST_GROUP if space_group <= last)


def in_asymmetric_unit(code: int, hkl: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether reflections lie in the reciprocal asymmetric unit (CCP4's choice).

    Parameters
    ----------
    code : int
        Laue class, an index into `LAUE_CLASSES`.
    hkl : (n, 3) int
        Miller indices.

    Returns
    -------
    (n,) bool
        True for exactly one member of each orbit.
    """
    h, k, l = hkl[:, 0], hkl[:, 1], hkl[:, 2]  # noqa: E741
    hexagonal = (h >= 0) & (k > 0)
    units = {
        0: (l > 0) | ((l == 0) & ((h > 0) | ((h == 0) & (k >= 0)))),
        1: (k >= 0) & ((l > 0) | ((l == 0) & (h >= 0))),
        2: (h >= 0) & (k >= 0) & (l >= 0),
        3: (l >= 0) & (hexagonal | ((h == 0) & (k == 0))),
        4: (h >= k) & (k >= 0) & (l >= 0),
        5: hexagonal | ((h == 0) & (k == 0) & (l >= 0)),
        6: (h >= k) & (k >= 0) & ((k > 0) | (l >= 0)),
        7: (h >= k) & (k >= 0) & ((h > k) | (l >= 0)),
        10: (h >= 0) & (((l >= h) & (k > h)) | ((l == h) & (k == h))),
        11: (k >= l) & (l >= h) & (h >= 0),
    }
    inside: NDArray[np.bool_] = units[{8: 3, 9: 4}.get(code, code)]
    return inside


def equality_bits(hkl: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which equalities hold among h, k, l, as seven bits; multiplicity depends on them.

    Parameters
    ----------
    hkl : (n, 3) int
        Miller indices.

    Returns
    -------
    (n,) int64
        Bits from the lowest: h=0, k=0, l=0, h=k, k=l, h=l, h=-k.
    """
    h, k, l = hkl[:, 0], hkl[:, 1], hkl[:, 2]  # noqa: E741
    tests = (h == 0, k == 0, l == 0, h == k, k == l, h == l, h == -k)
    bits: NDArray[np.int64] = sum(
        (test.astype(np.int64) << bit for bit, test in enumerate(tests)),
        start=np.zeros(len(hkl), np.int64),
    )
    return bits


def _fold(
    operations: NDArray[np.float64], centring: NDArray[np.int64], *, inversion: bool
) -> list[list[int]]:
    """Orbit -> [12 x rotation (9), 24 x translation (3), weight] rows, folded."""
    seen: dict[tuple[int, ...], int] = {}
    rows: list[list[int]] = []
    for operation in operations:
        turn = np.rint(operation[:3, :3] * 12).astype(np.int64)
        shift = np.rint(operation[:3, 3] * 24).astype(np.int64)
        copies = [(*turn.ravel(), *((shift + 4 * c) % 24)) for c in centring]
        mirrored = [(*(-turn).ravel(), *((4 * c - shift) % 24)) for c in centring]
        if any(key in seen for key in copies):
            continue
        partner = next((seen[key] for key in mirrored if key in seen), None)
        if inversion and partner is not None:
            rows[partner][12] += 1
        else:
            partner = len(rows)
            rows.append([*turn.ravel().tolist(), *(shift % 24).tolist(), 1])
        seen.update(dict.fromkeys(copies, partner))
    return rows


def _line_multiplicities(rotations: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Orbit sizes under each Laue group, counted over |h| <= 7."""
    table = np.zeros((len(LAUE_CLASSES), 128), np.int64)
    box = np.array(list(itertools.product(range(-7, 8), repeat=3)))
    for code, group in rotations.items():
        hkl = box[in_asymmetric_unit(code, box)]
        orbits = np.einsum("ni,oij->noj", hkl, group) + 50
        keys = np.sort(orbits @ np.array([10_000, 100, 1]), axis=1)
        sizes = 1 + (np.diff(keys, axis=1) > 0).sum(axis=1)
        table[code, equality_bits(hkl)] = sizes
    return table


def _known_sets(multiplicity: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Wyckoff sets of known structures from PyXtal's Materials Project statistics."""
    path = resources.files("pyxtal") / "database" / "spg_num_wps_mp.csv"
    rows: list[tuple[int, tuple[int, ...], int]] = []
    structures = np.zeros(231, np.int64)
    with path.open(encoding="ascii") as stream:
        for row in csv.DictReader(stream):
            group, count = int(row["spg"]), int(row["count"])
            letters = tuple(int(w) for w in row["wps"].split("-"))
            structures[group] += count
            atoms = multiplicity[group, list(letters)].sum()
            if len(letters) <= MAX_SITES and atoms <= MAX_ATOMS:
                rows.append((group, letters, count))
    rows.sort()
    sets = np.full((len(rows), MAX_SITES), -1, np.int64)
    for index, (_, letters, _) in enumerate(rows):
        sets[index, : len(letters)] = letters
    groups = np.array([row[0] for row in rows])
    return {
        "sets": sets,
        "set_count": np.array([row[2] for row in rows]),
        "set_first": np.searchsorted(groups, np.arange(232)),
        "structures": structures,
    }


def derive_wyckoff_tables() -> dict[str, NDArray[Any]]:
    """Compute the shipped arrays from PyXtal's operations (seconds).

    Returns
    -------
    dict of str to array
        As stored: rotations in twelfths, translations in 24ths.
    """
    arrays: dict[str, NDArray[Any]] = {
        name: np.zeros(231, np.int64) for name in ("n_centring", "laue", "n_positions")
    }
    arrays["inversion"] = np.zeros(231, np.bool_)
    arrays["centring"] = np.zeros((231, 4, 3), np.int64)
    for name in ("multiplicity", "freedom", "first", "n_operations"):
        arrays[name] = np.zeros((231, MAX_POSITIONS), np.int64)
    rows: list[list[int]] = []
    rotations: dict[int, NDArray[np.int64]] = {}
    for number in range(1, 231):
        group = Group(number)
        general = np.array([op.affine_matrix for op in group[0].ops])
        turns = np.rint(general[:, :3, :3]).astype(np.int64)
        sixths = np.rint(general[:, :3, 3] * 6).astype(np.int64) % 6
        identity = (turns == np.eye(3)).all(axis=(1, 2))
        centring = np.unique(sixths[identity], axis=0)
        unmoved = (np.rint(general[:, :3, 3] * 24) % 24 == 0).all(axis=1)
        inverse = (turns == -np.eye(3)).all(axis=(1, 2))
        arrays["n_centring"][number] = len(centring)
        arrays["centring"][number, : len(centring)] = centring
        arrays["laue"][number] = code = laue_code(number)
        arrays["inversion"][number] = inversion = bool((unmoved & inverse).any())
        arrays["n_positions"][number] = len(group)
        rotations[code] = np.unique(np.concatenate([turns, -turns]), axis=0)
        for index in range(len(group)):
            position = group[index]
            ops = np.array([op.affine_matrix for op in position.ops])
            folded = _fold(ops, centring, inversion=inversion)
            arrays["multiplicity"][number, index] = position.multiplicity
            arrays["freedom"][number, index] = np.linalg.matrix_rank(ops[0][:3, :3])
            arrays["first"][number, index] = len(rows)
            arrays["n_operations"][number, index] = len(folded)
            rows.extend(folded)
    bank = np.array(rows)
    arrays["rotation"] = bank[:, :9].reshape(-1, 3, 3)
    arrays["translation"] = bank[:, 9:12]
    arrays["weight"] = bank[:, 12]
    arrays["line_multiplicity"] = _line_multiplicities(rotations)
    return arrays | _known_sets(arrays["multiplicity"])


def _write_tables(path: Path) -> None:
    arrays = derive_wyckoff_tables()
    small = {
        name: array.astype(np.min_scalar_type(-int(array.max()) - 1))
        if array.dtype.kind == "i"
        else array
        for name, array in arrays.items()
    }
    np.savez_compressed(path, allow_pickle=False, **small)


if __name__ == "__main__":
    _write_tables(Path(__file__).parents[1] / "tables" / TABLE)
