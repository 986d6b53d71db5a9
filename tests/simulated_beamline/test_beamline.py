"""The beamline as a user runs it: darks, grid, fly, motors, truth, the demo's story."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filter)
import numpy as np
import pytest
from ophyd.utils import ReadOnlyError

from ringwatch.simulated_beamline.beamline import STYLES, Beamline
from ringwatch.simulated_beamline.faults import BeamLost, Dropped, Saturated
from ringwatch.simulated_beamline.frame_file import FRAME_NUMBERS, FRAMES
from ringwatch.simulated_beamline.scans import grid
from ringwatch.simulated_beamline.scenarios import FurnaceRamp, powder_beamline


def build(folder: Path, **options: Any) -> Beamline:
    options = {"detector": 128, "exposure_time": 0.01, **options}
    return powder_beamline(folder, options.pop("sample", "CeO2"), **options)


def stored(resource: dict[str, Any], name: str = FRAMES) -> np.ndarray:
    path = resource["uri"].removeprefix("file://localhost")
    with h5py.File(path) as file:
        return np.asarray(file[name])


@pytest.mark.parametrize("style", STYLES)
def test_step_scan_with_darks_tells_the_truth_apart(
    style: str, tmp_path: Path, recorded: Any
) -> None:
    line = build(tmp_path, style=style, faults=[BeamLost(first=1, last=1)])
    recorded.run(line.step_scan(4, darks=2))
    names = [d["name"] for d in recorded.all("descriptor")]
    assert sorted(names) == ["dark", "primary", "truth"]
    assert len(recorded.events("dark")) == 2
    assert len(recorded.events("primary")) == 4
    assert recorded.data("truth", "truth_light") == [0, 0, 1, 1, 1, 1]
    assert recorded.data("truth", "truth_index") == [0, 1, 0, 1, 2, 3]
    assert recorded.data("truth", "truth_fault") == ["", "", "", "no_beam", "", ""]
    assert set(recorded.data("truth", "truth_phase")) == {"CeO2"}
    i0 = recorded.data("primary", "i0")
    assert i0[1] < 1e-3 * i0[0]
    # Nothing outside its stream tells the truth.
    for descriptor in recorded.all("descriptor"):
        told = [key for key in descriptor["data_keys"] if "truth" in key]
        assert bool(told) == (descriptor["name"] == "truth")
    assert "truth" not in str(recorded.all("start"))
    assert line.shutter.position == 1
    # A file serves one stream only.
    resources = recorded.all("resource") + recorded.all("stream_resource")
    assert len({r["uid"] for r in resources}) == (0 if style == "inline" else 2)


def test_the_files_hold_dark_and_light_frames(tmp_path: Path, recorded: Any) -> None:
    line = build(tmp_path, faults=[Dropped(first=2, last=2)])
    recorded.run(line.step_scan(3, darks=2))
    dark, light = recorded.all("stream_resource")
    assert stored(dark).mean() < 1 < 10 < stored(light).mean()
    np.testing.assert_array_equal(stored(dark, FRAME_NUMBERS), [0, 1])
    np.testing.assert_array_equal(stored(light, FRAME_NUMBERS), [0, 1, 3])
    assert recorded.data("primary", "detector_frame_number") == [0, 1, 3]


def test_a_separate_dark_run_is_referred_to(tmp_path: Path, recorded: Any) -> None:
    line = build(tmp_path)
    dark = recorded.run(line.dark_run(2))
    recorded.run(line.step_scan(2, md={"sc_dk_field_uid": dark}))
    first, second = recorded.all("start")
    assert first["uid"] == second["sc_dk_field_uid"] == dark
    assert first["dark_frame"] is True
    assert "dark_frame" not in second
    assert stored(recorded.all("stream_resource")[0]).mean() < 1
    assert recorded.data("truth", "truth_light") == [1, 1]


def test_fly_with_darks_and_truth(tmp_path: Path, recorded: Any) -> None:
    line = build(tmp_path, faults=[Saturated(first=5, last=6)])
    recorded.run(line.fly(12, darks=2))
    assert recorded.events("primary") == []
    announced = recorded.stream_datums("primary")
    assert [announced[0]["indices"]["start"], announced[-1]["indices"]["stop"]] == [
        0,
        12,
    ]
    faults = recorded.data("truth", "truth_fault")
    assert [i for i, fault in enumerate(faults) if fault == "saturated"] == [7, 8]
    frames = stored(recorded.all("stream_resource")[1])
    assert np.flatnonzero((frames == 65534).any(axis=(1, 2))).tolist() == [5, 6]


def test_a_detector_that_cannot_fly(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="build it as 'stream'"):
        build(tmp_path, style="datum").fly(3)
    with pytest.raises(ValueError, match="No style 'telegram'"):
        build(tmp_path, style="telegram")


def test_a_pause_keeps_frames_and_truths_together(
    tmp_path: Path, recorded: Any, interrupted: Any
) -> None:
    line = build(tmp_path, faults=[BeamLost(first=3, last=3)])
    interrupted(line.step_scan(4), line.detector, 3)
    frames = stored(recorded.all("stream_resource")[0])
    assert len(frames) == 5
    assert recorded.data("truth", "truth_index") == [0, 1, 2, 3, 4]
    dark = [i for i, frame in enumerate(frames) if frame.mean() < 1]
    assert dark == [3]
    assert recorded.data("truth", "truth_fault").index("no_beam") == 3
    assert [e["seq_num"] for e in recorded.events("primary")] == [1, 2, 3, 4]


def test_grid_of_motors_moves_sample_and_detector(
    tmp_path: Path, recorded: Any
) -> None:
    line = build(tmp_path, counts=1e6, background=0.1)
    axes = [(line.sample_y, [0.0, 0.49]), (line.detector_x, [0.0, 3.2])]
    recorded.run(grid(line.detector, axes, [line.i0], truth=line.truth))
    assert recorded.data("primary", "sample_y") == [0.0, 0.0, 0.49, 0.49]
    assert recorded.data("primary", "detector_x") == [0.0, 3.2, 0.0, 3.2]
    frames = stored(recorded.all("stream_resource")[0]).astype(float)
    assert frames[2].sum() < 0.4 * frames[0].sum()
    centers = recorded.data("truth", "truth_center_x_px")
    # 3.2 mm are two pixels of 1.6 mm; the detector goes right, the rings go left.
    np.testing.assert_allclose(np.subtract(centers, centers[0]), [0, -2, 0, -2])
    moved = np.roll(frames[1], 2, axis=1)[:, 10:-10] - frames[0][:, 10:-10]
    still = frames[1][:, 10:-10] - frames[0][:, 10:-10]
    assert np.abs(moved).mean() < 0.5 * np.abs(still).mean()


@pytest.mark.parametrize("number", [float, np.float64, np.float32, np.int64])
def test_motors_go_where_numbers_of_any_kind_say(
    tmp_path: Path, recorded: Any, number: Any
) -> None:
    """As plans make them with numpy; the documents hold plain ones."""
    line = build(tmp_path)
    steps = [
        {line.furnace: number(kelvin), line.detector_x: number(2)}
        for kelvin in np.linspace(320.0, 380.0, 3).tolist()
    ]
    recorded.run(line.step_scan(steps))
    assert len(recorded.events("truth")) == 3
    for event in recorded.events("truth"):
        for key, value in event["data"].items():
            assert type(value) in (int, float, str, list), key
    (keys,) = (
        d["data_keys"] for d in recorded.all("descriptor") if d["name"] == "truth"
    )
    assert keys["truth_temperature"]["dtype"] == "number"
    assert keys["truth_temperature"]["dtype_numpy"] == "<f8"


def test_same_seed_same_files(tmp_path: Path, recorded: Any) -> None:
    for seed in (3, 3, 4):
        recorded.run(build(tmp_path, seed=seed).step_scan(2))
    one, same, other = (stored(r) for r in recorded.all("stream_resource"))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_readings_are_read_only_or_explain_themselves(tmp_path: Path) -> None:
    line = build(tmp_path)
    with pytest.raises(ReadOnlyError, match="counts photons"):
        line.i0.put(3.0)
    with pytest.raises(RuntimeError, match="expose one first"):
        line.truth.trigger()
    with pytest.raises(RuntimeError, match="nothing to read"):
        line.truth.read()


@pytest.fixture(scope="module")
def ramp() -> FurnaceRamp:
    return FurnaceRamp(frames=20, side=256, exposure_time=0.005, darks=1)


def test_the_story_of_the_furnace_ramp(
    ramp: FurnaceRamp, tmp_path: Path, recorded: Any
) -> None:
    line = ramp.beamline(tmp_path)
    recorded.run(ramp.plan(line))
    faults = recorded.data("truth", "truth_fault")[1:]
    told = {i: fault for i, fault in enumerate(faults) if fault}
    assert told == dict(ramp.expected_flags())
    assert set(told.values()) == {"no_beam", "saturated", "beam_center"}
    kelvin = recorded.data("primary", "furnace_temperature")
    np.testing.assert_allclose(kelvin, np.linspace(363.0, 423.0, 20))
    sample = np.array(recorded.data("truth", "truth_temperature")[1:])
    assert (sample[1:] < kelvin[1:]).all()  # it lags
    phases = recorded.data("truth", "truth_phase")[1:]
    assert (phases[0], phases[-1]) == ("BaTiO3 tetragonal", "BaTiO3 cubic")
    expected = ["BaTiO3 cubic" if t > 393.0 else "BaTiO3 tetragonal" for t in sample]
    assert phases == expected
    frames = stored(recorded.all("stream_resource")[1])
    saturated = np.flatnonzero((frames >= 65534).any(axis=(1, 2)))
    assert [told[i] for i in saturated] == ["saturated"]
    assert [told.get(i) for i in np.flatnonzero(frames.mean(axis=(1, 2)) < 1)] == [
        "no_beam"
    ] * 2


def test_a_ramp_needs_room_for_its_story() -> None:
    with pytest.raises(ValueError, match="expected 20 or more"):
        FurnaceRamp(frames=10)
