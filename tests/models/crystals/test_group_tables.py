"""Operations, orbits and absences of all 230 groups against gemmi and PyXtal."""

from __future__ import annotations

import math
import warnings

import gemmi
import numpy as np
import pytest

from ringwatch.models.crystals.structure_factors import (
    box_size,
    enumerate_reflections,
    squared_structure_factors,
)
from ringwatch.models.crystals.wyckoff import LAUE_CLASSES, wyckoff_tables
from ringwatch.models.reflection_conditions import index_box, systematic_absences

TABLES = wyckoff_tables()


def unfold(group):
    """All operations of a group from its folded general position, in 24ths."""
    rows = slice(TABLES.first[group, 0], None)
    found = set()
    for offset in range(TABLES.n_operations[group, 0]):
        turn = np.rint(TABLES.rotation[rows][offset]).astype(int)
        shift = np.rint(TABLES.translation[rows][offset] * 24).astype(int)
        pairs = [(turn, shift)]
        if TABLES.inversion[group]:
            pairs.append((-turn, -shift))
        for matrix, vector in pairs:
            for centre in TABLES.centring[group, : TABLES.n_centring[group]]:
                moved = tuple(int(x) % 24 for x in vector + 4 * centre)
                found.add((tuple(matrix.ravel().tolist()), moved))
    return found


def test_operations_of_all_groups_are_those_of_a_gemmi_setting():
    settings = {}
    for entry in gemmi.spacegroup_table():
        operations = {
            (
                tuple(x // 24 for row in op.rot for x in row),
                tuple(x % 24 for x in op.tran),
            )
            for op in entry.operations()
        }
        settings.setdefault(entry.number, []).append(operations)
    for group in range(1, 231):
        assert unfold(group) in settings[group], group


def test_multiplicities_are_those_of_the_folded_orbits():
    for group in range(1, 231):
        for w in range(TABLES.n_positions[group]):
            first = TABLES.first[group, w]
            atoms = TABLES.weight[first : first + TABLES.n_operations[group, w]].sum()
            assert atoms * TABLES.n_centring[group] == TABLES.multiplicity[group, w]


def test_shipped_tables_are_what_pyxtal_gives():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ringwatch.models.crystals.wyckoff_derivation import (  # noqa: PLC0415
            derive_wyckoff_tables,
        )
    for name, array in derive_wyckoff_tables().items():
        shipped = getattr(TABLES, name)
        scale = {"rotation": 12, "translation": 24}.get(name, 1)
        np.testing.assert_array_equal(shipped * scale, array, err_msg=name)


def listed(group, q_max=4.0):
    """Reflections that the kernel lists for a cell of the group's family, a* = 0.1."""
    hexagonal = 143 <= group <= 194
    metric = np.array([0.01, 0.01, 0.01, 0.01 if hexagonal else 0.0, 0.0, 0.0])
    edges = np.array([10.0, 10.0, 10.0])
    if hexagonal:
        edges[:2] /= math.sin(math.radians(60))
    code = TABLES.laue[group]
    room = box_size(code, edges, q_max / (2 * math.pi))
    hkl, s2, size = np.empty((room, 3), np.int32), np.empty(room), np.empty(room)
    n = enumerate_reflections(
        code,
        metric,
        edges,
        TABLES.centring[group, : TABLES.n_centring[group]],
        (1e-6, q_max / (2 * math.pi)),
        TABLES.line_multiplicity,
        hkl,
        s2,
        size,
    )
    return hkl[:n].astype(np.int64), s2[:n], size[:n]


def test_absences_of_all_groups_agree_with_gemmi():
    rng = np.random.default_rng(3)
    checked = 0
    flat = np.ones((99, 2049), np.float32)  # form factors that hide no reflection
    for group in range(1, 231):
        hkl, s2, _ = listed(group)
        first, n = TABLES.first[group, 0], TABLES.n_operations[group, 0]
        ops = slice(first, first + n)
        weight = TABLES.weight[ops].astype(np.float32)
        strongest = np.zeros(len(hkl))
        for _ in range(4):  # a reflection may vanish for one site, not for four
            x = TABLES.rotation[ops] @ rng.random(3) + TABLES.translation[ops]
            out = np.empty(len(hkl))
            squared_structure_factors(
                np.ascontiguousarray((x % 1).T),
                weight,
                np.array([0, n]),
                np.array([26]),
                np.zeros(1),
                bool(TABLES.inversion[group]),
                hkl.astype(np.int32),
                s2,
                flat,
                1e-3,
                np.zeros(99),
                out,
            )
            strongest = np.maximum(strongest, np.sqrt(out) / weight.sum())
        absent = systematic_absences(group, hkl)
        np.testing.assert_array_equal(strongest < 1e-3, absent, err_msg=str(group))
        checked += len(hkl)
    assert checked > 20_000


@pytest.mark.parametrize("code", range(len(LAUE_CLASSES)), ids=LAUE_CLASSES)
def test_each_orbit_is_listed_once_with_its_size(code):
    group = next(n for n in range(1, 231) if TABLES.laue[n] == code)
    hkl, _, size = listed(group)
    turns = np.array(sorted({op[0] for op in unfold(group)})).reshape(-1, 3, 3)
    turns = np.unique(np.concatenate([turns, -turns]), axis=0)
    seen = set()
    for row, count in zip(hkl, size, strict=True):
        orbit = {tuple(member) for member in (row @ turns).tolist()}
        assert len(orbit) == count
        assert not orbit & seen
        seen |= orbit
    box = index_box(8)
    h, k, l = box.T  # noqa: E741
    squares = h * h + k * k + l * l + (h * k if 143 <= group <= 194 else 0)
    inside = box[squares <= (10 * 4.0 / (2 * math.pi)) ** 2]
    centring = TABLES.centring[group, : TABLES.n_centring[group]]
    allowed = ((inside @ centring.T) % 6 == 0).all(axis=1)
    assert seen == {tuple(row) for row in inside[allowed].tolist()}
