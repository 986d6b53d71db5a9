"""What the network is shown: known lines at known places, whatever the sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringwatch.models.inputs import (
    InputGrid,
    PatternError,
    channels,
    coverage_of,
    network_input,
    resample,
)

GRID = InputGrid()


def pattern(q, lines=((2.0, 1.0), (3.5, 0.25)), fwhm=0.02):
    y = np.zeros_like(q)
    for centre, height in lines:
        y += height * np.exp(-4 * math.log(2) * ((q - centre) / fwhm) ** 2)
    return y


def test_a_line_comes_out_at_its_q_with_its_height():
    q = np.arange(0.5, 5.0, 0.002)
    root, logarithm, covered = network_input(q, 40 * pattern(q))
    highest = int(root.argmax())
    assert abs(GRID.q[highest] - 2.0) <= GRID.bin_width[highest]
    assert root[highest] == 1.0
    near = np.abs(GRID.q - 3.5) < 0.03
    assert root[near].max() == pytest.approx(0.5, abs=0.01)
    assert logarithm[near].max() == pytest.approx(
        math.log1p(2000 * root[near].max() ** 2) / 7.6, abs=1e-5
    )
    np.testing.assert_array_equal(covered, (GRID.q >= 0.5) & (GRID.q <= q[-1]))
    assert not root[covered == 0].any()


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e6, 1e30])
def test_intensity_has_no_unit(factor):
    q = np.arange(0.5, 5.0, 0.002)
    x = network_input(q, pattern(q))
    np.testing.assert_allclose(network_input(q, factor * pattern(q)), x, atol=2e-5)


def test_order_and_points_that_were_not_measured_do_not_matter(rng):
    q = np.arange(0.5, 5.0, 0.002)
    y = pattern(q)
    x = network_input(q, y)
    np.testing.assert_array_equal(network_input(q[::-1], y[::-1]), x)
    shuffled = rng.permutation(len(q))
    np.testing.assert_array_equal(network_input(q[shuffled], y[shuffled]), x)
    more_q = np.concatenate([q, [np.nan, 1.0, -1.0, 3.0]])
    more_y = np.concatenate([y, [5.0, np.nan, 7.0, 9.0]])
    sigma = np.ones(len(more_q))
    sigma[-1] = np.nan
    np.testing.assert_array_equal(network_input(more_q, more_y, sigma), x)


def test_sampling_hardly_matters():
    fine, coarse = np.arange(0.5, 5.0, 0.0005), np.arange(0.5, 5.0, 0.005)
    a = network_input(fine, pattern(fine))
    b = network_input(coarse, pattern(coarse))
    inside = slice(*np.searchsorted(GRID.q, [0.6, 4.9]))
    assert np.abs(a[0] - b[0])[inside].max() < 0.08


def test_background_goes_and_lines_stay():
    q = np.arange(0.5, 5.0, 0.002)
    bare = network_input(q, pattern(q))
    slow = 1.0 + np.exp(-q) + 0.1 * q  # as high as the highest line
    lit = network_input(q, pattern(q) + slow)
    assert np.abs(bare[0] - lit[0])[bare[0] > 0.45].max() < 0.1
    between = (GRID.q > 2.5) & (GRID.q < 3.0)
    assert lit[0][between].max() ** 2 < 0.03


def test_resampling_averages_or_interpolates():
    grid = InputGrid(n_bins=64)
    edges = np.exp(
        math.log(grid.q_min) + grid.spacing * (np.arange(65) - 0.5)
    )  # between the bins
    q = np.linspace(0.4, 5.0, 5000)
    y = np.sin(q)
    out = np.empty(64, np.float32)
    resample(q, y, math.log(grid.q_min), grid.spacing, out)
    count = np.histogram(q, edges)[0]
    mean = np.histogram(q, edges, weights=y)[0] / np.maximum(count, 1)
    np.testing.assert_allclose(out[count > 0], mean[count > 0], rtol=1e-5)
    sparse = np.array([0.3, 6.0])
    resample(sparse, 2 * sparse, math.log(grid.q_min), grid.spacing, out)
    np.testing.assert_allclose(out, 2 * grid.q, rtol=1e-5)


def test_a_gap_is_not_covered_but_sparse_points_are():
    q = np.concatenate([np.arange(0.5, 2.0, 0.002), np.arange(2.3, 5.0, 0.002)])
    covered = coverage_of(q, GRID)
    inside = (GRID.q > 2.01) & (GRID.q < 2.29)
    assert not covered[inside].any()
    assert covered[(GRID.q > 0.51) & (GRID.q < 1.99)].all()
    even = np.arange(0.5, 5.0, 0.09)
    assert coverage_of(even, GRID)[(GRID.q > 0.6) & (GRID.q < 4.9)].all()


def test_a_constant_pattern_gives_nothing():
    q = np.arange(0.5, 5.0, 0.002)
    assert not network_input(q, np.full(len(q), 7.0)).any()


def test_channels_stay_in_bounds(rng):
    y = rng.normal(size=(4, GRID.n_bins)) * 1e3
    covered = np.ones_like(y)
    covered[:, :100] = 0
    x = channels(y, covered, GRID)
    assert x.shape == (4, 3, GRID.n_bins)
    assert x.min() >= 0
    assert x.max() <= 1.001
    assert not x[:, :, :100].any()


@pytest.mark.parametrize(
    ("q", "y", "words"),
    [
        ([], [], "0 of 0 points"),
        (np.arange(1, 3, 0.01), np.full(200, np.nan), "0 of 200 points"),
        (np.arange(10, 30, 0.01), np.ones(2000), "outside the network's"),
        (np.arange(5), np.ones(4), "one shape"),
        (np.ones((2, 9)), np.ones((2, 9)), "one shape"),
    ],
)
def test_nothing_to_say_is_an_error(q, y, words):
    with pytest.raises(PatternError, match=words):
        network_input(np.asarray(q, float), np.asarray(y, float))


def test_sigma_of_another_shape_is_an_error():
    q = np.arange(0.5, 5.0, 0.01)
    with pytest.raises(PatternError, match="make them equal"):
        network_input(q, q, np.ones(3))


@pytest.mark.parametrize("grid", [(4, 0.3, 6.0), (2048, 0.0, 6.0), (2048, 6.0, 0.3)])
def test_an_impossible_grid_is_refused(grid):
    with pytest.raises(ValueError, match="is no grid"):
        InputGrid(*grid)


@pytest.fixture
def rng():
    return np.random.default_rng(3)
