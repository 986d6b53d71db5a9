"""Random crystals: numbers, lines, labels, and sameness."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ringwatch.models.crystals import CrystalGenerator, natural_prior, training_prior
from ringwatch.models.crystals.philox import begin, choose, fill_block, normal, uniform
from ringwatch.models.crystals.wyckoff import wyckoff_tables
from ringwatch.models.diffraction import reflections
from ringwatch.models.symmetry import ENANTIOMORPHIC_PAIRS, POWDER_CLASSES

from .spglib_groups import spglib_number

TABLES = wyckoff_tables()


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


def test_spglib_finds_the_labelled_group(generator):
    partner = {a: b for pair in ENANTIOMORPHIC_PAIRS for a, b in (pair, pair[::-1])}
    for i in range(400):
        crystal = generator.crystal(i)
        group = crystal.space_group
        assert spglib_number(crystal) in (group, partner.get(group)), i


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
