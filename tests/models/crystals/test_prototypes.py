"""Decorated prototypes: templates give back their atoms, crystals keep their group."""

from __future__ import annotations

import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import gemmi
import numpy as np
import pyarrow.parquet as pq
import pytest

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.crystals.elements import PETTIFOR_ORDER, similarity
from ringwatch.models.crystals.prototype_sites import (
    UnusableStructureError,
    find_position,
    make_template,
    orbit,
)
from ringwatch.models.crystals.prototype_sources import (
    read_templates,
    training_prototypes,
)
from ringwatch.models.crystals.prototypes import build_pool
from ringwatch.models.diffraction import Crystal, reflections
from ringwatch.models.diffraction.unit_cell import cell_volume
from ringwatch.models.splits import structure_part
from ringwatch.models.symmetry import ENANTIOMORPHIC_PAIRS

from .made_templates import TABLES, make, spinel
from .spglib_groups import spglib_number

EDGES = ("a", "b", "c", "alpha", "beta", "gamma")


def rebuild(template):
    """All atoms of a template, as a crystal."""
    atoms = [
        orbit(TABLES, template.space_group, s.position, np.array(s.coordinates))
        for s in template.sites
    ]
    copies = [len(some) for some in atoms]
    z = [template.elements[site.slot] for site in template.sites]
    elements = np.repeat([gemmi.Element(number).name for number in z], copies)
    return Crystal(
        space_group=template.space_group,
        **dict(zip(EDGES, template.cell, strict=True)),
        elements=tuple(elements.tolist()),
        positions=np.concatenate(atoms),
        occupancies=np.repeat([site.occupancy for site in template.sites], copies),
        b_iso=np.zeros(sum(copies)),
    )


def test_every_wyckoff_position_is_found_again():
    rng = np.random.default_rng(0)
    for group in range(1, 231, 3):
        for position in range(TABLES.n_positions[group]):
            atoms = orbit(TABLES, group, position, rng.random(3))
            found = find_position(TABLES, group, atoms)
            assert found is not None, (group, position)
            again = orbit(TABLES, group, *found)
            away = again[:, None] - atoms
            away = abs(away - np.rint(away)).max(axis=2).min(axis=1)
            assert away.max() < 1e-6


def test_the_origin_is_moved_and_mixed_sites_stay_together():
    template = make(spinel("F d -3 m:1"), [0] * 16 + [1] * 16 + [2] * 32)
    assert [site.shared for site in template.sites] == [False, True, False, False]
    assert [site.occupancy for site in template.sites] == [0.8, 0.2, 1.0, 1.0]
    lines = reflections(rebuild(template), q_min=0.3, q_max=6.0)
    for setting in ("F d -3 m:1", "F d -3 m:2"):
        expected = reflections(spinel(setting), q_min=0.3, q_max=6.0)
        np.testing.assert_allclose(lines.q, expected.q)
        np.testing.assert_allclose(lines.f_squared, expected.f_squared, rtol=1e-6)


def test_what_is_no_orbit_is_refused():
    crystal = spinel("F d -3 m:2")
    with pytest.raises(UnusableStructureError, match="no orbits of space group 227"):
        make(crystal, [0] * 16 + [1] * 24 + [2] * 24)
    with pytest.raises(UnusableStructureError, match="is not one of space group 227"):
        make_template(
            TABLES,
            space_group=227,
            cell=(8.0, 8.0, 8.5, 90, 90, 90),
            elements=crystal.elements,
            positions=crystal.positions,
            occupancies=crystal.occupancies,
            orbits=[0] * 64,
        )


def test_decorated_prototypes_are_the_crystals_of_their_lines(small_pool):
    generator = CrystalGenerator(
        seed=4, space_groups=[2, 225, 227], prototypes=small_pool, prototype_share=1.0
    )
    peaks = generator.peaks(0, 60)
    kinds = Counter()
    for i in range(60):
        crystal = generator.crystal(i)
        kinds[crystal.name.split()[0], crystal.space_group] += 1
        lines = reflections(crystal, q_min=0.29, q_max=6.1)
        rows = slice(peaks.start[i], peaks.start[i + 1])
        middle = (lines.q[1:] + lines.q[:-1]) / 2
        line = np.searchsorted(middle, peaks.q[rows])
        merged = np.bincount(line, peaks.strength[rows], len(lines.q))
        expected = lines.f_squared * lines.multiplicity
        strong = expected > 1e-3 * expected.max()
        np.testing.assert_allclose(merged[strong], expected[strong], rtol=1e-4)
        if crystal.name.startswith("decorated") and crystal.space_group == 227:
            assert Counter(crystal.occupancies.tolist()) == {0.8: 8, 0.2: 8, 1.0: 48}
            assert len(set(crystal.elements)) == 4
            places = [
                {tuple(x) for x in crystal.positions[crystal.occupancies == share]}
                for share in (0.8, 0.2)
            ]
            assert places[0] == places[1]
    for group in (2, 225, 227):  # one type each: half are decorated
        assert kinds["decorated", group] > 0
        assert kinds["random", group] > 0


