"""Random crystals: numbers, operations, absences, labels, and sameness."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import gemmi
import numpy as np
import pytest
import spglib

from ringwatch.models.crystals import CrystalGenerator, natural_prior, training_prior
from ringwatch.models.crystals.philox import begin, choose, fill_block, normal, uniform
from ringwatch.models.crystals.powder_lines import powder_lines
from ringwatch.models.crystals.priors import build_priors
from ringwatch.models.crystals.structure_factors import (
    box_size,
    enumerate_reflections,
    squared_structure_factors,
)
from ringwatch.models.crystals.wyckoff import LAUE_CLASSES, wyckoff_tables
from ringwatch.models.diffraction import lorentz_polarization, reflections
from ringwatch.models.diffraction.form_factors import dispersion_corrections
from ringwatch.models.reflection_conditions import index_box, systematic_absences
from ringwatch.models.symmetry import ENANTIOMORPHIC_PAIRS, POWDER_CLASSES

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


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # known answers of the Random123 library, philox4x32 with 10 rounds
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers(counter, key, expected):
    state = np.array([*counter, *key, 0, 0, 0, 0, 0], np.uint64)
    fill_block(state)
    assert " ".join(f"{int(word):08x}" for word in state[6:10]) == expected


def test_random_numbers_have_their_distributions():
    state = begin(7, 2**40)
    even = np.array([uniform(state) for _ in range(20_000)])
    assert even.min() > 0
    assert even.max() < 1
    histogram = np.histogram(even, 20, (0, 1))[0]
    assert ((histogram - 1000) ** 2 / 1000).sum() < 43.8  # chi^2, 19 degrees, 0.1 %
    bell = np.array([normal(state) for _ in range(20_000)])
    assert abs(bell.mean()) < 0.03
    assert abs(bell.std() - 1) < 0.03
    steps = np.cumsum([5.0, 1.0, 0.0, 3.0])
    drawn = [choose(state, steps, 1, 4) for _ in range(4000)]
    share = np.bincount(drawn, minlength=4) / 4000
    np.testing.assert_allclose(share, [0, 0.25, 0, 0.75], atol=0.03)


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


@pytest.fixture(scope="module")
def generator():
    return CrystalGenerator(seed=11)


def test_peaks_are_those_of_the_crystal(generator):
    peaks = generator.peaks(0, 40)
    for i in range(40):
        crystal = generator.crystal(i)
        assert crystal.space_group == peaks.space_group[i]
        lines = reflections(crystal, q_min=0.29, q_max=6.1)
        rows = slice(peaks.start[i], peaks.start[i + 1])
        middle = (lines.q[1:] + lines.q[:-1]) / 2
        line = np.searchsorted(middle, peaks.q[rows])
        merged = np.bincount(line, peaks.strength[rows], len(lines.q))
        expected = lines.f_squared * lines.multiplicity
        strong = expected > 1e-3 * expected.max()
        np.testing.assert_allclose(merged[strong], expected[strong], rtol=1e-4)
        seen = peaks.strength[rows] > 1e-6 * expected.max()
        np.testing.assert_allclose(lines.q[line][seen], peaks.q[rows][seen], rtol=1e-6)
        assert merged.sum() == pytest.approx(peaks.strength[rows].sum())


def test_a_crystal_depends_on_its_number_alone(generator):
    whole = generator.peaks(0, 300)
    with ThreadPoolExecutor(3) as pool:
        parts = list(
            pool.map(lambda first: generator.peaks(first, 60), range(0, 300, 60))
        )
    for name in ("space_group", "q", "strength"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    seven = CrystalGenerator(seed=11).peaks(100, 7)
    rows = slice(whole.start[100], whole.start[107])
    np.testing.assert_array_equal(seven.strength, whole.strength[rows])
    np.testing.assert_array_equal(seven.start, whole.start[100:108] - whole.start[100])


def test_no_crystal_comes_twice(generator):
    def prints(peaks):
        return {
            hashlib.sha256(peaks.strength[low:high].tobytes()).digest()
            for low, high in zip(peaks.start[:-1], peaks.start[1:], strict=True)
        }

    first, far = prints(generator.peaks(0, 500)), prints(generator.peaks(2**40, 500))
    other = prints(CrystalGenerator(seed=12).peaks(0, 500))
    assert len(first) == len(far) == len(other) == 500
    assert len(first | far | other) == 1500


def test_every_crystal_has_lines_in_range():
    peaks = CrystalGenerator(seed=1, q_min=0.5, q_max=4.0).peaks(0, 5000)
    assert np.diff(peaks.start).min() > 0
    assert peaks.q.min() >= np.float32(0.5)
    assert peaks.q.max() <= np.float32(4.0)
    strongest = np.maximum.reduceat(peaks.strength, peaks.start[:-1])
    assert (strongest > 0).all()
    assert np.isfinite(peaks.strength).all()


def test_groups_are_drawn_as_the_prior_says():
    generator = CrystalGenerator(seed=2, class_balance=1.0)
    np.testing.assert_allclose(generator.class_prior, 1 / 97)
    drawn = CrystalGenerator(seed=2, q_max=1.0).peaks(0, 20_000).space_group
    prior = CrystalGenerator(seed=2).space_group_prior
    count = np.bincount(drawn, minlength=231)
    sigma = np.sqrt(20_000 * prior + 1)
    assert abs(count - 20_000 * prior).max() < 5 * sigma.max()
    assert (abs(count - 20_000 * prior) < 5 * sigma).all()


def test_priors_are_probabilities():
    for prior in (natural_prior(), training_prior(0.5), training_prior(0.0)):
        assert prior.shape == (231,)
        assert prior[0] == 0
        assert (prior[1:] > 0).all()
        assert prior.sum() == pytest.approx(1)
    np.testing.assert_allclose(training_prior(0.0), natural_prior())
    # Two common groups of the Materials Project outweigh two that are almost unseen.
    assert natural_prior()[[62, 225]].min() > 50 * natural_prior()[[168, 207]].max()


def test_a_choice_of_groups_is_kept_to():
    generator = CrystalGenerator(seed=3, space_groups=[225, 62])
    assert set(generator.peaks(0, 200).space_group.tolist()) == {62, 225}
    assert np.flatnonzero(generator.space_group_prior).tolist() == [62, 225]
    numbers = [POWDER_CLASSES[i].number for i in np.flatnonzero(generator.class_prior)]
    assert numbers == [33, 196]


def axes(crystal):
    """Cell axes as rows, a along x."""
    ca, cb, cg = (math.cos(math.radians(x)) for x in crystal.cell[3:])
    sg = math.sin(math.radians(crystal.gamma))
    z = (ca - cb * cg) / sg
    directions = [[1, 0, 0], [cg, sg, 0], [cb, z, math.sqrt(1 - cb**2 - z**2)]]
    return np.array(directions) * np.array(crystal.cell[:3])[:, None]


def spglib_number(crystal):
    """Space group that spglib finds; elements of two occupancies are two species."""
    pairs = list(zip(crystal.elements, crystal.occupancies.tolist(), strict=True))
    species = sorted(set(pairs))
    numbers = [species.index(pair) + 1 for pair in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spglib.get_symmetry_dataset(
            (axes(crystal), crystal.positions, numbers), symprec=1e-4
        ).number


def test_spglib_finds_the_labelled_group(generator):
    partner = {a: b for pair in ENANTIOMORPHIC_PAIRS for a, b in (pair, pair[::-1])}
    for i in range(400):
        crystal = generator.crystal(i)
        group = crystal.space_group
        assert spglib_number(crystal) in (group, partner.get(group)), i


def pymatgen_factors(s2):
    """pymatgen's form factors, (99, n); 0 for elements that it lacks."""
    from pymatgen.analysis.diffraction import xrd  # noqa: PLC0415

    table = np.zeros((99, len(s2)))
    for symbol, terms in xrd.ATOMIC_SCATTERING_PARAMS.items():
        fit, z = np.array(terms), gemmi.Element(symbol).atomic_number
        if 0 < z < 99:
            damped = fit[:, 0] * np.exp(-np.outer(s2, fit[:, 1]))
            table[z] = z - 41.78214 * s2 * damped.sum(axis=1)
    return table


