"""radial_scale: changes of all radii are measured without bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.nouns import FrameRef, Severity
from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.geometry.ring_center import locate_center
from ringwatch.agent.quality.geometry.ring_history import RingHistory
from ringwatch.agent.quality.geometry.rings import find_rings, make_profiles
from ringwatch.agent.quality.geometry.scale import fit_scale
from ringwatch.agent.quality.geometry.scale_cause import cause_of_scale
from ringwatch.agent.quality.geometry.scale_fit import ScaleFit
from ringwatch.agent.quality.geometry.scale_kernels import through_origin
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


# -- few rings ---------------------------------------------------------------------
RADII = np.array([60.0, 90.0, 120.0, 150.0, 180.0])  # px


def fit_of(rng, *, noise=0.05, grains=0.0, scale=0.0):
    """Fit of five rings that scatter by counting noise and by their grains, px."""
    sizes = np.full(RADII.size, noise)
    moved = scale * RADII + rng.normal(0, np.hypot(noise, grains), RADII.size)
    found, sigma, scatter, counting, freedom, _ = through_origin(RADII, moved, sizes)
    return ScaleFit(
        scale=found,
        sigma=sigma,
        scatter=scatter,
        counting=counting,
        freedom=freedom,
        apart=0.0,
        brightness=1.0,
        ring_amplitude=1.0,
        ring_amplitude_sigma=0.01,
        moved=np.empty((3, 0)),
    )


@pytest.mark.parametrize("grains", [0.0, 0.1, 0.5])
def test_few_rings_learn_their_scatter_from_the_frames_before(rng, grains):
    """Also that of grains: a thousandth of clean frames is beyond 1 in 1000."""
    history = RingHistory()
    for _ in range(30):
        history.learn(fit_of(rng, grains=grains))
    settings = QualitySettings(false_alarms_per_hour=720.0)  # 1 in 1000 a statistic
    assert settings.tail == pytest.approx(1e-3)
    beyond, pulls = 0, []
    for _ in range(4000):
        fit = fit_of(rng, grains=grains)
        sigma, freedom = history.error(fit)
        history.learn(fit)
        pulls.append(fit.scale / sigma)
        beyond += abs(pulls[-1]) > settings.threshold_for(freedom)
    assert beyond <= 12
    assert 0.6 < np.std(pulls) < 1.2


def test_five_rings_show_a_change_that_they_alone_could_not(rng):
    history, settings = RingHistory(), QualitySettings()
    for _ in range(10):
        history.learn(fit_of(rng))
    alone = together = 0
    for _ in range(100):
        fit = fit_of(rng, scale=3e-3)
        sigma, freedom = history.error(fit)
        alone += fit.scale / fit.sigma > settings.threshold_for(fit.freedom)
        together += fit.scale / sigma > settings.threshold_for(freedom)
    assert alone == 0
    assert together >= 90


def test_grains_that_come_count_at_once(rng):
    history = RingHistory()
    for _ in range(30):
        history.learn(fit_of(rng))
    fit = fit_of(rng, grains=1.0)
    sigma, freedom = history.error(fit)
    assert sigma > 0.5 * fit.sigma
    assert freedom < fit.freedom + 5.0


# -- what it means -----------------------------------------------------------------
MISALIGNED, SUSPECT = Severity.MISALIGNED, Severity.SUSPECT


@pytest.fixture
def cause(profile, reference, rng):
    """Of rings that changed by ``ppm``, by readbacks then and now; 0.5 m, 74.5 keV."""
    fact, _ = profile()

    def found(
        ppm, then, now, *, keys=None, distance=0.5, energy=74.5, apart=0.0, **more
    ):
        facts = replace(
            fact,
            ref=FrameRef.without_pixels("run", 0, now),
            distance_m=distance,
            energy_kev=energy,
        )
        fit = replace(fit_of(rng), scale=1e-6 * ppm, apart=apart)
        keys = tuple(now) if keys is None else keys
        settings = QualitySettings(geometry_keys=keys, **more)
        before = replace(reference, readbacks=then)
        return cause_of_scale(facts, before, fit, 2e-5, settings)

    return found


@pytest.mark.parametrize(
    ("name", "then", "now", "severity"),
    [
        ("detector_distance", 500.0, 501.0, MISALIGNED),  # mm
        ("detector_distance", 0.5, 0.501, MISALIGNED),  # m
        ("detector_distance", 50.0, 50.1, MISALIGNED),  # cm
        ("detector_distance", 5e5, 5.01e5, MISALIGNED),  # um
        ("detector_distance", 500.0, 500.5, MISALIGNED),  # half of it, and the error
        ("detector_distance", 500.0, 499.0, SUSPECT),  # the rings say the opposite
        ("detector_distance", 500.0, 500.006, SUSPECT),  # 11 ppm
        ("detector_distance", 500.0, 510.0, SUSPECT),  # ten times too much
        ("hexapod_z", 500.0, 501.0, MISALIGNED),  # anything that is listed
        ("stage_z", 0.0, 1.0, MISALIGNED),  # its zero is anywhere: mm
        ("stage_z", 20.0, 19.0, MISALIGNED),
        ("stage_z", 20.0, 20.2, SUSPECT),
        ("mono_energy", 74.5, 74.351, MISALIGNED),  # keV
        ("mono_energy", 74500.0, 74351.0, MISALIGNED),  # eV
        ("mono_energy", 74.5, 74.649, SUSPECT),
        ("mono_bragg", 1.52, 1.523, MISALIGNED),  # an angle
        ("mono_bragg", 1.52, 1.5201, SUSPECT),
        ("wavelength", 0.16642, 0.16675, MISALIGNED),
        ("wavelength", 0.16642, 0.16609, SUSPECT),
    ],
)
def test_a_readback_explains_what_it_makes_rings_do(cause, name, then, now, severity):
    assert cause(2000.0, {name: then}, {name: now})[0] is severity


def test_a_readback_that_contradicts_is_told(cause):
    then, now = {"detector_distance": 500.0}, {"detector_distance": 501.0}
    severity, why = cause(-2000.0, then, now)
    assert severity is SUSPECT
    assert why == (
        "no readback explains it; detector_distance changed from 500 to 501, which "
        "would make rings grow by 2000 ppm"
    )


def test_a_jitter_hides_no_temperature(cause):
    then = {"detector_distance": 500.0, "temperature": 300.0}
    now = {"detector_distance": 500.006, "temperature": 420.0}
    severity, why = cause(-2000.0, then, now, keys=("detector_distance",))
    assert severity is Severity.INFORMATION
    assert "temperature changed" in why
    assert "distance" not in why


def test_a_geometry_that_nobody_told_leaves_a_reading_its_sign(cause):
    then, nan = {"detector_distance": 1000.0}, float("nan")
    grown, shrunk = {"detector_distance": 1002.0}, {"detector_distance": 998.0}
    assert cause(2000.0, then, grown, distance=nan)[0] is MISALIGNED
    assert cause(2000.0, then, shrunk, distance=nan)[0] is SUSPECT


INFORMATION = Severity.INFORMATION


@pytest.mark.parametrize(
    ("ppm", "warmer", "severity"),
    [
        (-600.0, 50.0, INFORMATION),  # aluminium has 23 ppm/K, ceramics 5 to 10
        (-4900.0, 50.0, INFORMATION),
        (450.0, 50.0, INFORMATION),  # ZrW2O8 shrinks by 9 ppm/K when warmed
        (4900.0, -50.0, INFORMATION),
        (-900.0, -50.0, INFORMATION),
        (-150.0, 1.5, INFORMATION),
        (-200.0, 1.5, INFORMATION),  # within three times 20 ppm, the rings' own error
        (-300.0, 1.5, SUSPECT),
        (-6000.0, 50.0, SUSPECT),
        (2000.0, 50.0, SUSPECT),
        (-2000.0, -50.0, SUSPECT),
        (-90.0, 0.9, SUSPECT),  # less than the tolerance
        (-90.0, float("nan"), SUSPECT),
    ],
)
def test_a_temperature_explains_what_solids_do(cause, ppm, warmer, severity):
    then, now = {"temperature": 300.0}, {"temperature": 300.0 + warmer}
    found, why = cause(ppm, then, now, keys=())
    assert found is severity
    assert ("no readback explains it" in why) == (severity is SUSPECT)


def test_a_temperature_that_explains_too_little_is_told(cause):
    then, now = {"oven_temperature": 300.0}, {"oven_temperature": 350.0}
    assert cause(2000.0, then, now, keys=())[1] == (
        "no readback explains it; oven_temperature changed by +50.0 K, which would "
        "make rings grow by at most 1000 ppm"
    )
    assert cause(-6000.0, then, now, keys=())[1].endswith("shrink by at most 5000 ppm")
    # A transition within that interval changes the shape as well.
    assert cause(2000.0, then, now, keys=(), apart=0.3)[0] is INFORMATION


@pytest.mark.parametrize("name", ["detector_temperature", "det_temperature"])
def test_a_detector_that_warms_up_is_no_sample(cause, name):
    then, now = {name: 300.0}, {name: 310.0}
    assert cause(-500.0, then, now, keys=()) == (SUSPECT, "no readback explains it")
    found = cause(-500.0, then, now, keys=(), temperature_key=name)
    assert found == (INFORMATION, f"{name} changed by +10.0 K")
