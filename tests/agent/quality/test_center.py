"""beam_center: moves are found and measured; what is no move is left alone."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag, FlagState, Word
from ringwatch.agent.quality import QualityFold, QualitySettings
from ringwatch.agent.quality.geometry.ring_center import locate_center
from ringwatch.agent.quality.geometry.rings import find_rings, make_profiles


def test_rings_are_found_at_their_radii_and_widths(rings, binning, facts, rng):
    frame = rng.poisson(rings.mean()).astype(np.uint32)
    found = find_rings(make_profiles(facts(frame, binning).cake, binning))
    distance = 0.2 / 2e-4
    expected = [
        distance * math.tan(2 * math.asin(0.2 * math.sqrt(n) / (2 * 4.157)))
        for n in (2, 4, 8, 13)
    ]
    for radius in expected:
        assert np.abs(binning.radius[found.bins] - radius).min() < 0.6
    assert found.width == pytest.approx(3.0, abs=0.4)


@pytest.mark.parametrize("length", [0.3, 0.6, 1.0, 2.0, 5.0, 15.0, 45.0])
def test_moved_center_is_measured(judge, rings, rng, length):
    dx, dy = 0.8 * length, -0.6 * length
    quality = judge(rng.poisson(rings.mean(dx=dx, dy=dy)).astype(np.uint32))
    assert quality.word is Word.MISALIGNED
    assert quality.primary is Flag.BEAM_CENTER
    tolerance = 0.02 + 0.01 * length
    assert quality.values["beam_center_dx_px"] == pytest.approx(dx, abs=tolerance)
    assert quality.values["beam_center_dy_px"] == pytest.approx(dy, abs=tolerance)
    assert quality.z[Flag.BEAM_CENTER] > 20
    said = re.search(
        r"centred ([0-9.]+) px .* \(\d+ sigma\): rings are", quality.reason
    )
    assert said is not None
    assert float(said[1]) == pytest.approx(length, abs=tolerance)


@pytest.mark.parametrize("length", [0.0, 0.05, 0.1, 0.18])
def test_move_below_the_effect_size_is_measured_but_not_raised(
    judge, rings, rng, length
):
    quality = judge(rng.poisson(rings.mean(dx=length)).astype(np.uint32))
    assert quality.word is Word.GOOD
    assert quality.values["beam_center_dx_px"] == pytest.approx(length, abs=0.02)


@pytest.mark.parametrize(("counts", "length"), [(1e6, 0.4), (1e5, 1.0), (3e4, 2.0)])
def test_fainter_frames_show_larger_moves(judge, rings, rng, counts, length):
    frame = rng.poisson(rings.mean(counts=counts, dx=length)).astype(np.uint32)
    quality = judge(frame)
    assert Flag.BEAM_CENTER in quality.raised
    sigma = quality.values["beam_center_sigma_px"]
    assert abs(quality.values["beam_center_dx_px"] - length) < 5 * sigma + 0.03


@pytest.mark.parametrize(
    "decoy",
    [
        {"texture": 0.9},
        {"strain": 3e-3},
        {"expansion": 5e-3},
        {"texture": 0.8, "strain": 2e-3, "lines": (1, 2, 5)},
        {"lines": (3, 4, 8, 11, 12)},
    ],
)
def test_texture_strain_and_expansion_move_no_center(judge, rings, rng, decoy):
    quality = judge(rng.poisson(rings.mean(**decoy)).astype(np.uint32))
    assert Flag.BEAM_CENTER not in quality.raised
    assert quality.states[Flag.BEAM_CENTER] is FlagState.CLEAR


@pytest.mark.parametrize("grains", [10.0, 1.0, 0.1])
def test_grains_do_not_fake_a_move(rings, judge, rng, grains):
    mean = rings.mean(background=0.0) + rings.mean(counts=1e6, lines=())
    patch = (128, 128)
    for _ in range(3):
        light = rng.gamma(grains, 1 / grains, patch).repeat(4, 0).repeat(4, 1)
        spotty = rings.mean(background=0.0) * light + mean * 0.1
        quality = judge(rng.poisson(spotty).astype(np.uint32))
        assert Flag.BEAM_CENTER not in quality.raised
        assert Flag.MISREAD not in quality.raised


def test_errors_are_honest_for_photons_and_for_grains(rings, binning, facts, rng):
    """Found minus true over the stated sigma scatters as its name says."""
    for grains in (None, 3.0):
        pulls = []
        for _ in range(12):
            light = np.ones((512, 512))
            if grains:
                light = rng.gamma(grains, 1 / grains, (128, 128))
                light = light.repeat(4, 0).repeat(4, 1)
            frame = rng.poisson(rings.mean(counts=2e6) * light).astype(np.uint32)
            profiles = make_profiles(facts(frame, binning).cake, binning)
            fit = locate_center(profiles, find_rings(profiles)).fit
            assert fit is not None
            sigma = np.sqrt(np.diag(fit.center.covariance))
            pulls += [fit.dx / sigma[0], fit.dy / sigma[1]]
        assert 0.4 < np.sqrt(np.mean(np.square(pulls))) < 1.8


def test_no_false_alarm_in_a_series_of_cakes(rings, binning, facts, rng):
    """300 null cakes drawn cell by cell: no flag, and z as small as chance makes it."""
    template = facts(rng.poisson(rings.mean()).astype(np.uint32), binning)
    mean = facts(np.round(1e3 * rings.mean()).astype(np.uint32), binning).cake.total
    mean /= 1e3
    fold = QualityFold(QualitySettings(), binning)
    largest = 0.0
    for index in range(300):
        total = rng.poisson(mean).astype(np.float64)
        pixels = np.maximum(template.cake.pixels, 1)
        cake = dataclasses.replace(
            template.cake,
            total=total,
            total_sq=total + total**2 / pixels,
            checksum=index,
        )
        ref = dataclasses.replace(template.ref, index=index, seq_num=index + 1)
        quality = fold.judge(dataclasses.replace(template, ref=ref, cake=cake))
        assert quality.word is Word.GOOD, quality.reason
        assert not quality.raised
        largest = max(largest, quality.z[Flag.BEAM_CENTER])
    assert 1.0 < largest < 30.0


@pytest.mark.parametrize(
    ("beam", "tolerance"),
    [((20.0, 20.0), 0.1), ((-60.0, 256.0), 0.4), ((256.0, 40.0), 0.1)],
)
def test_part_of_the_azimuth_is_enough(rings, judge, rng, beam, tolerance):
    here = dataclasses.replace(rings, beam=beam)
    there = here.binning()
    still = judge(rng.poisson(here.mean()).astype(np.uint32), binning=there)
    assert Flag.BEAM_CENTER not in still.raised
    moved = judge(rng.poisson(here.mean(dx=1.0)).astype(np.uint32), binning=there)
    assert Flag.BEAM_CENTER in moved.raised
    assert moved.values["beam_center_dx_px"] == pytest.approx(1.0, abs=tolerance)


def test_too_little_azimuth_is_said(rings, judge, rng):
    far = dataclasses.replace(rings, beam=(-900.0, 256.0))
    quality = judge(rng.poisson(far.mean()).astype(np.uint32), binning=far.binning())
    assert quality.states[Flag.BEAM_CENTER] is FlagState.NOT_EVALUATED
    assert "sectors" in quality.why_not[Flag.BEAM_CENTER]


def test_a_geometry_of_another_detector_is_misaligned(rings, judge, rng):
    """The beam hundreds of pixels off: no centre can be given, and none is."""
    wrong = dataclasses.replace(rings, beam=(256.0, 530.0))
    quality = judge(
        rng.poisson(rings.mean()).astype(np.uint32), binning=wrong.binning()
    )
    assert quality.word is Word.MISALIGNED
    assert "do not coincide" in quality.reason
    assert "beam_center_dx_px" not in quality.values


def test_a_slip_within_a_run_is_told_from_a_static_offset(rings, binning, facts, rng):
    """A tolerable offset from the start, then a slip to another tolerable one."""
    fold = QualityFold(QualitySettings(), binning)
    offsets = [0.15] * 5 + [-0.2] * 2
    seen = []
    for index, dx in enumerate(offsets):
        frame = rng.poisson(rings.mean(dx=dx)).astype(np.uint32)
        seen.append(fold.judge(facts(frame, binning, index=index)))
    assert [Flag.BEAM_CENTER in q.raised for q in seen] == [False] * 5 + [True] * 2
    assert "moved 0.35 px since the run's first frames" in seen[5].reason


def test_a_centre_that_stays_off_and_one_that_jumps(rings, binning, facts, rng):
    before = None
    for dx in (2.0, 2.0, 2.0, -3.0, -3.0, 0.0, 0.0):
        frame = rng.poisson(rings.mean(dx=dx)).astype(np.uint32)
        profiles = make_profiles(facts(frame, binning).cake, binning)
        before = locate_center(profiles, find_rings(profiles), before).fit
        alone = locate_center(profiles, find_rings(profiles)).fit
        for fit in (before, alone):
            assert fit.dx == pytest.approx(dx, abs=0.03)
            assert fit.dy == pytest.approx(0.0, abs=0.03)
        sure, expected = np.array(before.center.covariance), alone.center.covariance
        assert sure == pytest.approx(np.array(expected), rel=0.3)
