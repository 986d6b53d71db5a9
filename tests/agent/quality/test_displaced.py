"""The height of a flat plate, from the angles of its rings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.geometry.displaced import (
    RingShifts,
    fit_displacement,
    judge_sample_displaced,
)
from ringwatch.benchmarks.flags.stage import Scene, Stage

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


def test_a_known_zero_makes_the_height_more_precise(rng):
    found = shifts(rng, 4e-4, scale=1e-3)
    free = fit_displacement(found, RADIUS_M)
    fixed = fit_displacement(replace(found, zero_known=True), RADIUS_M)
    assert fixed.sigma < free.sigma / 3
    assert fixed.height == pytest.approx(4e-4, abs=4 * fixed.sigma)


def test_rings_taken_for_others_have_no_height(rng):
    lost = replace(shifts(rng, 4e-4, noise=1e-3), width=1e-3)
    assert "moved apart" in judged(lost).sentence


def run_of(stage, rates, frames, settings=PLATE):
    """Quality of frames of a plate, the first three of which are at height 0."""
    fold, first = stage.fold(settings), stage.rates()
    judged = []
    for index in range(3 + frames):
        cake = stage.cake(first if index < 3 else rates)
        distance = stage.experiment.geometry.dist
        judged.append(
            fold.judge(stage.facts(cake, index, {"i0": 1e6}, distance_m=distance))
        )
    return judged[3:]


@pytest.mark.parametrize(
    ("sample", "height_um"), [("cubic", 150.0), ("cubic", -300.0), ("textured", 80.0)]
)
def test_a_displaced_plate_is_seen_in_its_frames(sample, height_um):
    stage = Stage(Scene(geometry="small", sample=sample, counts=1e7), 5)
    now = replace(stage.experiment.conditions(), plate_height_um=height_um)
    for quality in run_of(stage, stage.rates(now), 4):
        assert quality.states[Flag.SAMPLE_DISPLACED] is FlagState.RAISED
        sigma = quality.values["displacement_sigma_um"]
        assert sigma < 5.0
        found = quality.values["displacement_um"]
        assert found == pytest.approx(height_um, abs=3 * sigma + 0.01 * abs(height_um))


def test_a_plate_that_stays_is_clear_also_where_the_detector_moves():
    stage = Stage(Scene(geometry="small", counts=1e7), 6)
    still = stage.experiment.conditions()
    here = stage.experiment.geometry
    nearer = replace(still, geometry=replace(here, dist=here.dist * 0.998))
    for conditions in (still, nearer):
        for quality in run_of(stage, stage.rates(conditions), 8):
            assert quality.states[Flag.SAMPLE_DISPLACED] is FlagState.CLEAR
            assert abs(quality.values["displacement_um"]) < 20.0
