"""Profiles of lines: area, place, width, and grids."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringwatch.models.diffraction import (
    Grid,
    Reflections,
    line_areas,
    lorentz_polarization,
    render,
)


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_line_has_its_area_place_and_width(logarithmic, eta):
    grid = Grid(n_bins=20_000, q_min=0.5, q_max=6.0, logarithmic=logarithmic)
    one = np.array([3.0])
    y = render(grid, [0, 1], one, 7.0 * np.ones(1), 0.02 * np.ones(1), [eta])[0]
    # A Lorentzian cut at 1e-4 of its height has lost 2 / (100 pi) of its area.
    assert np.trapezoid(y, grid.q) == pytest.approx(7.0, rel=8e-3 if eta else 1e-4)
    top = y.argmax()
    assert grid.q[top] == pytest.approx(3.0, abs=2e-4)
    above = grid.q[y > y[top] / 2]
    assert above[-1] - above[0] == pytest.approx(0.02, abs=1e-3)
    shape = 2 / np.pi if eta else math.sqrt(4 * math.log(2) / math.pi)
    assert y[top] == pytest.approx(7.0 * shape / 0.02, rel=2e-3)


def test_patterns_are_sums_of_their_own_lines():
    rng = np.random.default_rng(3)
    grid = Grid(n_bins=3000, q_min=0.5, q_max=6.0, logarithmic=False)
    q, area = rng.uniform(0.6, 5.9, 30), rng.uniform(0.5, 1.0, 30)
    fwhm, eta = rng.uniform(0.01, 0.03, 30), np.array([0.3, 0.8])
    start = np.array([0, 12, 30])
    drawn = render(grid, start, q, area, fwhm, eta, cutoff=1e-6)
    for b, share in enumerate(eta):
        rows = slice(start[b], start[b + 1])
        x = (grid.q[:, None] - q[rows]) / fwhm[rows]
        gauss = math.sqrt(4 * math.log(2) / math.pi) * np.exp(-4 * math.log(2) * x**2)
        lorentz = 2 / np.pi / (1 + 4 * x**2)
        profile = (1 - share) * gauss + share * lorentz
        exact = profile @ (area[rows] / fwhm[rows])
        np.testing.assert_allclose(drawn[b], exact, atol=1e-4 * exact.max())


def test_too_narrow_lines_keep_their_area():
    grid = Grid(n_bins=500, q_min=0.5, q_max=6.0, logarithmic=True)
    centres = np.linspace(2.0, 2.02, 9)
    for q in centres:
        y = render(grid, [0, 1], [q], [1.0], [1e-5], [0.0])[0]
        assert (y * grid.bin_width).sum() == pytest.approx(1.0, rel=0.03)


def test_grids_are_even_in_their_own_coordinate():
    linear = Grid(n_bins=101, q_min=1.0, q_max=2.0, logarithmic=False)
    np.testing.assert_allclose(linear.bin_width, 0.01)
    log = Grid(n_bins=101, q_min=1.0, q_max=2.0, logarithmic=True)
    np.testing.assert_allclose(log.q[1:] / log.q[:-1], 2 ** (1 / 100))
    np.testing.assert_allclose(log.bin_width, log.q * math.log(2) / 100)
    assert (log.q[0], log.q[-1]) == (1.0, 2.0)
    with pytest.raises(ValueError, match="0 < q_min"):
        Grid(n_bins=10, q_min=0.0, q_max=1.0, logarithmic=True)


def test_render_refuses_what_does_not_fit():
    grid = Grid(n_bins=100, q_min=0.5, q_max=6.0, logarithmic=False)
    with pytest.raises(ValueError, match="equal numbers"):
        render(grid, [0, 1], [1.0], [1.0, 2.0], [0.1], [0.5])
    with pytest.raises(ValueError, match="rise"):
        render(grid, [0, 2], [1.0], [1.0], [0.1], [0.5])
    with pytest.raises(ValueError, match="above zero"):
        render(grid, [0, 1], [0.0], [1.0], [0.1], [0.5])
    empty = render(grid, [0, 0], [], [], [], [0.5])
    assert empty.shape == (1, 100)
    assert not empty.any()


def test_areas_over_q_are_those_over_angle_times_the_step():
    """The same area counted in steps of 2theta and in steps of q: dq/d2theta."""
    q = np.array([1.0, 4.0, 5.76, 9.0])  # the last is beyond Cu K-alpha
    ones = np.ones(4)
    lines = Reflections(
        q=q,
        d_spacing=2 * np.pi / q,
        hkl=np.ones((4, 3), np.int64),
        multiplicity=np.ones(4, np.int64),
        f_squared=ones,
    )
    k = 4 * np.pi / 1.5418
    two_theta = 2 * np.arcsin(q[:3] / k)
    step = 1e-6
    slope = k * (np.sin((two_theta + step) / 2) - np.sin(two_theta / 2)) / step
    over_angle = lorentz_polarization(q[:3], 1.5418)
    expected = over_angle * slope / slope[0]
    found = line_areas(lines, 1.5418)
    np.testing.assert_allclose(found[:3] / found[0], expected / expected[0], rtol=1e-5)
    assert found[3] == 0
