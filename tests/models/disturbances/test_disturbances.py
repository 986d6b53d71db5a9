"""Disturbances: each on its scale, and all of them repeatable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.models.crystals import CrystalGenerator, Peaks
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.inputs import InputGrid

QUIET = DisturbanceSettings(
    quiet_share=0.0,
    lab_share=1.0,
    archive_share=0.0,
    lab_width=(0.006, 0.006),
    strain=0.0,
    clean_strain=0.0,
    doublet_share=0.0,
    divergence=(0.0, 0.0),
    texture_share=0.0,
    grains=(np.inf, np.inf),
    zero_shift=0.0,
    displacement=0.0,
    scale=0.0,
    impurity_share=0.0,
    second_phase_share=0.0,
    background_share=0.0,
    pedestal=(1e-9, 1e-9),
    lab_counts=(1e12, 1e12),
    overflow_share=0.0,
    saturation_share=0.0,
    loss_share=0.0,
    gap_share=0.0,
)
GRID = InputGrid()


def one_line(q, n=1):
    return Peaks(
        space_group=np.full(n, 225),
        start=np.arange(n + 1),
        q=np.full(n, q, np.float32),
        strength=np.ones(n, np.float32),
    )


@pytest.fixture(scope="module")
def peaks():
    return CrystalGenerator(seed=5).peaks(0, 12)


def test_the_same_seed_and_number_give_the_same_patterns(peaks):
    def make(seed, first):
        return Disturbances(DisturbanceSettings(), seed=seed).patterns(
            peaks, first, 0.5
        )

    x = make(1, 0)
    assert x.shape == (12, 3, 2048)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    np.testing.assert_array_equal(make(1, 0), x)
    assert (make(1, 12) != x).any()
    assert (make(2, 0) != x).any()


def test_intensity_lies_only_where_coverage_is(peaks):
    x = Disturbances(DisturbanceSettings(), seed=3).patterns(peaks, 0, 0.0)
    outside = x[:, 2] == 0
    assert outside.any()
    assert not x[:, 0][outside].any()
    assert not x[:, 1][outside].any()
    np.testing.assert_allclose(x[:, 0].max(axis=1), 1.0, rtol=1e-6)


def test_without_disturbance_a_line_stays_at_its_q():
    x = Disturbances(QUIET, seed=1).patterns(one_line(2.5), 0, 0.0)[0]
    assert GRID.q[x[0].argmax()] == pytest.approx(2.5, abs=0.004)
    assert (x[0] > 0.5).sum() < 12


def test_both_k_alpha_lines_are_there_two_to_one():
    settings = replace(QUIET, doublet_share=1.0, lab_width=(0.002, 0.002))
    # At 3.6 1/A the doublet is 0.009 wide: beyond the narrowest line of 1.3 bins.
    x = Disturbances(settings, seed=1).patterns(one_line(3.6), 0, 0.0)[0]
    y = x[0] ** 2
    near = np.abs(GRID.q - 3.6) < 0.05
    maxima = [
        i
        for i in np.flatnonzero(near)
        if y[i] > 0.1 and y[i] >= y[i - 1] and y[i] > y[i + 1]
    ]
    alpha1, alpha2 = 3.6 * (1 - 0.00083), 3.6 * (1 + 0.00166)
    near1, near2 = (
        y[np.abs(GRID.q - centre) < 0.5 * (alpha2 - alpha1)].sum()
        for centre in (alpha1, alpha2)
    )
    assert near1 / near2 == pytest.approx(2.0, rel=0.3)
    assert GRID.q[maxima[0]] == pytest.approx(alpha1, abs=0.004)


def test_noise_falls_with_the_root_of_counts():
    def floor(counts):
        settings = replace(QUIET, lab_counts=(counts, counts), pedestal=(0.05, 0.05))
        x = Disturbances(settings, seed=7).patterns(one_line(2.5, 8), 0, 0.0)
        empty = (GRID.q > 1.0) & (GRID.q < 2.3)
        return float((x[:, 0, empty] ** 2).mean())

    assert floor(1_000.0) / floor(100_000.0) == pytest.approx(10, rel=0.25)


def test_zero_shift_and_scale_have_their_size():
    settings = replace(QUIET, zero_shift=0.01, lab_width=(0.004, 0.004))
    x = Disturbances(settings, seed=2).patterns(one_line(1.0, 200), 0, 0.0)
    found = GRID.q[x[:, 0].argmax(axis=1)]
    cos_theta = np.sqrt(1 - (1.5418 / (4 * np.pi)) ** 2)
    assert found.std() == pytest.approx(0.01 * cos_theta, rel=0.2)
    assert abs(found.mean() - 1.0) < 0.003


def test_clean_patterns_hold_no_noise():
    x = Disturbances(DisturbanceSettings(), seed=2).patterns(one_line(2.5, 4), 0, 1.0)
    far = np.abs(GRID.q - 2.5) > 1.0
    assert x[:, 0, far].max() < 0.05


def second_highest(x):
    """Height of the line at 3.5 relative to that at 2.5 1/Angstrom: (B,)."""
    y = x[:, 0] ** 2
    return y[:, np.abs(GRID.q - 3.5) < 0.03].max(axis=1)


def two_lines(n):
    return Peaks(
        space_group=np.full(n, 225),
        start=2 * np.arange(n + 1),
        q=np.tile(np.array([2.5, 3.5], np.float32), n),
        strength=np.tile(np.array([1.0, 0.8], np.float32), n),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"loss_share": 1.0, "loss": 3.0},
        {"lab_share": 0.0, "saturation_share": 1.0, "width": (0.006, 0.006)},
    ],
)
def test_losses_and_saturation_level_lines(change):
    """Either raises the weaker line relative to the stronger, and never lowers it."""
    settings = replace(QUIET, flat_share=0.0, wavelength=(0.3, 0.3), **change)
    none = replace(settings, loss_share=0.0, saturation_share=0.0)
    bare = Disturbances(none, seed=4).patterns(two_lines(40), 0, 0.0)
    x = Disturbances(settings, seed=4).patterns(two_lines(40), 0, 0.0)
    gain = second_highest(x) - second_highest(bare)
    assert gain.min() > -0.01
    assert gain.max() > 0.1


def test_a_quiet_pattern_has_lines_and_nothing_else():
    settings = DisturbanceSettings(quiet_share=1.0, archive_share=0.0, zero_shift=0.0)
    x = Disturbances(settings, seed=2).patterns(one_line(2.5, 20), 0, 0.0)
    far = np.abs(GRID.q - 2.5) > 1.0
    assert x[:, 0, far].max() < 0.06
    loud = replace(settings, quiet_share=0.0)
    y = Disturbances(loud, seed=2).patterns(one_line(2.5, 20), 0, 0.0)
    assert y[:, 0, far].max() > 0.2


def test_a_second_phase_has_the_lines_of_another_crystal():
    settings = replace(QUIET, second_phase_share=1.0, second_phase_height=(0.04, 0.04))
    peaks = Peaks(
        space_group=np.full(2, 225),
        start=np.arange(3),
        q=np.array([2.0, 3.0], np.float32),
        strength=np.ones(2, np.float32),
    )
    x = Disturbances(settings, seed=1).patterns(peaks, 0, 0.0)
    for pattern, foreign in zip(x, (3.0, 2.0), strict=True):
        near = np.abs(GRID.q - foreign) < 0.02
        assert pattern[0, near].max() ** 2 == pytest.approx(0.04, rel=0.1)


def test_foreign_lines_have_their_height():
    settings = replace(QUIET, impurity_share=1.0, impurity_height=(0.09, 0.09))
    x = Disturbances(settings, seed=1).patterns(one_line(2.5, 30), 0, 0.0)
    far = np.abs(GRID.q - 2.5) > 0.3
    highest = x[:, 0, far].max(axis=1) ** 2
    # Lines may fall outside the range, on ours, or on one another.
    assert np.median(highest) == pytest.approx(0.09, rel=0.15)


@pytest.mark.parametrize(
    "change",
    [{"width": (0.05, 0.005)}, {"lab_share": 1.5}, {"texture": -1.0}],
)
def test_impossible_ranges_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        DisturbanceSettings(**change)
