"""Faults of single pixels, of the sample and of the detector's counter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ringwatch.simulated_beamline.detector_image import Beamstop
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.faults import (
    Amorphous,
    BeamstopLeak,
    CountRateLoss,
    DistanceChange,
    Fault,
    Ice,
    MaskShifted,
    MissingModule,
    PlateRaised,
    SampleDisplacedAlongBeam,
    SampleLost,
    Shadow,
    Swapped,
    WrongDark,
)
from ringwatch.simulated_beamline.geometry import Geometry, flat_panel, pilatus_1m
from ringwatch.simulated_beamline.readout_faults import SaturatedPixel
from ringwatch.simulated_beamline.sample import Mixture

SIDE = 256
DARK = 20.0 * 0.05  # counts a pixel


def experiment(*faults: Fault, **more: Any) -> Experiment:
    model = more.pop("model", flat_panel(SIDE))
    more = {"counts": 5e6, "beamstop": Beamstop(), "faults": faults, **more}
    geometry = Geometry.centered(model, tilt=more.pop("tilt", (0.0, 0.0)))
    return Experiment(geometry, Mixture.pure("CeO2"), **more)


def change(fault: Fault, **more: Any) -> tuple[np.ndarray, np.ndarray, Experiment]:
    """Expected counts without and with the fault."""
    bench = experiment(**more)
    sound = bench.expected(bench.conditions())
    return sound, bench.expected(bench.conditions([fault])), bench


def azimuth(bench: Experiment) -> np.ndarray:
    return bench.geometry.integrator().center_array(bench.shape, unit="chi_deg")


def test_frames_hold_what_is_expected_of_them() -> None:
    fault = Shadow(first=1, last=1, transmission=0.5)
    bench = experiment(fault)
    frames = [bench.read_out(0.05).pixels.astype(float) for _ in range(3)]
    beam = bench.ring.intensity(0.0)
    assert beam == 1.0
    mean = experiment().expected(bench.conditions([fault]))
    z = (frames[1] - mean) / np.sqrt(mean)
    assert z.mean() == pytest.approx(0.0, abs=4 / SIDE)
    assert z.std() == pytest.approx(1.0, abs=0.02)
    assert [t.faults for t in bench.truths] == [(), ("shadow",), ()]
    assert frames[2].sum() == pytest.approx(frames[0].sum(), rel=0.01)


def test_shadow_dims_one_wedge_and_breaks_friedel() -> None:
    fault = Shadow(first=0, chi_deg=-170.0, width_deg=40.0, transmission=0.3)
    sound, bad, bench = change(fault)
    away = np.abs((azimuth(bench) + 170.0 + 180.0) % 360.0 - 180.0)
    light, dim = sound - DARK, bad - DARK
    lit = light > 5.0
    inside, outside = lit & (away < 19.9), lit & (away > 20.1)
    # The dark counts are not dimmed, and differ from pixel to pixel.
    assert np.median((dim / light)[inside]) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(bad[outside], sound[outside])


@pytest.mark.parametrize("streak_deg", [None, 30.0])
def test_beamstop_leaks_its_share(streak_deg: float | None) -> None:
    fault = BeamstopLeak(first=0, share=0.02, fwhm_px=20.0, streak_deg=streak_deg)
    sound, bad, bench = change(fault)
    more = bad - sound
    assert more.sum() / 5e6 == pytest.approx(0.02, rel=0.01)
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    x0, y0 = bench.geometry.center_px
    assert (more * (x - x0)).sum() / more.sum() == pytest.approx(0.0, abs=1.0)
    assert (more * (y - y0)).sum() / more.sum() == pytest.approx(0.0, abs=1.0)
    turn = np.radians(streak_deg or 0.0)
    across = (y - y0) * np.cos(turn) - (x - x0) * np.sin(turn)
    sigma = 20.0 / 2.3548
    assert (more * across**2).sum() / more.sum() == pytest.approx(sigma**2, rel=0.1)


def test_count_rate_loss_is_paralyzable() -> None:
    sound, bad, _ = change(CountRateLoss(first=0, dead_time_s=2e-5))
    rate = sound.astype(float) / 0.05
    np.testing.assert_allclose(bad, sound * np.exp(-rate * 2e-5), rtol=1e-5)
    assert 0.01 < 1 - (bad / sound).min() < 0.5


def test_missing_module_reads_zero_also_where_it_was_dark() -> None:
    fault = MissingModule(first=1, corner_px=(20, 30), size_px=(40, 50))
    bench = experiment(fault)
    bench.read_out(0.05)
    frame = bench.read_out(0.05).pixels
    assert frame[30:80, 20:60].max() == 0
    assert (frame[:30] == 0).mean() < 0.5
    gaps = pilatus_1m()
    _, bad, bench = change(replace(fault, size_px=(300, 300)), model=gaps)
    np.testing.assert_array_equal(bad < 0, gaps.gaps)


def test_shifted_dead_areas() -> None:
    sound, bad, bench = change(
        MaskShifted(first=0, dx_px=2, dy_px=-1), model=pilatus_1m()
    )
    dead, moved = sound <= 0, bad <= 0
    np.testing.assert_array_equal(moved[5:-5, 5:-5], dead[6:-4, 3:-7])
    # Where both are alive nothing changes.
    both = ~dead & ~moved
    np.testing.assert_array_equal(bad[both], sound[both])
    assert (moved & ~bench.mask(0)).sum() > 1000
    assert not (moved & ~bench.mask(3))[5:-5, 5:-5].any()
    np.testing.assert_array_equal(bench.mask(), bench.mask(3))


def test_wrong_dark_is_in_light_frames_alone() -> None:
    bench = experiment(WrongDark(first=0, factor=3.0))
    sound = bench.expected(bench.conditions())
    wrong = bench.expected(bench.conditions(bench.faults))
    assert (wrong - sound).mean() == pytest.approx(2.0 * DARK, rel=0.02)
    bench.shutter_open = False
    assert bench.read_out(0.05).pixels.mean() == pytest.approx(DARK, rel=0.02)


def test_swapped_frames_show_in_the_detectors_counter_alone() -> None:
    bench = experiment(Swapped(first=2, last=3))
    numbers = [bench.read_out(0.05).frame_number for _ in range(6)]
    assert numbers == [0, 1, 3, 2, 4, 5]
    assert [t.index for t in bench.truths] == list(range(6))
    assert bench.truths[2].faults == ("sequence",)


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.2, -0.1)])
def test_sample_along_the_beam_is_a_shorter_distance(
    tilt: tuple[float, float],
) -> None:
    bench = experiment(tilt=tilt)
    along = bench.geometry.dist / (np.cos(tilt[0]) * np.cos(tilt[1]))
    moved = SampleDisplacedAlongBeam(first=0, offset_mm=1e6 * along * 1e-3 * 1e-3)
    there = bench.conditions([moved]).geometry
    assert there.center_px == pytest.approx(bench.geometry.center_px, abs=1e-6)
    # 0.1 % of the distance: rings shrink by as much, as for the detector upstream.
    assert there.dist / bench.geometry.dist == pytest.approx(0.999, abs=1e-6)
    if tilt == (0.0, 0.0):
        nearer = DistanceChange(first=0, ppm=-1000.0)
        np.testing.assert_allclose(
            bench.expected(bench.conditions([moved])),
            bench.expected(bench.conditions([nearer])),
            rtol=1e-3,
        )


def test_ice_adds_its_rings() -> None:
    sound, bad, bench = change(Ice(first=0, share=0.2))
    more = bad - sound
    assert more.sum() / (5e6 * 0.6) == pytest.approx(0.2, rel=0.03)
    q = bench.geometry.integrator().center_array(bench.shape, unit="q_A^-1")
    lit = sound > 2.0
    for d_spacing in (3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.72):
        at = lit & (np.abs(q - 2 * np.pi / d_spacing) < 0.02)
        assert more[at].mean() > 2.0 * more[lit & (np.abs(q - 2.55) < 0.02)].mean()
    assert np.median(more[lit & (np.abs(q - 4.5) < 0.3)]) < 0.01 * more.max()


def test_amorphous_has_a_halo_of_the_same_counts_and_no_rings() -> None:
    sound, bad, bench = change(Amorphous(first=0, share=1.0))
    assert bad.sum() == pytest.approx(sound.sum(), rel=0.03)
    q = bench.geometry.integrator().center_array(bench.shape, unit="q_A^-1")
    near = (sound > 2.0) & (np.abs(q - 2.011) < 0.15)  # ring 111
    assert np.ptp(sound[near]) > 5 * np.ptp(bad[near])
    # Half and half of it is a half.
    half = Amorphous(first=0, share=0.5)
    conditions = bench.conditions([half, half])
    assert conditions.amorphous == pytest.approx(0.75)
    np.testing.assert_allclose(
        bench.expected(bench.conditions([half])), (sound + bad) / 2, rtol=1e-4
    )
    # A sample that is lost takes its halo along.
    lost = bench.expected(bench.conditions([Amorphous(first=0), SampleLost(first=0)]))
    np.testing.assert_allclose(
        lost, bench.expected(bench.conditions([SampleLost(first=0)])), rtol=1e-5
    )


def test_saturated_pixel() -> None:
    bench = experiment(SaturatedPixel(first=1, value=65534))
    frames = [bench.read_out(0.05).pixels for _ in range(2)]
    assert [(frame == 65534).sum() for frame in frames] == [0, 1]
    q = bench.geometry.integrator().center_array(bench.shape, unit="q_A^-1")
    lines = 2 * np.pi / 5.4115 * np.sqrt([3, 4, 8, 11])
    struck = q[frames[1] == 65534]
    assert np.abs(lines - struck).min() < 0.1


def test_a_raised_plate_moves_its_rings_with_the_cosine() -> None:
    """A ring of 2theta goes to 2theta - 2 s cos(theta) / R (Klug and Alexander)."""
    geometry = Geometry.centered(flat_panel(1024), q_edge=12.0)
    bench = Experiment(geometry, Mixture.pure("CeO2"), counts=5e6, background=0.0)
    height = 2e-4
    images = [
        bench.expected(bench.conditions(faults))
        for faults in ((), (PlateRaised(first=0, height_um=height * 1e6),))
    ]
    two_theta = geometry.integrator().center_array(unit="2th_rad")
    bins = np.linspace(two_theta.min(), two_theta.max(), 4000)
    found = []
    for image in images:
        profile = np.histogram(two_theta, bins, weights=image)[0]
        middle = 0.5 * (bins[1:] + bins[:-1])
        line = 2 * np.arcsin(0.1665 / (2 * 5.411 / np.sqrt(3)))  # 111
        near = np.abs(middle - line) < 0.004
        found.append((profile * middle)[near].sum() / profile[near].sum())
    moved = -2 * height * np.cos(line / 2) / geometry.dist
    assert found[1] - found[0] == pytest.approx(moved, rel=0.1)
