"""Texture and grain statistics against what can be integrated by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.disturbances.texture import (
    directions_of_forms,
    line_factors,
    march_dollase,
    orbit_factors,
)

CUBE = (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)


@pytest.mark.parametrize("r", [0.5, 0.8, 1.0, 1.6])
def test_the_density_is_normalised_over_the_sphere(r):
    cosines = (np.arange(20_000) + 0.5) / 20_000
    mean = np.mean([march_dollase(r, x) for x in cosines])
    assert mean == pytest.approx(1.0, abs=1e-4)


def test_plates_show_their_face():
    assert march_dollase(0.7, 1.0) == pytest.approx(0.7**-3)
    assert march_dollase(0.7, 0.0) == pytest.approx(0.7**1.5)


def test_an_orbit_is_averaged():
    """Of {100} in a cube one normal in three is the axis, two are across it."""
    factor = orbit_factors(
        [[1, 0, 0], [0, 0, 1], [1, 1, 1]],
        cell=CUBE,
        space_group=225,
        axis=(0, 0, 1),
        r=0.7,
    )
    expected = (0.7**-3 + 2 * 0.7**1.5) / 3
    np.testing.assert_allclose(factor[:2], expected)
    assert factor[2] == pytest.approx(march_dollase(0.7, 3**-0.5))


def test_an_oblique_cell_has_its_own_angles():
    cell = (5.0, 6.0, 7.0, 90.0, 110.0, 90.0)
    factor = orbit_factors(
        [[0, 0, 2], [0, 2, 0], [1, 0, 0]], cell=cell, space_group=3, axis=(0, 0, 1), r=2
    )
    # a* and c* enclose 70 degrees.
    expected = [
        march_dollase(2.0, cosine) for cosine in (1.0, 0.0, np.cos(np.radians(70.0)))
    ]
    np.testing.assert_allclose(factor, expected, rtol=1e-9)


@pytest.mark.parametrize(("r", "axis"), [(0.0, (0, 0, 1)), (0.7, (0, 0, 0))])
def test_impossible_textures_are_refused(r, axis):
    with pytest.raises(ValueError, match="expected r > 0"):
        orbit_factors([[1, 0, 0]], cell=CUBE, space_group=1, axis=axis, r=r)


def test_directions_are_half_the_order_of_the_laue_group():
    groups = np.array([1, 2, 14, 62, 87, 129, 148, 167, 176, 194, 205, 225])
    expected = [1, 1, 2, 4, 4, 8, 3, 6, 6, 12, 12, 24]
    np.testing.assert_array_equal(directions_of_forms(groups), expected)


def drawn(directions, r, grains, n=20_000, seed=0):
    return line_factors(
        np.random.default_rng(seed),
        np.arange(0, n + 1, 20),
        np.full(n // 20, directions),
        np.full(n // 20, r),
        np.full(n // 20, grains),
    )


def test_a_perfect_powder_keeps_its_intensities():
    assert (drawn(4, 1.0, np.inf) == 1.0).all()


def test_grain_statistics_have_poisson_s_width():
    factor = drawn(1, 1.0, 25.0)
    assert factor.mean() == pytest.approx(1.0, abs=0.01)
    assert factor.std() == pytest.approx(0.2, rel=0.05)


def test_texture_drawn_without_indices_is_as_wide_as_texture_with_them():
    """Triclinic: every line is one direction, so that the two can be compared."""
    rng = np.random.default_rng(1)
    hkl = rng.integers(-9, 10, (4000, 3))
    hkl = hkl[np.abs(hkl).sum(axis=1) > 0]
    exact = orbit_factors(hkl, cell=CUBE, space_group=1, axis=(1, 2, 3), r=0.7)
    factor = drawn(1, 0.7, np.inf)
    assert factor.mean() == pytest.approx(1.0, abs=0.02)
    assert factor.std() == pytest.approx(exact.std(), rel=0.1)


def test_symmetry_averages_texture():
    assert drawn(24, 0.6, np.inf).std() < 0.6 * drawn(1, 0.6, np.inf).std()
