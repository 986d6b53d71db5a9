"""What random crystals are drawn from: lists of sites, cells, volumes, distances."""

from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.crystals.atom_volumes import (
    VOLUME_SPREAD,
    atom_volumes,
    fit_atom_volumes,
    sphere_volumes,
)
from ringwatch.models.crystals.cell_shapes import (
    AXIS_RANGE,
    draw_cell,
    lattice_symbol,
    shape_table,
    squared_skew,
)
from ringwatch.models.crystals.philox import begin
from ringwatch.models.crystals.placement import metric_tensor, place_sites
from ringwatch.models.crystals.prototype_sites import orbit
from ringwatch.models.crystals.prototype_sources import read_prototypes
from ringwatch.models.crystals.site_list_derivation import confirmed, derive_site_lists
from ringwatch.models.crystals.site_lists import MAX_ELEMENTS, site_lists
from ringwatch.models.crystals.wyckoff import MAX_ATOMS, MAX_SITES, wyckoff_tables
from ringwatch.models.diffraction.unit_cell import cell_volume, direct_metric

TABLES = wyckoff_tables()


def test_every_group_has_lists_that_its_positions_allow():
    lists = site_lists()
    assert lists.first[1, 0] == 0
    assert (lists.first[2:, 0] == lists.first[1:-1, 2]).all()
    assert lists.first[230, 2] == len(lists.weights) == len(lists.site_first) - 1
    assert ((lists.first[:, 1] > lists.first[:, 0]) == (lists.known_sets > 0)).all()
    assert (np.diff(lists.first[1:, 1:]) >= 60).all()
    assert (np.diff(lists.weights) > 0).all()
    group = np.repeat(np.arange(231), lists.first[:, 2] - lists.first[:, 0])
    size = np.diff(lists.site_first)
    of = np.repeat(group, size)
    assert size.min() >= 1
    assert size.max() <= MAX_SITES
    assert (lists.positions < TABLES.n_positions[of]).all()
    atoms = TABLES.multiplicity[of, lists.positions]
    assert np.add.reduceat(atoms, lists.site_first[:-1]).max() <= MAX_ATOMS
    most = np.maximum.reduceat(lists.slots, lists.site_first[:-1])
    assert most.max() == MAX_ELEMENTS - 1
    row = np.repeat(np.arange(len(size)), size)
    pairs = np.unique(np.stack([row, lists.slots]), axis=1)
    np.testing.assert_array_equal(np.bincount(pairs[0]), most + 1)
    step = np.diff(lists.positions)[np.diff(row) == 0]
    assert (step >= 0).all()  # general positions come first


def test_spglib_decides_which_lists_are_kept():
    rng = np.random.default_rng(0)
    # Two kinds of atoms on the mirror plane of P n m a are enough; one atom on the axis
    # of P 2 makes an inversion centre, two general ones do not.
    assert confirmed(62, np.array([1, 1]), np.array([0, 1]), rng)
    assert not confirmed(3, np.array([1]), np.array([0]), rng)
    assert confirmed(3, np.array([0, 0]), np.array([0, 1]), rng)
    # One element on both positions of rock salt is a primitive cell of half the edge.
    last = TABLES.n_positions[225] - 1
    salt = np.array([last - 1, last])
    assert confirmed(225, salt, np.array([0, 1]), rng)
    assert not confirmed(225, salt, np.array([0, 0]), rng)


def test_shipped_lists_are_what_is_derived():
    shipped = site_lists()
    derived = derive_site_lists(range(221, 223))
    for group in (221, 222):
        rows = slice(*derived["first"][group][[0, 2]])
        ours = slice(*shipped.first[group][[0, 2]])
        sizes = derived["size"][rows]
        np.testing.assert_array_equal(np.diff(shipped.site_first)[ours], sizes)
        low = int(derived["size"][: rows.start].sum())
        sites = slice(low, low + int(sizes.sum()))
        theirs = slice(shipped.site_first[ours.start], shipped.site_first[ours.stop])
        for name in ("positions", "slots"):
            np.testing.assert_array_equal(
                derived[name][sites], getattr(shipped, name)[theirs]
            )


def test_cells_have_their_volume_and_the_shape_of_their_system():
    shapes = shape_table(TABLES)
    symbols = {lattice_symbol(TABLES, group) for group in range(1, 231)}
    assert symbols == {
        *("aP", "mP", "mC", "oP", "oC", "oA", "oF", "oI"),
        *("tP", "tI", "hP", "hR", "cP"),
    }
    for group in range(1, 231):
        assert shapes[group].any() == (group <= 194)
        for index in range(10):
            cell = draw_cell(begin(5, 1000 * group + index), group, shapes, 400.0)
            assert cell_volume(cell.tolist()) == pytest.approx(400.0)
            assert cell[:3].min() >= AXIS_RANGE[0]
            assert cell[:3].max() <= AXIS_RANGE[1]
    skew = squared_skew(np.array([80.0, 95.0, 100.0]))
    volume = cell_volume((1.0, 1.0, 1.0, 80.0, 95.0, 100.0))
    assert skew == pytest.approx(volume**2)


