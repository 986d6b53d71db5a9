"""``texture``: an index that is known analytically comes back; grains raise nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality.azimuth.ring_intensity import (
    judge_texture,
    measure_ring_light,
)
from ringwatch.agent.quality.geometry.displacement import Pair
from ringwatch.agent.quality.geometry.ring_center import CenterFit
from ringwatch.agent.quality.look import look_at
from ringwatch.agent.quality.settings import QualitySettings

SETTINGS = QualitySettings()
UNIT = ((1.0, 0.0), (0.0, 1.0))


@pytest.fixture
def texture(binning, facts):
    """Judge a frame."""

    def judged(frame, where=None, center=None):
        where = where or binning
        made = facts(frame, where)
        seen = replace(look_at(made, where), center=center)
        return judge_texture(measure_ring_light(made, seen), seen, SETTINGS)

    return judged


@pytest.mark.parametrize("amplitude", [0.4, 0.6, 0.9])
def test_the_index_comes_back(texture, rings, rng, amplitude):
    """I = 1 + a cos 2 chi has J = 1 + a^2 / 2."""
    finding = texture(rng.poisson(rings.mean(texture=amplitude)))
    assert finding.state is FlagState.RAISED
    assert finding.value == pytest.approx(1 + amplitude**2 / 2, abs=0.01)


@pytest.mark.parametrize("counts", [1e6, 1e7])
def test_even_rings_are_clear(texture, rings, rng, counts):
    for _ in range(8):
        finding = texture(rng.poisson(rings.mean(counts=counts)))
        assert finding.state is FlagState.CLEAR
        assert finding.value == pytest.approx(1, abs=0.003)


def test_a_weak_texture_is_seen_but_not_told(texture, rings, rng):
    finding = texture(rng.poisson(rings.mean(texture=0.2)))
    assert finding.state is FlagState.CLEAR
    assert finding.value == pytest.approx(1.02, abs=0.005)
    assert finding.z > SETTINGS.threshold


def test_strain_and_a_small_offset_are_no_texture(texture, rings, rng):
    for change in ({"strain": 2e-3}, {"dx": 0.5}):
        assert texture(rng.poisson(rings.mean(**change))).state is FlagState.CLEAR


def test_odd_variation_is_no_texture(texture, rings, rng):
    y, x = np.indices((512, 512)) - 255.5
    light = rings.mean() * (1 + 0.5 * np.cos(np.arctan2(y, x)))
    assert texture(rng.poisson(light)).state is FlagState.CLEAR


def test_off_centre_rings_cannot_tell(texture, rings, rng):
    center = CenterFit(
        center=Pair(x=3.0, y=0.0, covariance=UNIT, freedom=9.0), fwhm=3.0
    )
    finding = texture(rng.poisson(rings.mean(dx=3.0)), center=center)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "3.0 px" in finding.sentence


def test_a_quarter_of_a_detector_cannot_tell(texture, rings, rng):
    quarter = type(rings)(beam=(-20.0, -20.0))
    frame = rng.poisson(quarter.mean(texture=0.6))
    assert texture(frame, quarter.binning()).state is FlagState.NOT_EVALUATED


def test_few_counts_cannot_tell(texture, rings, rng):
    finding = texture(rng.poisson(rings.mean(counts=1e4)))
    assert finding.state is FlagState.NOT_EVALUATED
    assert "hide" in finding.sentence