def test_intensities_agree_with_pymatgen():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.diffraction.xrd import XRDCalculator  # noqa: PLC0415
        from pymatgen.core import Structure  # noqa: PLC0415
    generator = CrystalGenerator(seed=11, partial=0.3)
    priors = build_priors(
        TABLES, generator.space_group_prior, joint=0.75, contact_draws=6, partial=0.3
    )
    step = (4.5 / (4 * np.pi)) ** 2 / 16_384
    factors = pymatgen_factors(step * np.arange(16_386)).astype(np.float32)
    s_range = (0.4 / (2 * np.pi), 4.4 / (2 * np.pi))
    groups, partly, compared = set(), 0, 0
    for i in range(40):
        drawn = generator.crystal(i)
        z = [gemmi.Element(symbol).atomic_number for symbol in drawn.elements]
        if len(z) > 50 or not factors[z, 0].all():
            continue  # pymatgen takes seconds, or lacks the element
        _, _, q, strength = powder_lines(
            11, i, 1, TABLES, priors, s_range, factors, step, np.zeros(99)
        )
        shares = drawn.occupancies.tolist()
        species = [{e: o} for e, o in zip(drawn.elements, shares, strict=True)]
        partly += min(shares) < 1
        calculator = XRDCalculator(
            wavelength=1.0,
            symprec=0,
            debye_waller_factors=dict(zip(drawn.elements, drawn.b_iso, strict=True)),
        )
        theirs = calculator.get_pattern(
            Structure(axes(drawn), species, drawn.positions),
            scaled=False,
            two_theta_range=(4, 40),
        )
        at = 4 * np.pi * np.sin(np.radians(theirs.x / 2))
        expected = theirs.y / lorentz_polarization(at, 1.0) / 2
        # pymatgen merges lines within 1e-5 degrees.
        near = abs(q[:, None] - at) < 2e-6 * at
        merged = np.where(near, strength[:, None], 0).sum(axis=0)
        strong = theirs.y > 0.01 * theirs.y.max()
        np.testing.assert_allclose(merged[strong], expected[strong], rtol=1e-4)
        groups.add(drawn.space_group)
        compared += int(strong.sum())
    assert len(groups) >= 8
    assert partly >= 1
    assert compared > 300


