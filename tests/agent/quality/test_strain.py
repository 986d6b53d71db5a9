"""strain: ellipses are measured, told as science, and never as misalignment."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import FlagState, Severity
from ringwatch.agent.quality.geometry.ring_center import locate_center
from ringwatch.agent.quality.geometry.rings import find_rings, make_profiles
from ringwatch.agent.quality.geometry.strain import judge_strain
from ringwatch.agent.quality.geometry.tilt import judge_tilt
from ringwatch.agent.quality.settings import QualitySettings

SETTINGS = QualitySettings()


@pytest.fixture
def locate(rings, binning, facts, rng):
    def located(**sample):
        frame = rng.poisson(rings.mean(**sample)).astype(np.uint32)
        profiles = make_profiles(facts(frame, binning).cake, binning)
        return locate_center(profiles, find_rings(profiles))

    return located


@pytest.mark.parametrize("strain", [-3e-3, 2e-3, 4e-3])
def test_strain_is_measured_and_is_information(locate, strain):
    found = locate(strain=strain)
    finding = judge_strain(found, None, SETTINGS)
    assert finding.state is FlagState.RAISED
    assert finding.severity is Severity.INFORMATION
    assert finding.value == pytest.approx(abs(strain) * 1e6, rel=0.06)
    assert np.sign(found.fit.strain.x) == np.sign(strain)
    assert judge_tilt(found, None, SETTINGS).state is not FlagState.RAISED


def test_a_small_strain_is_seen_against_the_reference(locate):
    before = locate().fit
    found = locate(strain=3e-4)
    assert judge_strain(found, None, SETTINGS).state is FlagState.CLEAR
    finding = judge_strain(found, before, SETTINGS)
    assert finding.state is FlagState.RAISED
    assert "since the run's first frames" in finding.sentence


@pytest.mark.parametrize(
    "decoy", [{}, {"texture": 0.8}, {"dx": 1.0}, {"expansion": 4e-3}]
)
def test_other_causes_are_no_strain(locate, decoy):
    assert judge_strain(locate(**decoy), None, SETTINGS).state is FlagState.CLEAR


def test_without_rings_it_says_why(locate):
    finding = judge_strain(locate(lines=()), None, SETTINGS)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "ring" in finding.sentence
