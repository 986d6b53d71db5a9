"""Wrong darks, and geometries that contradict the readbacks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.cakes import DarkMatch
from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality import FrameFacts, QualitySettings
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.findings import Finding
from ringwatch.agent.quality.look import look_at
from ringwatch.agent.quality.readout.metadata import judge_stale_calibration

Frame = NDArray[Any]
RAISED, CLEAR = FlagState.RAISED, FlagState.CLEAR
PER_PIXEL = 20.0  # dark counts
Draw = Callable[..., tuple[FrameFacts, Seen]]


def dark_of(seed: int, side: int) -> Frame:
    """Expected dark counts: 15 % from pixel to pixel, columns 5 %."""
    rng = np.random.default_rng(seed)
    pixels = 1 + 0.15 * rng.standard_normal((side, side))
    columns = 1 + 0.05 * rng.standard_normal(side)
    return PER_PIXEL * np.clip(pixels * columns, 0.2, None)


@pytest.fixture
def draw(
    rings: Any,
    binning: Binning,
    facts: Callable[..., FrameFacts],
    rng: np.random.Generator,
) -> Draw:
    """A frame with light and dark counts, from which ``wrong(dark, light)`` is taken.

    ``match`` replaces what the reduction says of the pattern of the dark.
    """

    def drawn(
        wrong: Callable[[Frame, Frame], Frame] = lambda dark, light: dark,
        counts: float = 1e6,
        match: DarkMatch | None = None,
        **readbacks: float,
    ) -> tuple[FrameFacts, Seen]:
        light, dark = rings.mean(counts=counts), dark_of(1, binning.shape[0])
        frame = rng.poisson(light + dark).astype(np.uint32)
        taken = [rng.poisson(wrong(dark, light)).astype(np.uint32) for _ in range(4)]
        told = facts(frame, binning, dark=taken, **readbacks)
        told = replace(told, cake=replace(told.cake, dark_match=match))
        return told, look_at(told, binning)

    return drawn


def judged(
    looked: tuple[FrameFacts, Seen],
    settings: QualitySettings | None = None,
    **told: float,
) -> Finding:
    facts, seen = looked
    facts = replace(facts, **told)
    finding = judge_stale_calibration(facts, seen, settings or QualitySettings())
    assert finding.flag is Flag.STALE_CALIBRATION
    return finding


def test_the_right_dark_is_clear(draw: Draw) -> None:
    for counts in (0.0, 1e4, 1e6, 1e6, 1e8):
        finding = judged(draw(counts=counts), dark_age_s=60.0)
        assert finding.state is CLEAR, finding.sentence
        assert finding.value == 60.0


def test_a_dark_that_takes_away_too_much(draw: Draw) -> None:
    for _ in range(3):
        finding = judged(draw(lambda dark, light: 2 * dark))
        assert finding.state is RAISED
        assert "than there is" in finding.sentence
        assert finding.z < -20


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_light_in_the_dark(draw: Draw, share: float) -> None:
    for _ in range(2):
        finding = judged(draw(lambda dark, light: dark + share * light))
        assert finding.state is RAISED
        assert "holds rings" in finding.sentence
        net = share / (1 - share)
        assert f"{net:.0%}"[:-1] in finding.sentence or net > 0.09


def test_numbers_that_are_none_prove_nothing(draw: Draw) -> None:
    facts, seen = draw()
    assert seen.profiles is not None
    blind = replace(seen.profiles, mean=np.full_like(seen.profiles.mean, math.nan))
    finding = judged((facts, Seen(profiles=blind, rings=seen.rings)))
    assert finding.state is FlagState.NOT_EVALUATED


def test_a_dark_that_drifted_by_two_per_cent_is_clear(draw: Draw) -> None:
    for factor in (0.98, 1.02):
        finding = judged(draw(lambda dark, light, f=factor: f * dark))
        assert finding.state is CLEAR, finding.sentence


@pytest.mark.parametrize(
    ("slope", "sigma", "state"),
    [
        (1.0, 0.01, CLEAR),
        (2.0, 0.05, RAISED),  # half the exposure
        (0.5, 0.05, RAISED),
        (0.0, 0.02, RAISED),  # another detector
        (1.08, 0.001, CLEAR),  # sure, but it does not matter
        (2.0, 0.5, CLEAR),  # not sure
        (7.0, math.inf, FlagState.NOT_EVALUATED),  # a dark without structure
        (math.nan, math.nan, FlagState.NOT_EVALUATED),
    ],
)
def test_strength_of_the_darks_own_pattern(
    draw: Draw, slope: float, sigma: float, state: FlagState
) -> None:
    finding = judged(draw(match=DarkMatch(slope=slope, sigma=sigma)))
    assert finding.state is state
    assert finding.further["dark_scale"] == pytest.approx(slope, nan_ok=True)


def test_a_dark_without_a_pattern_says_so_and_is_still_held_to_its_age(
    draw: Draw,
) -> None:
    looked = draw(match=DarkMatch(slope=math.nan, sigma=math.inf))
    finding = judged(looked, dark_age_s=60.0)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "no pattern by which a wrong one could be recognised" in finding.sentence
    assert finding.further["dark_age_s"] == 60.0
    assert judged(looked, dark_age_s=13 * 3600.0).state is RAISED


@pytest.mark.parametrize(
    "told",
    [{"dark_age_s": 13 * 3600.0}, {"dark_age_s": -13 * 3600.0}, {"dark_exposure_s": 2}],
)
def test_metadata_of_the_dark(draw: Draw, told: dict[str, float]) -> None:
    looked = draw(exposure_time=1.0)
    assert judged(looked, dark_age_s=3600.0, dark_exposure_s=1.0001).state is CLEAR
    finding = judged(looked, **told)
    assert finding.state is RAISED
    assert "take a" in finding.sentence


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("detector_distance", 0.2, CLEAR),
        ("detector_distance", 200.1, CLEAR),  # mm
        ("detector_distance", 204.0, RAISED),
        ("detector_distance", 0.195, RAISED),
        ("detector_distance", 20.0, FlagState.NOT_EVALUATED),  # cm? an offset? unknown
        ("detector_distance_setpoint", 202.0, FlagState.NOT_EVALUATED),
        ("mono_energy", 61.99, CLEAR),
        ("mono_energy", 61990.0, CLEAR),  # eV
        ("mono_energy", 63000.0, RAISED),
        ("eiger_threshold_energy", 35000.0, FlagState.NOT_EVALUATED),
        ("mono_energy", math.nan, FlagState.NOT_EVALUATED),
    ],
)
def test_readbacks_against_the_geometry(
    facts: Callable[..., FrameFacts],
    rings: Any,
    binning: Binning,
    name: str,
    value: float,
    state: FlagState,
) -> None:
    frame = np.full(binning.shape, 3, np.uint32)
    told = facts(frame, binning, **{name: value})
    looked = told, Seen(profiles=None, rings=None)
    finding = judged(looked, distance_m=0.2, energy_kev=61.99)
    assert finding.state is state, finding.sentence
    if state is RAISED:
        assert name in finding.sentence


def test_named_readback_may_be_called_anything(
    facts: Callable[..., FrameFacts], binning: Binning
) -> None:
    frame = np.full(binning.shape, 3, np.uint32)
    looked = facts(frame, binning, det_dist=203.0), Seen(profiles=None, rings=None)
    unnamed = judged(looked, distance_m=0.2)
    assert unnamed.state is FlagState.NOT_EVALUATED
    assert "readback" in unnamed.sentence
    settings = QualitySettings(geometry_keys=("det_dist",))
    assert judged(looked, settings, distance_m=0.2).state is RAISED
