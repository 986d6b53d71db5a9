"""hot_pixels, zingers, spots: told from each other, from grains and from noise."""

from __future__ import annotations

from dataclasses import replace

import fabio
import numpy as np
import pytest

from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.look import look_at
from ringwatch.agent.quality.readout.outliers import OutlierHistory, judge_spots
from ringwatch.simulated_beamline.readout_faults import HotPixels, Zingers

SETTINGS = replace(QualitySettings(), spot_tolerance=0.01)
RAISED, CLEAR = FlagState.RAISED, FlagState.CLEAR


def seen_in(facts, binning):
    if not binning.has_geometry:
        return Seen(profiles=None, rings=None)
    return look_at(facts, binning)


@pytest.fixture
def watch(facts, binning):
    """Judge frames of one run in turn: hot pixels, zingers, spots of each."""
    history = OutlierHistory()

    def watched(frame, index=0, where=binning):
        found = facts(frame, where, index=index)
        seen = seen_in(found, where)
        return (
            *history.judge(found, seen, SETTINGS),
            judge_spots(found, seen, SETTINGS),
        )

    return watched


@pytest.mark.parametrize("counts", [1e3, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("texture", [0.0, 0.8])
def test_clean_and_textured_frames_stay_clear(watch, rings, rng, counts, texture):
    mean = rings.mean(counts=counts, texture=texture)
    for index in range(4):
        hot, zingers, spots = watch(rng.poisson(mean).astype(np.uint32), index)
        assert zingers.state is CLEAR
        assert spots.state is CLEAR
        assert hot.state is (CLEAR if index else FlagState.NOT_EVALUATED)


@pytest.mark.parametrize("counts", [1e4, 1e6])
def test_zingers_are_other_pixels_each_time(watch, rings, rng, counts):
    fault = Zingers(first=0, count=100, value=1000)
    for index in range(6):
        frame = rng.poisson(rings.mean(counts=counts)).astype(np.uint32)
        hot, zingers, _ = watch(fault.corrupt(frame, None, rng), index)
        assert zingers.state is RAISED
        assert zingers.value == pytest.approx(100, abs=6)
        assert hot.state is not RAISED
        assert zingers.further["zinger_share"] == pytest.approx(
            1e5 / (1e5 + counts), rel=0.1
        )


@pytest.mark.parametrize(("count", "value"), [(300, 30), (600, 10), (1000, 100)])
def test_zingers_of_a_dim_frame_do_not_hide_behind_their_scatter(
    watch, rings, rng, count, value
):
    """With one in nearly every ring, whole rings say nothing of counting noise."""
    fault = Zingers(first=0, count=count, value=value)
    for index in range(3):
        frame = rng.poisson(rings.mean(counts=1e4)).astype(np.uint32)
        _, zingers, _ = watch(fault.corrupt(frame, None, rng), index)
        assert zingers.state is RAISED
        assert zingers.value == pytest.approx(count, rel=0.1)


@pytest.mark.parametrize("counts", [1e4, 1e5])
def test_photons_of_many_counts_are_no_zingers(watch, rings, rng, counts):
    """An integrating detector of 20 counts a photon: no pixel holds less."""
    for index in range(3):
        photons = rng.poisson(rings.mean(counts=counts / 20))
        _, zingers, _ = watch((20 * photons).astype(np.uint32), index)
        assert zingers.state is CLEAR


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("count", [1, 200])
def test_hot_pixels_stay(watch, rings, rng, first, count):
    fault = HotPixels(first=first, count=count, value=5000)
    for index in range(first + 7):
        frame = rng.poisson(rings.mean(counts=1e6)).astype(np.uint32)
        if index >= first:
            frame = fault.corrupt(frame, None, rng)
        hot, zingers, _ = watch(frame, index)
        if index > first:
            assert zingers.state is CLEAR
        if index >= first + (3 if count == 1 else 1):
            assert hot.state is RAISED
            assert hot.value == pytest.approx(count, rel=0.02)
        elif index:
            assert hot.state is CLEAR


def test_a_first_frame_does_not_say_which_of_the_two(watch, rings, rng):
    """One frame tells no hot pixel from a zinger, so its sentence claims neither."""
    fault = HotPixels(first=0, count=200, value=5000)
    said = []
    for index in range(2):
        frame = rng.poisson(rings.mean(counts=1e6)).astype(np.uint32)
        frame = fault.corrupt(frame, None, rng)
        if index == 1:
            for at in rng.integers(20, 490, (100, 2)):
                frame[tuple(at)] += 5000
        hot, zingers, _ = watch(frame, index)
        assert zingers.state is RAISED
        said.append(zingers.sentence)
    assert "lone bright pixels hold" in said[0]
    assert "zingers or hot pixels" in said[0]
    assert "median" not in said[0]
    assert "zingers hold" in said[1]
    assert "hot pixels hold" in hot.sentence


def test_a_faint_zinger_in_a_bright_frame_does_not_matter(watch, rings, rng):
    frame = rng.poisson(rings.mean(counts=1e8)).astype(np.uint32)
    frame[40, 40] += 900
    assert watch(frame)[1].state is CLEAR


def test_spots_of_a_single_crystal_amid_a_powder(watch, rings, rng):
    mean = rings.mean(counts=1e6)
    y, x = np.indices(mean.shape)
    for angle in (0.3, 1.9, 3.1, 4.4):
        for radius in (90, 150, 200):
            at = 256 + radius * np.sin(angle), 256 + radius * np.cos(angle)
            distance = np.hypot(y - at[0], x - at[1])
            mean += 400 * np.exp(-((distance / 1.5) ** 2))
    hot, zingers, spots = watch(rng.poisson(mean).astype(np.uint32))
    assert spots.state is RAISED
    assert spots.further["spots"] == pytest.approx(12, abs=3)
    assert zingers.state is not RAISED
    assert hot.state is not RAISED
    assert "spots hold" in spots.sentence


@pytest.mark.parametrize("shift", [0.5, 2.0, 8.0])
def test_a_displaced_ring_is_no_spot(watch, rings, rng, shift):
    mean = rings.mean(counts=1e7, dx=shift, dy=0.5 * shift)
    assert watch(rng.poisson(mean).astype(np.uint32))[2].state is CLEAR


def test_a_coarse_powder_is_no_spot(watch, rings, rng):
    """Grains scatter all rings alike: some ten in each cell of a ring."""
    plain = rings.mean(counts=1e7)
    flat = rings.mean(counts=1e7, lines=())
    smooth = 0.2 * flat
    ringed = np.clip(plain - smooth, 0, None)
    grains = rng.gamma(0.25, 4.0, plain.shape)
    frame = rng.poisson(smooth + ringed * grains).astype(np.uint32)
    _, zingers, spots = watch(frame)
    assert spots.state is CLEAR
    assert zingers.state is not RAISED


def test_without_geometry_single_pixels_are_not_judged(watch, rings, rng):
    tiles = Binning.without_geometry((512, 512))
    frame = rng.poisson(rings.mean()).astype(np.uint32)
    hot, zingers, spots = watch(frame, where=tiles)
    assert hot.state is zingers.state is FlagState.NOT_EVALUATED
    assert spots.state is CLEAR


@pytest.mark.parametrize(
    ("name", "poni", "state"),
    [
        ("CeO2_Pilatus1M.cbf.gz", "CeO2_Pilatus1M", CLEAR),
        ("CeO2_Pilatus2M_61keV.cbf", "CeO2_Pilatus2M_61keV", CLEAR),
        ("Fe3O4C_M1_map_1_P1_E1_001.cbf.gz", "Fe3O4C_M1_map", RAISED),
        ("Fe3O4C_M1_map_2_P1_E1_001.cbf.gz", "Fe3O4C_M1_map", RAISED),
        ("Fe3O4C_M1_map_3_P1_E1_001.cbf.gz", "Fe3O4C_M1_map", RAISED),
        ("Fe3O4C_M1_map_6_P1_E1_001.cbf.gz", "Fe3O4C_M1_map", RAISED),
        ("ruby_single_crystals_Dexela.cbf.gz", "", RAISED),
        ("AgBehenate_003.cbf.gz", "", CLEAR),
        ("CeO2_PI_CCD_Mo.cbf", "", CLEAR),
        ("CeO2_Pilatus1M.cbf.gz", "", CLEAR),
    ],
)
def test_spots_on_measured_frames(shared_data, watch, name, poni, state):
    with fabio.open(str(shared_data / "frames" / name)) as image:
        frame = np.asarray(image.data)
    where = Binning.without_geometry(frame.shape)
    if poni:
        geometry = load_geometry(shared_data / "frames" / f"{poni}.poni")
        where = Binning.from_geometry(geometry, frame.shape)
    _, zingers, spots = watch(frame, where=where)
    assert spots.state is state
    assert zingers.state is not RAISED
