"""Powder classes against first principles and published counts."""

from __future__ import annotations

import re
from collections import Counter

import gemmi
import numpy as np
import pytest

from ringwatch.models.extinction import bravais_lattice, derive_partition
from ringwatch.models.reflection_conditions import (
    index_box,
    reflection_conditions,
    systematic_absences,
)
from ringwatch.models.symmetry import (
    BRAVAIS_INDEX,
    BRAVAIS_LATTICES,
    CLASS_INDEX,
    CRYSTAL_SYSTEMS,
    ENANTIOMORPHIC_PAIRS,
    POWDER_CLASSES,
    SYSTEM_INDEX,
    derive_powder_classes,
    powder_class,
)


def test_shipped_table_is_what_the_operations_give():
    derived = derive_powder_classes()
    assert derived == tuple(entry.space_groups for entry in POWDER_CLASSES)
    assert len(derived) == 97


def test_published_counts_of_finer_partitions():
    extinction = derive_partition("extinction")
    diffraction = derive_partition("diffraction")
    assert len(extinction) == 101  # Int. Tables A (2006), 3.1.5: extinction symbols
    assert len(diffraction) == 122  # and diffraction symbols
    assert sum(len(members) == 1 for members in diffraction) == 50


def test_sizes_and_lattices_of_the_classes():
    sizes = Counter(len(entry.space_groups) for entry in POWDER_CLASSES)
    assert sizes == {1: 38, 2: 32, 3: 13, 4: 4, 5: 5, 6: 1, 8: 2, 10: 1, 16: 1}
    lattices = Counter(entry.bravais for entry in POWDER_CLASSES)
    expected = "aP1 mP4 mC2 oP19 oC7 oF3 oI4 tP23 tI8 hP7 hR2 cP7 cF5 cI5"
    assert lattices == {word[:2]: int(word[2:]) for word in expected.split()}
    assert set(lattices) == set(BRAVAIS_LATTICES)


def test_every_group_is_in_one_class():
    members = sorted(n for entry in POWDER_CLASSES for n in entry.space_groups)
    assert members == list(range(1, 231))
    assert [entry.number for entry in POWDER_CLASSES] == sorted(
        min(entry.space_groups) for entry in POWDER_CLASSES
    )


@pytest.mark.parametrize(
    ("group", "number"),
    [(1, 1), (2, 1), (225, 196), (221, 195), (227, 203), (229, 197), (208, 198)],
)
def test_powder_class(group, number):
    assert powder_class(group) == number


def test_pairs_that_a_published_list_keeps_apart():
    assert powder_class(198) == powder_class(208)
    assert powder_class(144) == powder_class(171)  # P3(1) and P6(2)
    assert powder_class(225) != powder_class(227)


@pytest.mark.parametrize("wrong", [0, 231, -1, 3.5])
def test_a_group_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match="1 to 230"):
        powder_class(wrong)


def test_indices_agree_with_gemmi():
    for array in (CLASS_INDEX, SYSTEM_INDEX, BRAVAIS_INDEX):
        assert array.shape == (231,)
        assert array[0] == -1
        assert not array.flags.writeable
    for number in range(1, 231):
        group = gemmi.find_spacegroup_by_number(number)
        assert CRYSTAL_SYSTEMS[SYSTEM_INDEX[number]] == group.crystal_system_str()
        assert BRAVAIS_LATTICES[BRAVAIS_INDEX[number]] == bravais_lattice(number)
        assert number in POWDER_CLASSES[CLASS_INDEX[number]].space_groups


def test_mirror_images_are_in_one_class_and_are_all_there_are():
    found = {n for pair in ENANTIOMORPHIC_PAIRS for n in pair}
    table = gemmi.spacegroup_table()
    assert found == {group.number for group in table if group.is_enantiomorphic()}
    for left, right in ENANTIOMORPHIC_PAIRS:
        assert powder_class(left) == powder_class(right)
        mirrored = gemmi.find_spacegroup_by_number(left).operations()
        mirrored.change_basis_forward(gemmi.Op("-x,-y,-z"))
        group = gemmi.find_spacegroup_by_ops(mirrored)
        assert group.number == right


