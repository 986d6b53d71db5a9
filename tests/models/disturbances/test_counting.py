"""Counting noise against Poisson's moments, and what archives make of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringwatch.models.disturbances.counting import CUT, FOLDED, RAW, Counting, count

N = 4000
EDGES = np.linspace(1.0, 5.0, N + 1)
BIN = 4.0 / N


def counted(level, *, seed=0, background=0.0, **changes):
    values = {
        "q_low": 1.0 + 0.01 * BIN,
        "q_high": 5.0,
        "step": BIN,
        "counts": 100.0,
        "ceiling": math.inf,
        "treatment": RAW,
        "base": 0.0,
    } | changes
    y = np.full((1, N), level + background, np.float32)
    ground = np.full((1, N), background, np.float32)
    how = Counting(**{name: np.array([value]) for name, value in values.items()})
    count(np.random.default_rng(seed), y, ground, EDGES, how)
    return y[0]


@pytest.mark.parametrize("counts", [0.5, 4.0, 100.0, 1e4])
def test_counts_are_poisson_s(counts):
    y = counted(1.0, counts=counts) * counts
    assert y.mean() == pytest.approx(counts, abs=4 * math.sqrt(counts / N))
    assert y.var() == pytest.approx(counts, rel=0.1)
    if counts < 10:
        np.testing.assert_allclose(y, np.round(y), atol=1e-4)


def test_points_in_one_bin_are_averaged():
    assert counted(1.0, step=BIN / 8).var() == pytest.approx(0.01 / 8, rel=0.1)


def test_bins_between_points_are_interpolated():
    y = counted(1.0, step=4 * BIN)
    points = y[::4]
    assert points.var() == pytest.approx(0.01, rel=0.15)
    np.testing.assert_allclose(y[2:-4:4], (points[:-1] + points[1:]) / 2, atol=1e-6)


def test_bins_outside_the_range_are_left_alone():
    y = counted(1.0, q_low=2.0, q_high=3.0)
    outside = (EDGES[1:] < 2.0) | (EDGES[:-1] > 3.001)
    assert (y[outside] == 1.0).all()
    assert y[~outside].std() > 0.05


def test_a_folded_floor_is_half_normal():
    """Mean sqrt(2/pi) and variance 1 - 2/pi in units of the noise."""
    y = counted(0.0, background=0.25, treatment=FOLDED)
    sigma = math.sqrt(0.25 / 100)
    assert y.mean() == pytest.approx(math.sqrt(2 / math.pi) * sigma, rel=0.05)
    assert y.var() == pytest.approx((1 - 2 / math.pi) * sigma**2, rel=0.1)
    assert y.min() >= 0


def test_a_cut_floor_has_zeros_for_half_of_its_points():
    y = counted(0.0, background=0.25, treatment=CUT)
    assert (y == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert y.mean() == pytest.approx(0.05 / math.sqrt(2 * math.pi), rel=0.1)


def test_a_base_below_the_background_lifts_the_floor():
    y = counted(0.0, background=0.25, treatment=FOLDED, base=5.0)
    assert y.mean() == pytest.approx(5 * math.sqrt(0.25 / 100), rel=0.03)


def test_lines_far_above_the_noise_are_not_touched_by_folding():
    y = counted(1.0, background=0.25, treatment=FOLDED, counts=1e4)
    assert y.mean() == pytest.approx(1.0, abs=0.001)
    assert y.var() == pytest.approx(1.25e-4, rel=0.1)


def test_skewed_deviates_keep_poisson_s_moments():
    """Drawn point by point above 3 counts, by a normal deviate and its square."""
    counts = 5.0
    y = counted(0.0, background=1.0, treatment=FOLDED, counts=counts, base=50.0)
    values = y * counts - 50.0 * math.sqrt(counts)
    assert values.mean() == pytest.approx(0.0, abs=0.15)
    assert values.var() == pytest.approx(counts, rel=0.1)
    skewness = (values**3).mean() / values.std() ** 3
    assert skewness == pytest.approx(1 / math.sqrt(counts), abs=0.2)


def test_a_saturated_detector_has_a_ceiling():
    y = counted(1.0, ceiling=0.9)
    assert y.max() == np.float32(0.9)
    assert (y < 0.9).mean() == pytest.approx(0.16, abs=0.03)


def test_nothing_counts_nothing():
    assert (counted(0.0) == 0).all()
