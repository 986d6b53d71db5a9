"""``beamstop_leak``: blobs and streaks are found; scattering at small angles isn't."""

from __future__ import annotations

import fabio
import numpy as np
import pytest

from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality.azimuth.low_q import judge_beamstop_leak
from ringwatch.agent.quality.settings import QualitySettings

SETTINGS = QualitySettings()
STOP = 15.0  # radius of the beamstop's shadow, px


@pytest.fixture
def leak(compared):
    """Judge a frame, against the mean of others or alone."""

    def judged(frame, before=(), where=None):
        return judge_beamstop_leak(*compared(frame, before, where), SETTINGS)

    return judged


def polar(dx=0.0):
    """Radius in px and azimuth of the pixels, from ``dx`` beside the beam."""
    y, x = np.indices((512, 512)) - 255.5
    return np.hypot(x - dx, y), np.arctan2(y, x - dx)


@pytest.fixture
def stopped(rings):
    """Expected counts behind a beamstop."""
    return np.where(polar()[0] < STOP, 0.02, 1.0) * rings.mean()


def blob(image, share, dx=0.0, sigma=1.5):
    light = np.exp(-0.5 * (polar(dx)[0] / sigma) ** 2)
    return image + share * image.sum() / light.sum() * light


def streak(image, share, *, both=False):
    r, chi = polar()
    away = np.abs(chi - 0.5)
    if both:
        away = np.minimum(away, np.abs(chi - 0.5 + np.pi))
    light = np.exp(-0.5 * (away * r / 4) ** 2) * (r > STOP) / (r + 10)
    return image + share * image.sum() / light.sum() * light


@pytest.mark.parametrize("dx", [0.0, 8.0, 15.0])
@pytest.mark.parametrize("alone", [True, False])
def test_a_beam_that_passes_the_stop(leak, stopped, rng, dx, alone):
    before = [] if alone else [rng.poisson(stopped) for _ in range(3)]
    finding = leak(rng.poisson(blob(stopped, 0.03, dx)), before)
    assert finding.state is FlagState.RAISED
    assert finding.value == pytest.approx(0.03, rel=0.25)
    assert "beamstop" in finding.sentence


@pytest.mark.parametrize("alone", [True, False])
def test_a_leak_beside_a_masked_stop(leak, rings, rng, alone):
    mean = rings.mean()
    where = Binning.from_geometry(
        rings.geometry(), mean.shape, mask=polar()[0] <= 18, polarization=None
    )
    before = [] if alone else [rng.poisson(mean) for _ in range(3)]
    frame = rng.poisson(blob(mean, 0.05, 24.0, sigma=4.0))
    assert leak(frame, before, where).state is FlagState.RAISED


def test_a_weak_leak_is_tolerated(leak, stopped, rng):
    finding = leak(rng.poisson(blob(stopped, 0.005, 8.0)))
    assert finding.state is FlagState.CLEAR
    assert finding.value == pytest.approx(0.005, rel=0.3)


def test_a_beam_without_a_stop(leak, rings, rng):
    assert leak(rng.poisson(blob(rings.mean(), 0.05))).state is FlagState.RAISED


def test_a_streak_to_one_side(leak, stopped, rng):
    frame = rng.poisson(streak(stopped, 0.08))
    before = [rng.poisson(stopped) for _ in range(3)]
    assert leak(frame).state is FlagState.RAISED
    assert leak(frame, before).state is FlagState.RAISED


def test_a_streak_to_both_sides_may_be_the_sample(leak, stopped, rng):
    frame = rng.poisson(streak(stopped, 0.08, both=True))
    assert leak(frame).state is FlagState.CLEAR
    before = [rng.poisson(stopped) for _ in range(3)]
    assert leak(frame, before).state is FlagState.RAISED
    assert leak(frame, [frame] * 3).state is FlagState.CLEAR


def test_a_sample_that_scatters_at_small_angles(leak, rings, stopped, rng):
    r, chi = polar()
    pores = 3e4 / (1 + (r / 6) ** 2) ** 2
    oriented = pores * (0.2 + np.cos(chi) ** 8)
    before = [rng.poisson(rings.mean()) for _ in range(3)]
    behind = [rng.poisson(stopped) for _ in range(3)]
    for added in (pores, oriented):
        assert leak(rng.poisson(rings.mean() + added)).state is FlagState.CLEAR
        seen = np.where(r < STOP, 0.02, 1.0) * added
        assert leak(rng.poisson(stopped + seen)).state is FlagState.CLEAR
    assert leak(rng.poisson(rings.mean() + pores), before).state is FlagState.CLEAR
    seen = np.where(r < STOP, 0.02, 1.0) * pores
    assert leak(rng.poisson(stopped + seen), behind).state is FlagState.CLEAR


