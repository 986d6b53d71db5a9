"""radial_scale: changes of all radii are measured without bias."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.geometry.ring_center import locate_center
from ringwatch.agent.quality.geometry.rings import find_rings, make_profiles
from ringwatch.agent.quality.geometry.scale import fit_scale
from ringwatch.agent.quality.settings import QualitySettings


@pytest.fixture
def profile(rings, binning, facts, rng):
    def profiled(counts=1e7, **sample):
        frame = rng.poisson(rings.mean(counts=counts, **sample)).astype(np.uint32)
        fact = facts(frame, binning)
        return fact, make_profiles(fact.cake, binning)

    return profiled


@pytest.fixture
def reference(profile):
    frames = []
    for _ in range(3):
        fact, profiles = profile()
        found = find_rings(profiles)
        fit = locate_center(profiles, found).fit
        frames.append((fact, Seen(profiles=profiles, rings=found, center=fit)))
    return Reference.from_frames(frames, QualitySettings())


@pytest.mark.parametrize("expansion", [0.0, 1e-4, -3e-4, 1e-3, 4e-3, -1.5e-2])
def test_scale_is_measured_without_bias(profile, reference, expansion):
    _, profiles = profile(expansion=expansion)
    fit = fit_scale(profiles, reference)
    # a larger lattice makes smaller rings; at 20 degrees radii outrun angles by 5 %
    true = 1 / (1 + expansion) - 1
    assert fit.scale == pytest.approx(true, abs=5 * fit.sigma + 0.06 * abs(true))
    assert fit.ring_amplitude == pytest.approx(1.0, abs=0.03)
    assert fit.brightness == pytest.approx(1.0, abs=0.02)


def test_errors_are_honest(profile, reference):
    pulls = []
    for _ in range(15):
        fit = fit_scale(profile(counts=3e5)[1], reference)
        pulls.append(fit.scale / fit.sigma)
    assert 0.6 < np.std(pulls) < 1.5
    assert np.abs(pulls).max() < 4.5


@pytest.mark.parametrize("background", [40.0, 160.0])
def test_rings_that_fade_show_in_their_amplitude(profile, rings, reference, background):
    """More background in the same counts: the rings' share of the light falls."""
    height = {
        b: np.ptp(rings.mean(background=b) - 0.9 * rings.mean(background=b, lines=()))
        for b in (10.0, background)
    }
    assert height[background] < height[10.0]
    fit = fit_scale(profile(background=background)[1], reference)
    assert fit.ring_amplitude < 0.8
    assert fit.ring_amplitude_sigma < 0.02


def test_gone_rings_have_no_scale_but_an_amplitude(profile, reference):
    fit = fit_scale(profile(lines=())[1], reference)
    assert abs(fit.ring_amplitude) < 5 * fit.ring_amplitude_sigma + 0.03
