"""tilt: a turned detector is found and measured, and told from a moved beam."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality.geometry.center import judge_center
from ringwatch.agent.quality.geometry.ring_center import locate_center, mean_center
from ringwatch.agent.quality.geometry.rings import find_rings, make_profiles
from ringwatch.agent.quality.geometry.strain import judge_strain
from ringwatch.agent.quality.geometry.tilt import judge_tilt
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.reduction import Reduction
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.faults import DetectorShift, DetectorTilt
from ringwatch.simulated_beamline.geometry import DetectorModel, Geometry
from ringwatch.simulated_beamline.sample import Mixture

SETTINGS = QualitySettings()
PANEL = DetectorModel(
    name="ideal",
    shape=(1024, 1024),
    pixel_size=2e-4,
    dtype="uint32",
    saturation_value=2**31,
    invalid_value=2**32 - 1,
    dark_rate=0.0,
)


class TracedRays:
    """Frames of a simulated experiment, reduced with its calibrated geometry."""

    def __init__(self):
        self.geometry = Geometry.centered(PANEL)
        integrator = self.geometry.integrator()
        self.binning = Binning.from_geometry(integrator, PANEL.shape)
        self.reduction = Reduction(self.binning)

    def cake(self, *faults, counts=1e8):
        experiment = Experiment(
            self.geometry,
            Mixture.pure("CeO2"),
            faults=faults,
            counts=counts,
            exposure_s=0.02,
            seed=1,
        )
        return self.reduction.cake(experiment.read_out(0.02).pixels)

    def locate(self, cake):
        profiles = make_profiles(cake, self.binning)
        return locate_center(profiles, find_rings(profiles))


@pytest.fixture(scope="module")
def rays():
    return TracedRays()


def redraw(cake, counts, rng):
    """Poisson cells about those of a brighter cake."""
    total = rng.poisson(cake.total * (counts / cake.total.sum())).astype(float)
    squares = total + total**2 / np.maximum(cake.pixels, 1)
    return dataclasses.replace(cake, total=total, total_sq=squares)


@pytest.mark.parametrize(
    ("rot1", "rot2"), [(0.15, 0.0), (0.0, 0.15), (0.5, -0.3), (-1.0, 0.0)]
)
def test_tilt_of_traced_rays_is_measured(rays, rot1, rot2):
    fault = DetectorTilt(first=0, rot1_deg=rot1, rot2_deg=rot2)
    found = rays.locate(rays.cake(fault))
    tilt, center = (
        judge_tilt(found, None, SETTINGS),
        judge_center(found, None, SETTINGS),
    )
    assert tilt.state is FlagState.RAISED
    assert tilt.value == pytest.approx(-rot1, abs=0.006)
    assert tilt.further["tilt_y_deg"] == pytest.approx(rot2, abs=0.006)
    assert f"{math.hypot(rot1, rot2):.2f}" in f"{tilt.sentence} {tilt.value:.2f}"
    assert center.state is FlagState.CLEAR
    assert abs(center.value) < 0.02
    assert judge_strain(found, None, SETTINGS).state is FlagState.NOT_EVALUATED


def test_a_moved_beam_is_no_tilt(rays):
    found = rays.locate(rays.cake(DetectorShift(first=0, dx_px=0.4, dy_px=-0.2)))
    assert judge_center(found, None, SETTINGS).state is FlagState.RAISED
    tilt = judge_tilt(found, None, SETTINGS)
    assert tilt.state is FlagState.CLEAR
    assert abs(tilt.value) < 0.006


def test_a_turn_within_a_run_is_told_from_a_static_one(rays):
    """0.15 degrees against the geometry and against a reference that has as much."""
    small = rays.locate(rays.cake(DetectorTilt(first=0, rot1_deg=0.15)))
    large = rays.locate(rays.cake(DetectorTilt(first=0, rot1_deg=0.27)))
    same = judge_tilt(small, mean_center([small.fit] * 3), SETTINGS)
    assert "against the geometry" in same.sentence
    floor = dataclasses.replace(SETTINGS, tilt_floor_px=5.0)
    assert judge_tilt(small, small.fit, floor).state is FlagState.CLEAR
    turned = judge_tilt(
        large, small.fit, dataclasses.replace(floor, center_tolerance=0.05)
    )
    assert turned.state is FlagState.RAISED
    assert "0.12" in turned.sentence
    assert "since the run's first frames" in turned.sentence


@pytest.mark.parametrize("counts", [1e4, 1e6])
def test_errors_of_clean_cakes_are_honest_in_the_tails(rays, rng, counts):
    """Pulls about their mean scatter by 1; none of 600 is beyond what chance allows."""
    bright = rays.cake(counts=1e10)
    pulls = []
    for _ in range(150):
        found = rays.locate(redraw(bright, counts, rng))
        for judge in (judge_center, judge_tilt, judge_strain):
            assert judge(found, None, SETTINGS).state is FlagState.CLEAR
        fit = found.fit
        pulls.append(
            [
                value / sigma
                for pair in (fit.center, fit.tilt)
                for value, sigma in zip(
                    (pair.x, pair.y), np.sqrt(np.diag(pair.covariance)), strict=True
                )
            ]
        )
    off = np.array(pulls) - np.mean(pulls, axis=0)
    assert 0.85 < off.std() < 1.15
    assert np.abs(off).max() < 4.8


def test_few_rings_tell_no_tilt_from_center(rings, judge, rng):
    frame = rng.poisson(rings.mean(lines=(4,), dx=0.6)).astype(np.uint32)
    quality = judge(frame)
    assert "a tilted detector would look the same" in quality.reason
    assert "tilt_x_deg" not in quality.values


def test_noise_of_a_quarter_detector_does_not_run_away():
    """Nine sectors of broad rings: followed for four rounds, 2 sigma became 9."""
    stage = Stage(Scene(geometry="quarter", sample="nano", counts=2e6), 1)
    rates = stage.rates()
    told = []
    for _ in range(17):  # the last of which was called tilted by 2.7 degrees
        profiles = make_profiles(stage.cake(rates), stage.binning)
        found = locate_center(profiles, find_rings(profiles))
        if found.fit is not None and found.fit.tilt is not None:
            push = found.fit.tilt.length * found.fit.radius**2 / found.fit.distance
            told.append((judge_tilt(found, None, SETTINGS).state, push))
    assert len(told) > 8
    assert FlagState.RAISED not in {state for state, _ in told}
    assert max(push for _, push in told) < 12.0  # 21 px when followed; one FWHM is 11
