"""``shadow``: the depth of what was cut out comes back; even patterns don't raise."""

from __future__ import annotations

import fabio
import numpy as np
import pytest

from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality.azimuth.shadow import judge_shadow
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.settings import QualitySettings

SETTINGS = QualitySettings()


@pytest.fixture
def shadow(compared):
    """Judge a frame, against the mean of others or alone."""

    def judged(frame, before=(), where=None):
        _, seen, reference = compared(frame, before, where)
        return judge_shadow(seen, reference, SETTINGS)

    return judged


def polar(beam=(256.0, 256.0)):
    """Radius in px and azimuth in degrees of the pixels."""
    y, x = np.indices((512, 512)) + 0.5
    return np.hypot(x - beam[0], y - beam[1]), np.degrees(
        np.arctan2(y - beam[1], x - beam[0])
    )


def shaded(image, start, width, depth, beyond=0.0, beam=(256.0, 256.0)):
    r, chi = polar(beam)
    inside = ((chi - start) % 360 < width) & (r >= beyond)
    return np.where(inside, 1 - depth, 1.0) * image


@pytest.mark.parametrize(
    ("width", "depth"), [(12, 1.0), (25, 0.3), (50, 0.1), (90, 0.5)]
)
def test_a_shadow_that_falls_during_the_run(shadow, rings, rng, width, depth):
    even = rings.mean()
    before = [rng.poisson(even) for _ in range(3)]
    finding = shadow(rng.poisson(shaded(even, 33, width, depth)), before)
    assert finding.state is FlagState.RAISED
    assert finding.value == pytest.approx(depth, rel=0.2)
    assert shadow(rng.poisson(even), before).state is FlagState.CLEAR


@pytest.mark.parametrize(("width", "depth"), [(45, 0.3), (90, 0.5), (12, 1.0)])
def test_a_shadow_from_the_first_frame_on(shadow, rings, rng, width, depth):
    finding = shadow(rng.poisson(shaded(rings.mean(), -100, width, depth)))
    assert finding.state is FlagState.RAISED
    assert finding.value == pytest.approx(depth, rel=0.2)
    assert "face" in finding.sentence


def test_a_shadow_of_the_outer_part(shadow, rings, rng):
    even = rings.mean()
    before = [rng.poisson(even) for _ in range(3)]
    finding = shadow(rng.poisson(shaded(even, 30, 45, 0.4, beyond=180)), before)
    assert finding.state is FlagState.RAISED
    assert finding.value == pytest.approx(0.4, rel=0.2)


def test_the_arm_of_a_beamstop_is_part_of_the_instrument(shadow, rings, rng):
    finding = shadow(rng.poisson(shaded(rings.mean(), 33, 12, 0.4)))
    assert finding.state is FlagState.CLEAR
    assert finding.value == pytest.approx(0.4, rel=0.2)


@pytest.mark.parametrize("counts", [1e6, 1e8])
def test_even_frames_are_clear(shadow, rings, rng, counts):
    before = [rng.poisson(rings.mean(counts=counts)) for _ in range(3)]
    for _ in range(3):
        frame = rng.poisson(rings.mean(counts=counts))
        for finding in (shadow(frame), shadow(frame, before)):
            assert finding.state is FlagState.CLEAR
            assert finding.z < 6


def test_what_could_hide_half_the_light_is_not_called_clear(shadow, rings, rng):
    finding = shadow(rng.poisson(rings.mean(counts=3e4)))
    assert finding.state is FlagState.NOT_EVALUATED
    assert "half the light" in finding.sentence


def test_what_is_smooth_is_no_shadow(shadow, rings, rng):
    r, chi = polar()
    even = rings.mean()
    before = [rng.poisson(even) for _ in range(3)]
    polarized = even * (1 - 0.9 * np.sin(np.arctan(r / 1000)) ** 2)
    tilted = even * (1 + 0.2 * np.cos(np.radians(chi)))
    for light in (polarized, tilted, rings.mean(texture=0.8), rings.mean(dx=4.0)):
        frame = rng.poisson(light)
        assert shadow(frame).state is FlagState.CLEAR
        assert shadow(frame, before).state is FlagState.CLEAR


def test_spots_that_move_are_no_shadow(shadow, rings, rng):
    def spotted():
        light = rings.mean()
        for y, x in rng.integers(5, 507, (60, 2)):
            light[y - 2 : y + 3, x - 2 : x + 3] += rng.exponential(3e3)
        return rng.poisson(light)

    before = [spotted() for _ in range(3)]
    for _ in range(4):
        frame = spotted()
        for finding in (shadow(frame), shadow(frame, before)):
            assert finding.state is not FlagState.RAISED


def test_a_quarter_of_a_detector_needs_a_reference(shadow, rings, rng):
    beam = (-20.0, -20.0)
    quarter = type(rings)(beam=beam)
    where, even = quarter.binning(), quarter.mean()
    frame = rng.poisson(shaded(even, 25, 15, 0.6, beam=beam))
    alone = shadow(frame, where=where)
    assert alone.state is FlagState.NOT_EVALUATED
    assert "reference" in alone.sentence
    before = [rng.poisson(even) for _ in range(3)]
    assert shadow(frame, before, where).state is FlagState.RAISED
    assert shadow(rng.poisson(even), before, where).state is FlagState.CLEAR


def test_without_geometry_there_is_no_azimuth():
    finding = judge_shadow(Seen(profiles=None, rings=None), None, SETTINGS)
    assert finding.state is FlagState.NOT_EVALUATED


@pytest.mark.parametrize(
    ("name", "poni", "arm"),
    [
        ("CeO2_Pilatus1M.cbf.gz", "CeO2_Pilatus1M.poni", (0.1, 0.2)),
        ("CeO2_Pilatus2M_61keV.cbf", "CeO2_Pilatus2M_61keV.poni", (0.05, 0.2)),
        ("Fe3O4C_M1_map_1_P1_E1_001.cbf.gz", "Fe3O4C_M1_map.poni", (0, 0.08)),
    ],
)
def test_measured_frames_have_arms_but_no_shadows(shared_data, shadow, name, poni, arm):
    folder = shared_data / "frames"
    frame = fabio.open(str(folder / name)).data
    where = Binning.from_geometry(load_geometry(folder / poni), frame.shape)
    finding = shadow(frame, where=where)
    assert finding.state is FlagState.CLEAR
    assert arm[0] < finding.value < arm[1]
    cell = where.cell.reshape(frame.shape) % 32
    dimmed = np.where((frame > 0) & (cell >= 20) & (cell < 24), frame * 6 // 10, frame)
    fell = shadow(dimmed, [frame] * 3, where)
    assert fell.state is FlagState.RAISED
    assert fell.value == pytest.approx(0.4, abs=0.03)
