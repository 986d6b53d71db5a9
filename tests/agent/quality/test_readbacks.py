"""Readbacks: found by whole words, and worth nothing where they are not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence as Ordered
from typing import Any

import numpy as np
import pytest

from ringwatch.agent.nouns import FlagState, FrameRef, Word
from ringwatch.agent.quality import QualityFold, QualitySettings
from ringwatch.agent.quality.facts import exposure, find_readback
from ringwatch.agent.quality.readout.history import Sequence
from ringwatch.agent.streams import readbacks_of

RAISED, CLEAR = FlagState.RAISED, FlagState.CLEAR
UNKNOWN = FlagState.NOT_EVALUATED


@pytest.mark.parametrize(
    "name", ["i0", "I0", "ring_i0", "scaler-I0", "bl:i0", "hutch.i0", "det1_i0"]
)
def test_a_monitor_is_found_by_its_whole_name(name: str) -> None:
    readbacks = {"a_phi0": 1.0, name: 2.0, "zeta": 3.0}
    assert find_readback(readbacks, None, suffixes=("i0",)) == name


@pytest.mark.parametrize(
    "name", ["pilatus_roi0", "phi0", "det_stats_chi0", "xi0", "2i0", "i0_mean"]
)
def test_other_names_that_end_so_are_no_monitor(name: str) -> None:
    assert find_readback({name: 1.0}, None, suffixes=("i0",)) is None
    assert find_readback({name: 1.0}, name, suffixes=("i0",)) == name


@pytest.mark.parametrize(
    "name",
    ["exposure_time", "det_cam_acquire_time", "det:acquire_time", "Det_Exposure_Time"],
)
def test_the_exposure_is_found_and_must_be_a_time(name: str) -> None:
    settings = QualitySettings()
    assert exposure({"theta": 9.0, name: 0.5}, settings) == 0.5
    for bad in (0.0, -1.0, math.nan, math.inf):
        assert exposure({name: bad}, settings) is None


def test_a_temperature_is_found_anywhere_in_a_name() -> None:
    for name in (
        "cryo_temperature",
        "temperature_sample",
        "LakeshoreTemperatureA",
        "sample_sensor_temperature",
        "monoclinic_temperature",
    ):
        assert find_readback({name: 1.0}, None, parts=("temperature",)) == name


@pytest.mark.parametrize(
    "name",
    [
        "detector_temperature",
        "det_temperature",
        "det1_cam_temperature_actual",
        "pilatus_cam_temperature",
        "DetectorTemperature",
        "roomTemperature",
        "hutchC_temperature",
        "temperature_ambient",
        "cabinet_temperature",
        "chiller_temperature",
        "cooling_water_temperature",
        "mono_crystal_temperature",
        "monochromator_temperature",
        "dcm_temperature",
        "camera_temperature",
        "sensor_temperature",
    ],
)
def test_a_temperature_of_something_else_is_not_the_samples(name: str) -> None:
    parts = ("temperature",)
    assert find_readback({name: 1.0}, None, parts=parts) is None
    assert find_readback({name: 1.0, "zz_temperature": 2.0}, None, parts=parts) == (
        "zz_temperature"
    )
    assert find_readback({name: 1.0}, name, parts=parts) == name  # the user says so


@pytest.mark.parametrize(
    "name",
    ["cryostream_temperature", "monoclinic_temperature", "detwinned_temperature"],
)
def test_a_word_within_a_word_takes_no_temperature_away(name: str) -> None:
    assert find_readback({name: 1.0}, None, parts=("temperature",)) == name


def test_the_samples_own_temperature_is_preferred() -> None:
    readbacks = {"furnace_temperature": 1.0, "sample_temperature": 2.0}
    assert find_readback(readbacks, None, parts=("temperature",)) == (
        "sample_temperature"
    )


def test_what_is_not_finite_enters_as_nan() -> None:
    data: dict[str, Any] = {
        "sound": np.float32(2.0),
        "many": 10**400,
        "shut": True,
        "over": math.inf,
        "under": np.float64(-np.inf),
        "nothing": math.nan,
        "name": "LaB6",
        "profile": [1.0, 2.0],
    }
    read = readbacks_of({"data": data})
    assert {k: v for k, v in read.items() if math.isfinite(v)} == {
        "sound": 2.0,
        "shut": 1.0,
    }
    assert all(math.isnan(read[k]) for k in ("many", "over", "under", "nothing"))
    assert len(read) == 6


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("numbers", "states", "missing"),
    [
        ((5, None, 7, 8), (CLEAR, UNKNOWN, CLEAR, CLEAR), {}),
        ((5, None, 9, 10), (CLEAR, UNKNOWN, RAISED, CLEAR), {2: 2.0}),
        ((None, 3, 4, 6), (UNKNOWN, CLEAR, CLEAR, RAISED), {3: 1.0}),
        ((5, None, None, 4), (CLEAR, UNKNOWN, UNKNOWN, RAISED), {3: -4.0}),
    ],
)
def test_a_number_that_is_none_hides_no_gap(
    lost: float,
    numbers: Ordered[int | None],
    states: tuple[FlagState, ...],
    missing: dict[int, float],
) -> None:
    sequence = Sequence()
    found = [
        sequence.judge(
            FrameRef.without_pixels(
                "run", i, {"image_frame_number": lost if n is None else float(n)}
            )
        )
        for i, n in enumerate(numbers)
    ]
    assert tuple(finding.state for finding in found) == states
    for index, count in missing.items():
        assert found[index].value == count
        assert str(abs(round(count))) in found[index].sentence


def test_a_clock_that_reads_nothing_once_is_still_followed() -> None:
    sequence = Sequence()
    found = [
        sequence.judge(
            FrameRef.without_pixels(
                "run", i, {"image_frame_number": float(i), "image_timestamp": time}
            )
        )
        for i, time in enumerate((10.0, math.nan, 9.0, math.inf, 9.5))
    ]
    assert [f.state is RAISED for f in found] == [False, False, True, False, False]
    assert "clock went back by 1 s" in found[2].sentence


@pytest.mark.parametrize(
    "exposures",
    [
        (0.02, 0.02, 0.02, 0.02, math.inf, math.nan, 0.02),
        (math.nan, 0.02, 0.02, 0.02, 0.02, math.nan),
    ],
)
def test_an_exposure_that_is_no_number_takes_no_light_away(
    rings: Any, binning: Any, facts: Any, rng: np.random.Generator, exposures: Any
) -> None:
    fold = QualityFold(QualitySettings(), binning)
    for index, seconds in enumerate(exposures):
        frame = rng.poisson(rings.mean()).astype(np.uint32)
        quality = fold.judge(
            facts(frame, binning, index=index, det_exposure_time=seconds)
        )
        assert quality.word is Word.GOOD, quality.reason
        if index > 2:
            assert quality.values["beam_fraction"] == pytest.approx(1.0, abs=0.01)
