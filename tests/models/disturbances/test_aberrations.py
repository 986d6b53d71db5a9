"""Lines land where optics puts them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringwatch.models.diffraction import lorentz_polarization
from ringwatch.models.disturbances.aberrations import (
    CU_K_ALPHA,
    Alignment,
    axial_parts,
    instrument_lines,
)

K = 4 * math.pi / CU_K_ALPHA


def aligned(**changes):
    values = {
        "wavelength": CU_K_ALPHA,
        "polarization": 1.0,
        "width": 0.006,
        "depth": -1.0,
        "strain": 0.0,
        "zero_shift": 0.0,
        "displacement": 0.0,
        "scale": 0.0,
        "divergence": 0.0,
        "doublet": 0.0,
        "overflow": 0.0,
    } | changes
    return Alignment(**{name: np.array([value]) for name, value in values.items()})


def lines(q, **changes):
    q = np.atleast_1d(np.asarray(q, np.float32))
    start = np.array([0, len(q)])
    return instrument_lines(start, q, np.ones(len(q)), aligned(**changes))


def two_theta(q):
    return 2 * np.arcsin(np.asarray(q, np.float64) / K)


def test_nothing_moves_without_aberrations():
    start, q, area, fwhm = lines([1.0, 3.0, 5.0])
    cosine = np.cos(two_theta([1.0, 3.0, 5.0]) / 2)
    np.testing.assert_array_equal(start, [0, 3])
    np.testing.assert_allclose(q, [1.0, 3.0, 5.0], rtol=1e-6)
    np.testing.assert_allclose(fwhm, 0.006 * cosine, rtol=1e-6)
    expected = lorentz_polarization([1.0, 3.0, 5.0], CU_K_ALPHA, 1.0) * cosine
    np.testing.assert_allclose(area, expected, rtol=1e-5)


def test_the_height_over_two_theta_is_the_textbook_s():
    """A width constant in 2theta leaves heights in the ratio of LP factors."""
    _, _, area, fwhm = lines([1.0, 5.0])
    expected = lorentz_polarization([1.0, 5.0], CU_K_ALPHA, 1.0)
    heights = area / fwhm
    assert heights[1] / heights[0] == pytest.approx(expected[1] / expected[0], rel=1e-5)


def test_displacement_shifts_by_the_cosine_of_theta():
    bragg = two_theta([0.8, 2.5, 5.0])
    _, q, _, _ = lines([0.8, 2.5, 5.0], displacement=5e-4)
    np.testing.assert_allclose(
        two_theta(q) - bragg, -2 * 5e-4 * np.cos(bragg / 2), rtol=0.01
    )


def test_a_zero_error_is_the_same_angle_everywhere():
    bragg = two_theta([0.8, 2.5, 5.0])
    _, q, _, _ = lines([0.8, 2.5, 5.0], zero_shift=0.004)
    np.testing.assert_allclose(two_theta(q) - bragg, 2 * 0.004 / K, rtol=0.01)


def test_strain_widens_with_q():
    _, _, _, fwhm = lines([1.0, 4.0], width=1e-6, strain=0.003)
    np.testing.assert_allclose(fwhm, [0.003, 0.012], rtol=1e-3)


def test_the_doublet_is_two_to_one_at_its_wavelengths():
    start, q, area, _ = lines([3.0], doublet=1.0)
    assert start[-1] == 2
    assert area[0] / area[1] == pytest.approx(2.0, rel=1e-5)
    # Hoelzer et al. 1997: 1.540593 and 1.544427 Angstrom.
    assert q[1] / q[0] == pytest.approx(1.544427 / 1.540593, abs=3e-5)
    assert np.average(q, weights=area) == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize("degrees", [10.0, 30.0, 150.0])
def test_axial_divergence_shifts_the_centroid_as_its_triangle_says(degrees):
    """Mean of u^2 / 2 over the triangle, times cot(2theta): (H + S)^2 / 12 L^2."""
    angles = np.empty(40)
    axial_parts(math.radians(degrees), 0.03, angles)
    shift = angles.mean() - math.radians(degrees)
    expected = -(0.03**2) / 12 / math.tan(math.radians(degrees))
    assert shift == pytest.approx(expected, rel=0.02)
    farthest = math.acos(math.cos(math.radians(degrees)) * math.sqrt(1 + 0.03**2))
    assert abs(angles[-1] - math.radians(degrees)) < abs(
        farthest - math.radians(degrees)
    )


def test_axial_divergence_acts_at_low_angles_and_keeps_areas():
    start, q, area, _ = lines([0.5, 5.7], divergence=0.03)
    _, _, whole, _ = lines([0.5, 5.7])
    assert start[-1] > 4
    low = q < 1
    assert (q[low] < 0.5).all()
    assert area[low].sum() == pytest.approx(whole[0], rel=1e-5)
    assert (~low).sum() == 1  # 89 degrees


def test_an_overflowing_beam_loses_with_the_sine():
    edge = math.sin(math.radians(8.0))
    _, _, area, _ = lines([0.3 * K * edge, 2 * K * edge], overflow=edge)
    _, _, whole, _ = lines([0.3 * K * edge, 2 * K * edge])
    np.testing.assert_allclose(area / whole, [0.3, 1.0], rtol=1e-5)


def test_a_flat_detector_narrows_lines_outwards():
    _, _, _, fwhm = lines([0.5, 5.0], wavelength=0.7, depth=0.0)
    k = 4 * math.pi / 0.7
    angle = 2 * np.arcsin(np.array([0.5, 5.0]) / k)
    expected = 0.006 * np.cos(angle) ** 2 * np.cos(angle / 2)
    np.testing.assert_allclose(fwhm, expected, rtol=1e-5)


def test_many_split_lines_find_room():
    start, q, area, fwhm = lines(np.linspace(0.3, 0.4, 50), divergence=0.04, doublet=1)
    assert start[-1] == len(q) == len(area) == len(fwhm) == 1000