def _axes_of_place(system, position):
    """Cell axes that a place of the symbol speaks of."""
    axes = {
        "monoclinic": {1: [1]},
        "orthorhombic": {0: [0], 1: [1], 2: [2]},
        "tetragonal": {0: [2], 1: [0, 1]},
        "cubic": {0: [0, 1, 2]},
    }
    return axes.get(system, {0: [2], 1: [0, 1]}).get(position, [])


def _violates_glide(letter, system, position, hkl):
    """Reflections that a glide plane of the symbol's letter extinguishes."""
    absent = np.zeros(len(hkl), bool)
    hexagonal = system in ("trigonal", "hexagonal")
    diagonal = position == 2 and system in ("tetragonal", "cubic")
    if diagonal or hexagonal:
        assert letter in "cnd"
        h, k, l = hkl.T  # noqa: E741
        if diagonal:
            planes = [(h, k, l), (k, l, h), (l, h, k)]
            planes = planes if system == "cubic" else planes[:1]
            zones = [(abs(p) == abs(q), 2 * p + r, r) for p, q, r in planes]
        elif position == 1:
            zones = [((h == 0) | (k == 0) | (h == -k), l, l)]
        else:
            zones = [((h == k) | (k == -2 * h) | (h == -2 * k), l, l)]
        for inside, sum_d, along in zones:
            broken = sum_d % 4 != 0 if letter == "d" else along % 2 != 0
            absent |= inside & broken
        return absent
    for axis in _axes_of_place(system, position):
        first, second = (i for i in range(3) if i != axis)
        x, y = hkl[:, first], hkl[:, second]
        if system == "cubic" and letter == "a":  # cyclic: 0kl k, h0l l, hk0 h
            broken = hkl[:, (axis + 1) % 3] % 2 != 0
        elif letter == "n":
            broken = (x + y) % 2 != 0
        elif letter == "d":
            broken = ((x + y) % 4 != 0) | (x % 2 != 0) | (y % 2 != 0)
        elif letter == "e" or (system, position, letter) == ("tetragonal", 0, "a"):
            broken = (x % 2 != 0) | (y % 2 != 0)
        elif system == "tetragonal" and letter == "b":  # 0kl k, h0l h
            broken = hkl[:, 1 - axis] % 2 != 0
        else:
            broken = hkl[:, "abc".index(letter)] % 2 != 0
        absent |= (hkl[:, axis] == 0) & broken
    return absent


def _absences_of_symbol(symbol, system, hkl):
    h, k, l = hkl.T  # noqa: E741
    lattice = {
        "P": h < -99,
        "C": (h + k) % 2 != 0,
        "I": (h + k + l) % 2 != 0,
        "F": ((h + k) % 2 != 0) | ((h + l) % 2 != 0),
        "R": (-h + k + l) % 3 != 0,
    }
    absent = lattice[symbol[0]].copy()
    places = re.findall(r"(?:21|31|41|42|61|63)(?:/[a-z])?|[-a-z1]", symbol[1:])
    assert "".join(places) == symbol[1:]
    for position, place in enumerate(places):
        letter = place[-1]
        if letter.isalpha():
            absent |= _violates_glide(letter, system, position, hkl)
        screw = re.match(r"\d\d", place)
        if screw:
            fold, steps = map(int, screw.group())
            period = fold // np.gcd(fold, steps)
            for axis in _axes_of_place(system, position):
                others = np.delete(hkl, axis, axis=1)
                on_axis = (others == 0).all(axis=1)
                absent |= on_axis & (hkl[:, axis] % period != 0)
    return absent


@pytest.mark.parametrize("entry", POWDER_CLASSES, ids=lambda e: f"{e.number}")
def test_symbol_and_conditions_say_what_is_absent(entry):
    standard = next(
        n
        for n in entry.space_groups
        if gemmi.find_spacegroup_by_number(n).centring_type() != "A"
    )
    hkl = index_box(7)
    absent = systematic_absences(standard, hkl)
    expected = _absences_of_symbol(entry.symbol, entry.crystal_systems[0], hkl)
    np.testing.assert_array_equal(absent, expected)
    assert entry.conditions == reflection_conditions(standard)
    assert bool(entry.conditions) == bool(absent.any())


def test_lattice_and_symbol_together_are_unique():
    names = {(entry.bravais, entry.symbol) for entry in POWDER_CLASSES}
    assert len(names) == 97
