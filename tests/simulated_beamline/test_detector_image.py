"""What each pixel sees, against pyFAI's own arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.models.diffraction import Grid
from ringwatch.simulated_beamline.bench_geometries import BENCH_GEOMETRIES
from ringwatch.simulated_beamline.detector_image import PixelMap, dark_pattern
from ringwatch.simulated_beamline.geometry import Geometry


def small() -> Geometry:
    return BENCH_GEOMETRIES["small"].geometry


@pytest.mark.parametrize(
    "geometry",
    [
        small(),
        replace(small(), rot1=0.05, rot2=-0.02),
        replace(
            small(), detector=replace(small().detector, sensor=("Si", 1e-3)), dist=0.2
        ),
    ],
    ids=["straight", "tilted", "thick sensor"],
)
def test_all_that_a_pixel_sees_is_what_pyfai_says(geometry):
    grid = Grid(n_bins=4096, q_min=0.0, q_max=40.0, logarithmic=False)
    seen = PixelMap(geometry, grid, 0.9, None)
    shape = geometry.detector.shape
    due = geometry.integrator()
    q = due.center_array(shape, unit="q_A^-1")
    assert np.allclose(seen.position * grid.spacing, q, rtol=1e-6)
    assert np.allclose(seen.chi, due.center_array(shape, unit="chi_rad"), atol=1e-6)
    gain = due.solidAngleArray(shape) * due.polarization(shape, factor=0.9)
    assert np.allclose(seen.gain, gain, rtol=1e-6)
    assert np.ptp(gain) > 0.01


def test_a_detector_without_dark_counts_has_none():
    geometry = small()
    assert geometry.detector.dark_rate == 0.0
    assert not dark_pattern(geometry, 3).any()
    warm = replace(geometry, detector=replace(geometry.detector, dark_rate=20.0))
    pattern = dark_pattern(warm, 3)
    assert pattern.shape == warm.detector.shape
    assert pattern.dtype == np.float32
    assert pattern.mean() == pytest.approx(20.0, rel=0.02)