def test_dispersion_is_that_of_each_atom():
    # At 1.743 A, just short of iron's edge, f' is -5 electrons or so.
    generator = CrystalGenerator(seed=3, wavelength=1.743)
    peaks = generator.peaks(0, 25)
    for i in range(25):
        crystal = generator.crystal(i)
        lines = reflections(crystal, q_min=0.29, q_max=6.1, wavelength=1.743)
        rows = slice(peaks.start[i], peaks.start[i + 1])
        middle = (lines.q[1:] + lines.q[:-1]) / 2
        line = np.searchsorted(middle, peaks.q[rows])
        merged = np.bincount(line, peaks.strength[rows], len(lines.q))
        expected = lines.f_squared * lines.multiplicity
        strong = expected > 1e-2 * expected.max()
        np.testing.assert_allclose(merged[strong], expected[strong], rtol=1e-4)
    plain = CrystalGenerator(seed=3).peaks(0, 25)
    np.testing.assert_array_equal(plain.q, peaks.q)
    strong = plain.strength > plain.strength.max() * 1e-4
    assert abs(peaks.strength[strong] / plain.strength[strong] - 1).max() > 0.05
    f_prime, f_double = dispersion_corrections(1.5418)
    assert f_prime[26] == pytest.approx(-1.13, abs=0.02)  # Int. Tables C, 4.2.6.8
    assert f_double[26] == pytest.approx(3.20, abs=0.02)
    with pytest.raises(ValueError, match=r"expected 0\.1 to 4"):
        dispersion_corrections(15.0)


def test_live_imports_need_neither_torch_nor_pyxtal():
    code = (
        "import sys, ringwatch.models.crystals, ringwatch.models.diffraction;"
        "print({'torch', 'pyxtal', 'pymatgen', 'spglib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"


def test_cells_obey_their_group_and_stay_in_bounds(generator):
    for i in range(300):
        crystal = generator.crystal(i)
        a, b, c, alpha, beta, gamma = crystal.cell
        group = crystal.space_group
        if group > 2:
            assert alpha == 90
            assert gamma == (120 if 143 <= group <= 194 else 90)
        if group > 15:
            assert beta == 90
        if group > 74:
            assert a == b
        if group > 194:
            assert a == c
        assert len(crystal.elements) <= 200
        assert crystal.volume < 7000.1
        assert len(set(crystal.elements)) <= 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 0, "q_min": 2.0, "q_max": 1.0},
        {"seed": 0, "joint": 1.5},
        {"seed": 0, "partial": -0.5},
        {"seed": 0, "prototype_share": 1.1},
        {"seed": 0, "contact_draws": 0},
        {"seed": 0, "wavelength": 40.0},
        {"seed": 0, "class_balance": -0.1},
        {"seed": 0, "space_groups": []},
        {"seed": 0, "space_groups": [231]},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected|name at least one"):
        CrystalGenerator(**wrong)


def test_numbers_out_of_range_are_refused(generator):
    with pytest.raises(ValueError, match="expected 0"):
        generator.peaks(-1, 5)
    with pytest.raises(ValueError, match="expected 0"):
        generator.crystal(2**63)
    assert len(generator.peaks(5, 0).start) == 1
