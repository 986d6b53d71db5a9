"""The height of a flat plate, from the angles of its rings."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.geometry.displaced import (
    RingShifts,
    fit_displacement,
    judge_sample_displaced,
)

from .drawn_profiles import Drawn

PLATE = QualitySettings(flat_plate=True)
RADIUS_M = 0.2  # as in ``Drawn.facts``
ANGLES = np.radians(np.linspace(12.0, 85.0, 14))
SIGMA = 2e-6  # rad


def shifts(rng, height=0.0, zero=0.0, scale=0.0, noise=SIGMA, angles=ANGLES):
    theta = angles / 2
    exact = -2 * height * np.cos(theta) / RADIUS_M + zero + scale * np.tan(theta)
    return RingShifts(
        two_theta=angles,
        shift=exact + rng.normal(0, noise, angles.size),
        sigma=np.full(angles.size, SIGMA),
    )


def judged(found, settings=PLATE):
    return judge_sample_displaced(Drawn().facts(), found, settings)


@pytest.mark.parametrize("height", [-3e-4, 1e-4, 5e-4])
def test_height_comes_back_beside_zero_and_scale(height, rng):
    fits = [
        fit_displacement(shifts(rng, height, zero=3e-4, scale=-2e-3), RADIUS_M)
        for _ in range(200)
    ]
    off = np.array([(fit.height - height) / fit.sigma for fit in fits])
    assert abs(off.mean()) < 4 / np.sqrt(200)
    assert 0.75 < off.std() < 1.15


def test_a_plate_too_high_is_raised_with_its_sign(rng):
    finding = judged(shifts(rng, 4e-4))
    assert finding.state is FlagState.RAISED
    assert finding.value == pytest.approx(
        400, abs=5 * finding.further["displacement_sigma_um"]
    )
    assert "towards the beam" in finding.sentence


def test_heating_and_zero_errors_are_no_height(rng):
    for scale in (0.0, 1e-3, -1e-2):
        for zero in (0.0, 1e-3):
            assert judged(shifts(rng, 0.0, zero, scale)).state is FlagState.CLEAR


def test_rings_that_scatter_for_other_reasons_raise_nothing(rng):
    """An anisotropic expansion moves each ring by its own amount."""
    for _ in range(500):
        found = judged(shifts(rng, scale=1e-3, noise=1e-4))
        assert found.state is not FlagState.RAISED


def test_a_displacement_below_the_tolerance_is_clear(rng):
    finding = judged(shifts(rng, 2e-5, noise=SIGMA / 10))
    assert finding.state is FlagState.CLEAR
    assert finding.value == pytest.approx(20, abs=15)


def test_what_is_missing_is_said(rng):
    found = shifts(rng, 4e-4)
    transmission = judged(found, QualitySettings())
    assert transmission.sentence == "transmission geometry: no height of a plate"
    assert judged(None).state is FlagState.NOT_EVALUATED
    few = shifts(rng, 4e-4, angles=ANGLES[:5])
    assert "too few rings" in judged(few).sentence
    narrow = shifts(rng, 4e-4, angles=np.radians(np.linspace(2.0, 8.0, 12)))
    assert "too small a range" in judged(narrow).sentence


def test_lost_rings_are_left_out(rng):
    found = shifts(rng, 4e-4)
    found.shift[3], found.sigma[5] = np.nan, np.inf
    assert judged(found).value == pytest.approx(400, abs=100)


def test_moves_on_the_detector_become_angles():
    radius, distance = np.array([100.0, 1000.0]), 1000.0
    found = RingShifts.from_moves(radius, np.array([0.1, 0.1]), np.ones(2), distance)
    exact = np.arctan((radius + 0.1) / distance) - np.arctan(radius / distance)
    assert found.shift == pytest.approx(exact, rel=1e-3)
    assert found.two_theta[1] == pytest.approx(np.pi / 4)