def test_decorated_prototypes_depend_on_their_number_alone(small_pool):
    settings = {"space_groups": [2, 225, 227], "prototypes": small_pool}
    whole = CrystalGenerator(seed=9, **settings).peaks(0, 120)
    parts = CrystalGenerator(seed=9, **settings)
    with ThreadPoolExecutor(3) as pool:
        pieces = list(pool.map(lambda first: parts.peaks(first, 24), range(0, 120, 24)))
    for name in ("space_group", "q", "strength"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_without_prototypes_crystals_are_as_before(small_pool):
    none = CrystalGenerator(seed=9).peaks(0, 50)
    zero = CrystalGenerator(seed=9, prototypes=small_pool, prototype_share=0.0)
    np.testing.assert_array_equal(zero.peaks(0, 50).strength, none.strength)


def test_similar_elements_are_neighbours_on_pettifors_scale():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.core import Element  # noqa: PLC0415
    order = sorted(PETTIFOR_ORDER.split(), key=lambda e: Element(e).mendeleev_no)
    assert order == PETTIFOR_ORDER.split()
    weights = similarity()
    assert weights[26].argmax() == 26
    assert weights[11, 19] > weights[11, 17]  # sodium: potassium before chlorine
    np.testing.assert_array_equal(weights, weights.T)
    assert weights[0].sum() == 0


def test_templates_of_real_structures_have_their_lines(shared_data):
    path = shared_data / "structures.parquet"
    templates, dropped = read_templates(path, ("choose",))
    assert len(templates) > 500
    assert dropped < 0.02 * len(templates)
    rows = [
        row
        for row in pq.read_table(path).to_pylist()
        if row["recommended"]
        and structure_part(row["structure_type"], row["formula"]) == "choose"
    ]
    assert len(rows) == len(templates)
    for row, template in list(zip(rows, templates, strict=True))[::9]:
        atoms = row["site_element"]
        original = Crystal(
            space_group=row["space_group"],
            **{name: row[name] for name in EDGES},
            elements=tuple("H" if e == "D" else e for e in atoms),
            positions=np.array(row["site_frac"], np.float64).reshape(-1, 3),
            occupancies=np.array(row["site_occ"], np.float64),
            b_iso=np.zeros(len(atoms)),
        )
        expected = reflections(original, q_min=0.3, q_max=2.5)
        lines = reflections(rebuild(template), q_min=0.3, q_max=2.5)
        strength = expected.f_squared * expected.multiplicity
        middle = (lines.q[1:] + lines.q[:-1]) / 2
        line = np.searchsorted(middle, expected.q)
        merged = np.bincount(line, strength, len(lines.q))
        ours = lines.f_squared * lines.multiplicity
        # The refined atoms are off their symmetric places by up to 0.002.
        strong = merged > 0.05 * merged.max()
        np.testing.assert_allclose(ours[strong], merged[strong], rtol=0.1)


def test_decorated_crystals_of_real_structures_keep_their_group(shared_data):
    templates, _ = read_templates(shared_data / "structures.parquet", ("choose",))
    pool = build_pool(templates)
    generator = CrystalGenerator(seed=5, prototypes=pool, prototype_share=1.0)
    partner = {a: b for pair in ENANTIOMORPHIC_PAIRS for a, b in (pair, pair[::-1])}
    right = seen = 0
    for i in range(300):
        crystal = generator.crystal(i)
        if crystal.name.startswith("random") or len(crystal.elements) > 100:
            continue
        seen += 1
        group = crystal.space_group
        right += spglib_number(crystal) in (group, partner.get(group))
        assert 20 < cell_volume(crystal.cell) < 9000.1
    assert seen > 100
    assert right >= 0.995 * seen


@pytest.mark.long
def test_aflows_prototypes_join_without_the_types_kept_for_reports(shared_data):
    path = shared_data / "structures.parquet"
    own = read_templates(path)[0]
    kinds = {template.kind for template in own}
    held = {t.kind for t in read_templates(path, ("choose", "test"))[0]} - kinds
    pool = training_prototypes(path)
    assert pool.sources == {path.name: len(own), "AFLOW": len(pool.kind) - len(own)}
    assert not held & set(pool.kind.tolist())
    assert len(pool.kind) > len(own) + 230  # of 288
    assert len(set(pool.kind.tolist())) > len(kinds)