@pytest.mark.parametrize("counts", [1e4, 1e6, 1e8])
def test_dark_between_rings_is_no_beamstop(leak, rings, counts, rng):
    """Broad rings near the beam with next to nothing between them, as of a glass."""
    r, chi = polar()
    halo = 100 * np.exp(-0.5 * ((r - 28) / 5) ** 2)
    grains = 1 + 0.2 * np.cos(3 * chi)  # uneven as few grains are, brighter on one side
    valley = np.where((r > 50) & (r < 58), 0.1, 1.0)
    for light in (halo, halo * grains):
        image = (r > 12) * (light + valley)
        where = Binning.from_geometry(
            rings.geometry(), image.shape, mask=r <= 12, polarization=None
        )
        frame = rng.poisson(image * counts / image.sum())
        assert leak(frame, where=where).state is FlagState.CLEAR


def test_even_light_in_the_shadow_may_be_the_sample(leak, stopped, rng):
    """Behind a stop that lets some light pass; from the other side of it, a leak."""
    r, chi = polar()
    ring = np.exp(-0.5 * ((r - 10) / 1.5) ** 2)
    share = 0.05 * stopped.sum() / ring.sum()
    assert leak(rng.poisson(stopped + share * ring)).state is FlagState.CLEAR
    one_side = 5 * share * ring * (np.cos(chi) > 0.82)
    assert leak(rng.poisson(stopped + one_side)).state is FlagState.RAISED


@pytest.mark.parametrize("counts", [1e3, 1e5, 1e7])
def test_clean_frames_are_clear(leak, rings, rng, counts):
    stop = np.where(polar()[0] < STOP, 0.02, 1.0)
    for light in (rings.mean(counts=counts), stop * rings.mean(counts=counts)):
        before = [rng.poisson(light) for _ in range(3)]
        for _ in range(2):
            frame = rng.poisson(light)
            assert leak(frame).state is FlagState.CLEAR
            assert leak(frame, before).state is FlagState.CLEAR


def test_a_hot_pixel_is_no_leak(leak, stopped, rng):
    frame = rng.poisson(stopped)
    frame[262, 258] = 10**6
    assert leak(frame).state is FlagState.CLEAR


def test_an_off_centre_beam_is_no_leak(leak, rings, stopped, rng):
    assert leak(rng.poisson(rings.mean(dx=4.0))).state is FlagState.CLEAR
    moved = np.where(polar(4.0)[0] < STOP, 0.02, 1.0) * rings.mean()
    assert leak(rng.poisson(moved)).state is FlagState.CLEAR


def test_small_angles_must_be_seen(leak, rings, rng):
    far = type(rings)(beam=(-200.0, -200.0))
    finding = leak(rng.poisson(far.mean()), where=far.binning())
    assert finding.state is FlagState.NOT_EVALUATED
    assert "small angles" in finding.sentence


@pytest.mark.parametrize(
    ("name", "poni"),
    [
        ("CeO2_Pilatus1M.cbf.gz", "CeO2_Pilatus1M.poni"),
        ("CeO2_Pilatus2M_61keV.cbf", "CeO2_Pilatus2M_61keV.poni"),
        ("Fe3O4C_M1_map_1_P1_E1_001.cbf.gz", "Fe3O4C_M1_map.poni"),
        ("Fe3O4C_M1_map_3_P1_E1_001.cbf.gz", "Fe3O4C_M1_map.poni"),
    ],
)
def test_measured_frames_have_no_leak(shared_data, leak, name, poni):
    folder = shared_data / "frames"
    frame = fabio.open(str(folder / name)).data
    where = Binning.from_geometry(load_geometry(folder / poni), frame.shape)
    finding = leak(frame, where=where)
    assert finding.state is FlagState.CLEAR
    assert finding.value < 1e-3


def test_a_new_sample_whose_bright_rings_leave_it_dark_between(leak, rng):
    r = polar()[0]
    behind = np.where(r < STOP, 0.02, 1.0)
    sharp = 2e3 * np.exp(-r / 15.0) * np.cos(np.pi * r / 14.0) ** 2
    before = [rng.poisson(behind * 3.0) for _ in range(3)]
    frame = rng.poisson(behind * (1.0 + sharp))
    finding = leak(frame, before)
    assert finding.state is FlagState.CLEAR
    assert leak(frame).state is FlagState.CLEAR
