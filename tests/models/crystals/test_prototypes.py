"""Decorated prototypes: templates give back their atoms, crystals keep their group."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import gemmi
import numpy as np
import pyarrow.parquet as pq
import pytest
import spglib

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
from ringwatch.models.crystals.prototypes import PrototypePool, build_pool
from ringwatch.models.crystals.wyckoff import wyckoff_tables
from ringwatch.models.diffraction import Crystal, reflections
from ringwatch.models.diffraction.unit_cell import cell_volume
from ringwatch.models.splits import structure_part
from ringwatch.models.symmetry import ENANTIOMORPHIC_PAIRS

TABLES = wyckoff_tables()
EDGES = ("a", "b", "c", "alpha", "beta", "gamma")
SPECIAL = 1 / 8  # of diamond's atoms in the second origin choice


def make(crystal, orbits):
    return make_template(
        TABLES,
        space_group=crystal.space_group,
        cell=crystal.cell,
        elements=crystal.elements,
        positions=crystal.positions,
        occupancies=crystal.occupancies,
        orbits=orbits,
    )


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


def spinel(setting):
    """MgAl2O4 in either origin choice (Hill et al., Phys. Chem. Miner. 4 (1979) 317),
    a fifth of the magnesium replaced by iron."""
    shift = 0.0 if setting.endswith("2") else SPECIAL
    u = 0.2624
    sites = [[SPECIAL] * 3, [SPECIAL] * 3, [0.5] * 3, [u] * 3]
    return Crystal.from_sites(
        space_group=227,
        cell=(8.08, 8.08, 8.08, 90, 90, 90),
        elements=["Mg", "Fe", "Al", "O"],
        positions=np.array(sites) + shift,
        occupancies=[0.8, 0.2, 1.0, 1.0],
        setting=setting,
    )


@pytest.fixture(scope="module")
def small_pool():
    """Spinel, rock salt and a triclinic cell of general positions."""
    salt = Crystal.from_sites(
        space_group=225,
        cell=(5.64, 5.64, 5.64, 90, 90, 90),
        elements=["Na", "Cl"],
        positions=[[0, 0, 0], [0.5, 0.5, 0.5]],
    )
    loose = Crystal.from_sites(
        space_group=2,
        cell=(5.0, 6.0, 7.0, 80, 95, 100),
        elements=["Ca", "S", "O"],
        positions=[[0.1, 0.2, 0.3], [0.6, 0.15, 0.8], [0.35, 0.7, 0.05]],
    )
    return build_pool(
        [
            make(spinel("F d -3 m:1"), [0] * 8 + [0] * 8 + [1] * 16 + [2] * 32),
            make(salt, [0] * 4 + [1] * 4),
            make(loose, [0, 0, 1, 1, 2, 2]),
        ]
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


def test_a_pool_is_read_as_it_was_written(small_pool, tmp_path):
    small_pool.write(tmp_path / "pool.npz")
    again = PrototypePool.read(tmp_path / "pool.npz")
    assert again.digest() == small_pool.digest()
    assert again._replace(cell=again.cell + 1e-9).digest() != small_pool.digest()
    np.savez(tmp_path / "other.npz", first=np.zeros(3))
    with pytest.raises(ValueError, match="lacks"):
        PrototypePool.read(tmp_path / "other.npz")
    short = small_pool._asdict() | {"slot_z": small_pool.slot_z[:-1]}
    np.savez(tmp_path / "short.npz", **short)
    with pytest.raises(ValueError, match="slices end"):
        PrototypePool.read(tmp_path / "short.npz")
    for wrong in ({"weights": np.float64(1)}, {"first": np.zeros(0, np.int64)}):
        np.savez(tmp_path / "wrong.npz", **{**small_pool._asdict(), **wrong})
        with pytest.raises(ValueError, match=r"no arrays|slices end"):
            PrototypePool.read(tmp_path / "wrong.npz")
    (tmp_path / "text.npz").write_text("no archive at all")
    with pytest.raises(ValueError, match="no readable"):
        PrototypePool.read(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="is missing"):
        PrototypePool.read(tmp_path / "none.npz")


def test_a_pool_that_unpacks_to_too_much_is_refused(tmp_path):
    bomb = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("cell.npy", "w") as member,
    ):
        for _ in range(257):
            member.write(bytes(2**20))
    assert bomb.stat().st_size < 2**20
    with pytest.raises(ValueError, match="unpacks to"):
        PrototypePool.read(bomb)


def test_a_header_that_asks_for_more_than_there_is_is_refused(tmp_path):
    path = tmp_path / "greedy.npz"
    with zipfile.ZipFile(path, "w") as packed, packed.open("cell.npy", "w") as member:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(ValueError, match="no readable"):
        PrototypePool.read(path)


def test_a_pool_remembers_where_its_templates_come_from(small_pool, tmp_path):
    assert small_pool.sources == {}
    pool = PrototypePool(*small_pool)
    pool.sources = {"table.parquet": 2, "AFLOW": 1}
    assert pool.digest() == small_pool.digest()  # what is drawn is the same
    assert small_pool.sources == {}
    pool.write(tmp_path / "pool.npz")
    assert PrototypePool.read(tmp_path / "pool.npz").sources == pool.sources
    np.savez(tmp_path / "old.npz", **pool._asdict())
    assert PrototypePool.read(tmp_path / "old.npz").sources == {}


def test_a_common_type_weighs_as_the_root_of_its_number(small_pool):
    template = make(spinel("F d -3 m:2"), [0] * 16 + [1] * 16 + [2] * 32)
    diamond = Crystal.from_sites(
        space_group=227,
        cell=(3.57, 3.57, 3.57, 90, 90, 90),
        elements=["C"],
        positions=[[SPECIAL] * 3],
    )
    pool = build_pool([template] * 4 + [make(diamond, [0] * 8)])
    weight = np.diff(pool.weights, prepend=0.0)
    total = {kind: weight[pool.kind == kind].sum() for kind in set(pool.kind.tolist())}
    assert sorted(total.values()) == pytest.approx([1.0, 2.0])
    assert pool.types()[227] == 2
    assert pool.types().sum() == 2
    assert small_pool.types().sum() == 3


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


def spglib_number(crystal):
    """Space group that spglib finds; elements that share a place are one species."""
    ca, cb, cg = (math.cos(math.radians(x)) for x in crystal.cell[3:])
    sg = math.sin(math.radians(crystal.gamma))
    z = (ca - cb * cg) / sg
    axes = np.array([[1, 0, 0], [cg, sg, 0], [cb, z, math.sqrt(1 - cb**2 - z**2)]])
    places = {}
    for row in zip(
        crystal.elements, crystal.positions, crystal.occupancies, strict=True
    ):
        element, xyz, share = row
        place = tuple(np.round(xyz, 6) % 1.0)
        places.setdefault(place, []).append((element, round(float(share), 6)))
    mixtures = [tuple(sorted(mixture)) for mixture in places.values()]
    names = sorted(set(mixtures))
    atoms = (
        axes * np.array(crystal.cell[:3])[:, None],
        list(places),
        [names.index(mixture) + 1 for mixture in mixtures],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spglib.get_symmetry_dataset(atoms, symprec=1e-4).number


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


@pytest.mark.slow
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
