"""Each fault does to the frame what its name says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.faults import (
    BeamLost,
    DetectorShift,
    DetectorTilt,
    DistanceChange,
    Dropped,
    Fault,
    I0Glitch,
    PixelFault,
    SampleLost,
    Saturated,
    ShutterClipped,
)
from ringwatch.simulated_beamline.geometry import Geometry, flat_panel
from ringwatch.simulated_beamline.readout_faults import (
    Duplicate,
    Flipped,
    HalfRead,
    HotPixels,
    NotANumber,
    Zingers,
)
from ringwatch.simulated_beamline.sample import Mixture

MODEL = flat_panel(256)
DARK = 20.0 * 0.05 * 256**2


class Series:
    """Four frames, with a fault from frame 2 on, and the same without."""

    def __init__(self, *faults: Fault, model: Any = MODEL) -> None:
        def exposed(faults: tuple[Fault, ...]) -> Experiment:
            geometry, sample = Geometry.centered(model), Mixture.pure("CeO2")
            return Experiment(geometry, sample, faults=faults, counts=5e6)

        self.experiment, plain = exposed(faults), exposed(())
        self.readouts, self.i0 = [], []
        for _ in range(4):
            self.readouts.append(self.experiment.read_out(0.05))
            self.i0.append(self.experiment.i0)
        self.frames = [r.pixels for r in self.readouts]
        self.plain = [plain.read_out(0.05).pixels for _ in range(4)]
        for index in (0, 1):
            np.testing.assert_array_equal(self.frames[index], self.plain[index])
        self.truths = self.experiment.truths

    def light(self, index: int) -> float:
        return float(self.frames[index].sum()) - DARK


FLAGS = {
    "no_beam", "beam_drop", "saturated", "i0_suspect", "no_sample", "beam_center",
    "tilt", "radial_scale", "sequence", "duplicate", "misread", "invalid_values",
    "hot_pixels", "zingers", "shadow", "beamstop_leak", "count_rate_loss", "ice",
    "amorphous_only", "mask_mismatch", "stale_calibration", "sample_displaced",
}  # fmt: skip


def test_each_fault_names_a_flag_and_the_truth_tells_it() -> None:
    kinds = [*Fault.__subclasses__(), *PixelFault.__subclasses__()]
    # A class of pixel faults as such names none; a benchmark may have its own.
    own = [k for k in kinds if k.__module__.startswith("ringwatch.simulated_beamline")]
    assert {kind.flag for kind in own if kind.__name__ != "PixelFault"} == FLAGS
    series = Series(BeamLost(first=2, last=2), I0Glitch(first=2))
    assert [t.faults for t in series.truths] == [
        (), (), ("no_beam", "i0_suspect"), ("i0_suspect",)
    ]  # fmt: skip


def test_beam_lost() -> None:
    series = Series(BeamLost(first=2, fraction=0.25), BeamLost(first=3))
    assert series.light(2) / series.light(1) == pytest.approx(0.25, abs=0.005)
    assert series.i0[2] / series.i0[1] == pytest.approx(0.25, abs=0.005)
    assert abs(series.light(3)) < 5 * DARK**0.5 + 0.01 * DARK
    assert series.i0[3] < 20
    assert series.truths[3].beam == 0.0


def test_shutter_clipped_is_not_seen_by_the_monitor() -> None:
    series = Series(ShutterClipped(first=2, fraction=0.5))
    assert series.light(2) / series.light(1) == pytest.approx(0.5, abs=0.01)
    assert series.i0[2] / series.i0[1] == pytest.approx(1.0, abs=0.01)


def test_i0_glitch_is_not_seen_by_the_detector() -> None:
    series = Series(I0Glitch(first=2, factor=0.5))
    np.testing.assert_array_equal(series.frames[2], series.plain[2])
    assert series.i0[2] / series.i0[1] == pytest.approx(0.5, abs=0.01)


def test_saturated() -> None:
    series = Series(Saturated(first=2, last=2, factor=1000.0))
    assert series.frames[1].max() < 65534
    assert series.frames[2].max() == 65534
    assert (series.frames[2] == 65534).sum() > 100
    np.testing.assert_array_equal(series.frames[3], series.plain[3])


def test_sample_lost_leaves_the_background() -> None:
    series = Series(SampleLost(first=2))
    assert series.light(2) / series.light(1) == pytest.approx(0.4, abs=0.01)
    assert series.frames[2].max() < 0.5 * series.frames[1].max()


def centre_of(series: Series, index: int) -> np.ndarray:
    """Centre (x, y) from the strongest ring alone, as an observer finds it."""
    q = series.experiment.geometry.integrator().center_array(unit="q_A^-1")
    y, x = np.mgrid[0:256, 0:256] + 0.5
    x0, y0 = series.experiment.geometry.center_px
    ring = np.abs(q - 2.011) < 0.25
    chi = np.arctan2(y - y0, x - x0)[ring]
    radius = np.hypot(y - y0, x - x0)[ring]
    weight = series.frames[index][ring].astype(float)
    sectors = ((chi + np.pi) / (2 * np.pi) * 24).astype(int) % 24
    weight = weight - np.percentile(weight, 20)
    mean = np.bincount(sectors, weight * radius) / np.bincount(sectors, weight)
    angle = (np.arange(24) + 0.5) / 24 * 2 * np.pi - np.pi
    columns = np.stack([np.ones(24), np.cos(angle), np.sin(angle)], axis=1)
    return np.linalg.lstsq(columns, mean, rcond=None)[0][1:]


def test_detector_shift_moves_the_rings_by_as_much() -> None:
    series = Series(DetectorShift(first=2, dx_px=1.0, dy_px=-0.5))
    moved = centre_of(series, 2) - centre_of(series, 1)
    # The window of the ring does not move with it, which weakens the answer a little.
    np.testing.assert_allclose(moved, [1.0, -0.5], atol=0.15)
    before, after = series.truths[1].center_px, series.truths[2].center_px
    assert after[0] - before[0] == pytest.approx(1.0)
    assert after[1] - before[1] == pytest.approx(-0.5)


def test_tilt_keeps_the_spot_of_the_beam_and_turns_the_plane() -> None:
    series = Series(DetectorTilt(first=2, rot1_deg=2.0, rot2_deg=-1.0))
    assert series.truths[2].center_px == pytest.approx(series.truths[1].center_px)
    assert (series.frames[2] != series.plain[2]).mean() > 0.05


def radius_of(series: Series, index: int) -> float:
    """Ring 220 as the calibrated geometry sees it, 1/Angstrom."""
    q, intensity = series.experiment.geometry.integrator().integrate1d_ng(
        series.frames[index].astype(float),
        1000,
        unit="q_A^-1",
        method=("full", "csr", "cython"),
    )
    near = np.abs(q - 3.284) < 0.22
    x, y = q[near], intensity[near]
    ends = np.abs(x - 3.284) > 0.16
    y = y - np.polyval(np.polyfit(x[ends], y[ends], 1), x)
    return float((x * y).sum() / y.sum())


def test_distance_change_scales_the_rings() -> None:
    series = Series(DistanceChange(first=2, ppm=3000.0))
    assert radius_of(series, 2) / radius_of(series, 1) == pytest.approx(1.003, abs=8e-4)


def test_dropped_frames_show_in_the_detectors_counter_alone() -> None:
    series = Series(Dropped(first=2, last=2, count=3))
    assert [r.frame_number for r in series.readouts] == [0, 1, 5, 6]
    assert [t.index for t in series.truths] == [0, 1, 2, 3]


def test_duplicate() -> None:
    series = Series(Duplicate(first=2, last=2))
    assert series.frames[2].tobytes() == series.frames[1].tobytes()
    np.testing.assert_array_equal(series.frames[3], series.plain[3])


def test_misreads() -> None:
    half = Series(HalfRead(first=2)).frames[2]
    assert half[:128].any()
    assert not half[128:].any()
    flipped = Series(Flipped(first=2))
    np.testing.assert_array_equal(flipped.frames[2], flipped.plain[2][::-1])


def test_hot_pixels_stay_and_zingers_do_not() -> None:
    hot = Series(HotPixels(first=2, count=50, value=9000))
    places = [set(np.flatnonzero(frame == 9000)) for frame in hot.frames]
    assert len(places[2]) == 50
    assert places[2] == places[3]
    zinged = Series(Zingers(first=2, count=50, value=9000))
    places = [set(np.flatnonzero(frame == 9000)) for frame in zinged.frames]
    assert len(places[2]) == len(places[3]) == 50
    assert places[2] != places[3]


def test_not_a_number_needs_floats() -> None:
    with pytest.raises(ValueError, match="cannot be NaN"):
        Series(NotANumber(first=2))
    floats = replace(MODEL, dtype="float32", invalid_value=-1)
    series = Series(NotANumber(first=2, count=7), model=floats)
    assert [int(np.isnan(frame).sum()) for frame in series.frames] == [0, 0, 7, 7]


def test_dark_frames_have_no_faults() -> None:
    bench = Experiment(
        Geometry.centered(MODEL), Mixture.pure("Si"), faults=[Saturated(first=0)]
    )
    bench.shutter_open = False
    assert bench.read_out(0.05).pixels.max() < 30
    assert bench.truths[0].faults == ()
