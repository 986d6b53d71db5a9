"""Conditions: in the shares and between the bounds that the settings state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.models.disturbances.conditions import (
    ARCHIVE,
    BEAMLINE,
    CLEAN,
    LAB,
    draw_conditions,
    log_uniform,
)
from ringwatch.models.disturbances.counting import RAW
from ringwatch.models.disturbances.settings import DisturbanceSettings

N = 20_000
SETTINGS = DisturbanceSettings(lab_share=0.6, archive_share=0.5)


@pytest.fixture(scope="module")
def how():
    return draw_conditions(np.random.default_rng(0), SETTINGS, N, 0.2)


def test_instruments_come_in_their_shares(how):
    shares = np.bincount(how.kind, minlength=4) / N
    np.testing.assert_allclose(
        shares[[CLEAN, ARCHIVE, LAB, BEAMLINE]], [0.2, 0.24, 0.24, 0.32], atol=0.015
    )


@pytest.mark.parametrize(
    ("kind", "width", "counts", "step"),
    [
        (ARCHIVE, "archive_width", "archive_counts", "archive_step"),
        (LAB, "lab_width", "lab_counts", "lab_step"),
        (BEAMLINE, "width", "beamline_counts", "beamline_step"),
    ],
)
def test_numbers_lie_between_their_bounds(how, kind, width, counts, step):
    chosen = (how.kind == kind) & ~how.quiet
    for values, name in (
        (how.alignment.width, width),
        (how.counts, counts),
        (how.step, step),
    ):
        low, high = getattr(SETTINGS, name)
        logs = np.log(values[chosen] / low) / np.log(high / low)
        assert logs.min() >= 0
        assert logs.max() <= 1
        assert logs.mean() == pytest.approx(0.5, abs=0.03)  # log-uniform


def test_what_is_clean_is_clean(how):
    clean = how.kind == CLEAN
    assert how.quiet[clean].all()
    for name in ("zero_shift", "displacement", "scale", "divergence", "doublet"):
        assert not getattr(how.alignment, name)[clean].any()
    assert (how.march[clean] == 1).all()
    assert np.isinf(how.grains[clean]).all()
    assert (how.treatment[clean] == RAW).all()
    assert not how.loss[clean].any()


def test_optics_of_tubes_stay_with_tubes(how):
    beamline = how.kind == BEAMLINE
    for name in ("displacement", "divergence", "doublet", "overflow"):
        assert not getattr(how.alignment, name)[beamline].any()
    assert (how.alignment.depth[~beamline] < 0).all()
    assert np.isinf(how.ceiling[~beamline]).all()
    assert len(np.unique(how.alignment.wavelength[~beamline])) == 1


def test_ranges_hold_something(how):
    assert (how.q_high - how.q_low > 1.8).all()
    archive = how.kind == ARCHIVE
    whole = (how.q_low == 0.356) & (how.q_high == 5.76)
    assert whole[archive].mean() == pytest.approx(0.7, abs=0.03)


def test_a_setting_does_not_change_what_is_drawn_beside_it(how):
    other = draw_conditions(
        np.random.default_rng(0), replace(SETTINGS, texture_share=0.0), N, 0.2
    )
    np.testing.assert_array_equal(other.kind, how.kind)
    np.testing.assert_array_equal(other.counts, how.counts)
    np.testing.assert_array_equal(other.alignment.width, how.alignment.width)


@pytest.mark.parametrize("value", [0.0, 3.0, np.inf])
def test_equal_bounds_give_themselves(value):
    drawn = log_uniform(np.random.default_rng(0), (value, value), 5)
    assert (drawn == value).all()