def test_axis_ratios_are_distributed_as_fitted():
    shapes = shape_table(TABLES)
    cells = np.array([draw_cell(begin(1, i), 123, shapes, 300.0) for i in range(4000)])
    ratio = np.log(cells[:, 2] / cells[:, 0])
    assert ratio.mean() == pytest.approx(0.26, abs=0.05)
    # A fifth spreads half as much again; long and short axes are kept within bounds.
    assert 0.76 < ratio.std() < 0.76 * np.sqrt(0.8 + 0.2 * 2.25)
    cells = np.array([draw_cell(begin(1, i), 14, shapes, 300.0) for i in range(4000)])
    assert np.median(cells[:, 4]) == pytest.approx(90 + 0.6745 * 20, abs=1.0)


def contact(cell, atoms, radii):
    """Least distance over the sum of radii, over all images within a cell around."""
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    apart = (atoms[:, None] - atoms)[:, :, None] + images
    metric = direct_metric(cell)
    length = np.sqrt(np.einsum("abni,ij,abnj->abn", apart, metric, apart))
    length[length < 1e-9] = np.inf
    return (length.min(axis=2) / (radii[:, None] + radii)).min()


def test_more_draws_keep_atoms_further_apart():
    cell = np.array([6.0, 7.0, 8.0, 90.0, 90.0, 90.0])
    positions, radii = np.array([0, 0, 1]), np.array([0.7, 1.0, 1.3])
    medians = []
    for draws in (1, 4, 16):
        found = []
        for i in range(60):
            xyz = place_sites(begin(3, i), 62, TABLES, positions, radii, cell, draws)
            atoms = [
                orbit(TABLES, 62, w, x) for w, x in zip(positions, xyz, strict=True)
            ]
            copies = [len(some) for some in atoms]
            found.append(
                contact(cell.tolist(), np.concatenate(atoms), np.repeat(radii, copies))
            )
        medians.append(np.median(found))
    assert medians[1] > 1.5 * medians[0]
    assert medians[2] > medians[1]
    np.testing.assert_allclose(
        metric_tensor(np.array([5.0, 6.0, 7.0, 80.0, 95.0, 100.0]))[[0, 3, 4]],
        direct_metric((5, 6, 7, 80, 95, 100))[0] * [1, 2, 2],
    )


def test_one_element_of_some_crystals_is_partly_missing():
    generator = CrystalGenerator(seed=6, partial=0.4)
    shares = []
    for i in range(200):
        crystal = generator.crystal(i)
        kinds = set(zip(crystal.elements, crystal.occupancies.tolist(), strict=True))
        assert len(kinds) == len(set(crystal.elements))
        partly = [share for _, share in kinds if share < 1]
        assert len(partly) <= 1
        assert all(share >= 0.3 for share in partly)
        shares.append(len(partly))
    assert np.mean(shares) == pytest.approx(0.4, abs=0.12)
    whole = CrystalGenerator(seed=6, partial=0.0)
    assert all(whole.crystal(i).occupancies.min() == 1 for i in range(30))


def test_volumes_of_random_crystals_are_those_of_their_atoms():
    generator, volumes = CrystalGenerator(seed=8), atom_volumes()
    found = []
    for i in range(600):
        crystal = generator.crystal(i)
        z = [gemmi.Element(symbol).atomic_number for symbol in crystal.elements]
        found.append(np.log(crystal.volume / volumes[z].sum()))
    assert np.mean(found) == pytest.approx(0.0, abs=0.03)
    assert np.std(found) == pytest.approx(VOLUME_SPREAD, abs=0.03)


def test_volumes_fitted_to_real_cells_add_up(shared_data):
    pool = read_prototypes(shared_data / "structures.parquet", ("choose",))
    fitted, shipped = fit_atom_volumes(pool), atom_volumes()
    assert fitted.shape == shipped.shape == sphere_volumes().shape
    # Oxygen and sulphur are in many structures of either part.
    np.testing.assert_allclose(fitted[[8, 16]], shipped[[8, 16]], rtol=0.25)
    groups = np.repeat(np.arange(231), np.diff(pool.first))
    misfit = {"spheres": [], "shipped": []}
    for t, group in enumerate(groups):
        sites = slice(pool.site_first[t], pool.site_first[t + 1])
        z = pool.slot_z[pool.slot_first[t] + pool.site_slot[sites]]
        atoms = TABLES.multiplicity[group, pool.site_position[sites]]
        atoms = atoms * pool.site_occupancy[sites]
        for name, table in (("spheres", sphere_volumes()), ("shipped", shipped)):
            expected = (atoms * table[z]).sum()
            misfit[name].append(np.log(cell_volume(pool.cell[t]) / expected))
    assert np.std(misfit["shipped"]) < 0.2
    assert np.std(misfit["shipped"]) < 0.6 * np.std(misfit["spheres"])
