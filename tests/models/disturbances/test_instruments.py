"""Resolution of an area detector: each contribution alone has a short formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringwatch.models.disturbances.instruments import area_detector_fwhm

Q = np.array([0.5, 2.0, 5.0])
SETUP = {"wavelength": 0.5, "distance": 0.3, "pixel": 1e-9, "beam": 0.0}


def angles(wavelength=0.5):
    return np.arcsin(Q * wavelength / (4 * math.pi))


def test_a_band_of_wavelengths_is_a_constant_share_of_q():
    width = area_detector_fwhm(Q, **SETUP, bandwidth=0.01)
    np.testing.assert_allclose(width, 0.01 * Q, rtol=1e-4)


def test_the_beam_s_size_counts_most_in_the_middle():
    width = area_detector_fwhm(Q, **SETUP | {"beam": 3e-4})
    theta = angles()
    angular = 3e-4 / 0.3 * np.cos(2 * theta) ** 2
    np.testing.assert_allclose(
        width, angular * np.cos(theta) * 2 * math.pi / 0.5, rtol=1e-6
    )


def test_a_pixel_counts_with_its_standard_deviation():
    width = area_detector_fwhm(Q, **SETUP | {"pixel": 1e-4})
    beam = area_detector_fwhm(
        Q, **SETUP | {"beam": 1e-4 / math.sqrt(12) * math.sqrt(8 * math.log(2))}
    )
    np.testing.assert_allclose(width, beam, rtol=1e-6)


def test_a_thick_sample_is_the_parallax_of_its_ends():
    """Grains 1 mm apart along the beam: the two rings by plain geometry."""
    theta = angles()
    radius = [distance * np.tan(2 * theta) for distance in (0.2995, 0.3005)]
    apart = np.arctan(radius[1] / 0.3) - np.arctan(radius[0] / 0.3)
    thickness = 1e-3
    width = area_detector_fwhm(Q, **SETUP, thickness=thickness)
    box = math.sqrt(8 * math.log(2) / 12)
    expected = box * apart * np.cos(theta) * 2 * math.pi / 0.5
    np.testing.assert_allclose(width, expected, rtol=1e-3)


def test_contributions_add_in_squares():
    parts = [{"beam": 2e-4}, {"thickness": 1e-3}, {"bandwidth": 2e-3}]
    squares = sum(area_detector_fwhm(Q, **SETUP | part) ** 2 for part in parts)
    whole = area_detector_fwhm(Q, **SETUP | parts[0] | parts[1] | parts[2])
    np.testing.assert_allclose(whole**2, squares, rtol=1e-6)


def test_divergence_is_the_same_angle_everywhere():
    width = area_detector_fwhm(Q, **SETUP, divergence=1e-3)
    expected = 1e-3 * np.cos(angles()) * 2 * math.pi / 0.5
    np.testing.assert_allclose(width, expected, rtol=1e-6)


@pytest.mark.parametrize("change", [{"distance": 0.0}, {"wavelength": 4.0}])
def test_impossible_geometries_are_refused(change):
    with pytest.raises(ValueError, match=r"expected positive|narrow the range"):
        area_detector_fwhm(Q, **SETUP | change)
