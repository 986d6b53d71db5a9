"""Frames against what is known of them analytically, read by pyFAI."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.simulated_beamline.detector_image import Beamstop
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.geometry import Geometry, flat_panel, pilatus_1m
from ringwatch.simulated_beamline.sample import BariumTitanate, Mixture

CEO2 = Mixture.pure("CeO2")
EXPOSURE_S = 0.05


def small(tilt: tuple[float, float] = (0.0, 0.0)) -> Geometry:
    return Geometry.centered(flat_panel(512), tilt=tilt)


def experiment(geometry: Geometry | None = None, **more: Any) -> Any:
    return Experiment(geometry or small(), CEO2, **more)


def frame(of: Experiment, exposure_time: float = EXPOSURE_S) -> np.ndarray:
    return of.read_out(exposure_time).pixels.astype(float)


def pattern(of: Experiment, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    result = of.geometry.integrator().integrate1d_ng(
        image,
        3000,
        unit="q_A^-1",
        method=("full", "csr", "cython"),
        mask=of.mask(),
        polarization_factor=of.instrument.polarization,
    )
    return np.asarray(result.radial), np.asarray(result.intensity)


def centroid(q: np.ndarray, intensity: np.ndarray, at: float, half: float) -> float:
    near = np.abs(q - at) < half
    x, y = q[near], intensity[near]
    edges = np.r_[0 : len(x) // 8, -(len(x) // 8) : 0]
    y = y - np.polyval(np.polyfit(x[edges], y[edges], 1), x)
    return float((x * y).sum() / y.sum())


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.15, -0.1)])
def test_ceria_rings_lie_at_their_q(tilt: tuple[float, float]) -> None:
    bench = experiment(geometry=small(tilt), background=0.2, exposure_s=EXPOSURE_S)
    q, intensity = pattern(bench, frame(bench) - frame(dark_of(bench)))
    for h2 in (3, 4, 8, 11):  # 111, 200, 220, 311 of a = 5.4115 Angstrom
        expected = 2 * np.pi * h2**0.5 / 5.4115
        assert centroid(q, intensity, expected, 0.09) == pytest.approx(expected, 2e-4)


def test_parallax_moves_the_rings_out_as_pyfai_says() -> None:
    model = replace(flat_panel(512), sensor=("Si", 1e-3))
    geometry = Geometry.centered(model, wavelength=0.7e-10, tilt=(0.3, 0.0))
    bench = experiment(geometry, background=0.2)
    image = frame(bench)
    q, intensity = pattern(bench, image)
    expected = 2 * np.pi * 8**0.5 / 5.4115
    assert centroid(q, intensity, expected, 0.09) == pytest.approx(expected, 3e-4)
    thin = experiment(replace(geometry, detector=flat_panel(512)))
    q, intensity = pattern(thin, image)
    assert abs(centroid(q, intensity, expected, 0.09) / expected - 1) > 6e-4


def dark_of(bench: Experiment) -> Experiment:
    dark = experiment(geometry=bench.geometry)
    dark.shutter_open = False
    return dark


def test_ring_width_and_number_of_whole_rings() -> None:
    bench = Experiment(Geometry.centered(flat_panel(1024)), CEO2)
    q, intensity = pattern(bench, frame(bench))
    near = np.abs(q - 2.0110) < 0.15
    y = intensity[near] - np.median(intensity[near])
    above = q[near][y > y.max() / 2]
    pixel = bench.geometry.integrator().center_array(unit="q_A^-1")
    per_pixel = np.abs(np.diff(pixel[512])).max()
    assert 3.0 < (above[-1] - above[0]) / per_pixel < 5.0
    edges = [pixel[0].min(), pixel[-1].min(), pixel[:, 0].min(), pixel[:, -1].min()]
    whole = [n for n in (3, 4, 8, 11, 12, 16, 19, 20, 24, 27, 32) if
             2 * np.pi * n**0.5 / 5.4115 < min(edges)]  # fmt: skip
    assert len(whole) >= 8


def test_counts_are_those_asked_for_and_follow_exposure_and_beam() -> None:
    bench = experiment(counts=2e7)
    dark = 20.0 * EXPOSURE_S * 512**2
    light = frame(bench).sum() - dark
    assert light == pytest.approx(2e7, rel=3e-3)
    twice = frame(bench, 2 * EXPOSURE_S).sum() - 2 * dark
    assert twice / light == pytest.approx(2.0, rel=2e-3)
    monitored = bench.i0
    bench.clock.advance(100.0)  # not a whole top-up period: less current
    later = frame(bench).sum() - dark
    expected = bench.ring.intensity(100.0)
    assert later / light == pytest.approx(expected, abs=1.5e-3)
    assert bench.i0 / monitored == pytest.approx(expected / 2, abs=3e-3)


def test_a_closed_shutter_leaves_the_dark_current() -> None:
    bench = dark_of(experiment())
    assert frame(bench).mean() == pytest.approx(20.0 * EXPOSURE_S, rel=0.02)
    assert not bench.truths[0].light


def test_same_seed_same_frames_bit_by_bit() -> None:
    one, other, another = (experiment(seed=seed) for seed in (1, 1, 2))
    frames = [frame(one) for _ in range(3)]
    for image in frames:
        np.testing.assert_array_equal(image, frame(other))
    assert (frames[0] != frames[1]).mean() > 0.5
    assert (frames[0] != frame(another)).mean() > 0.5
    assert one.i0 == other.i0 != another.i0


def test_beamstop_gaps_and_mask() -> None:
    bench = Experiment(
        Geometry.centered(pilatus_1m()), CEO2, beamstop=Beamstop(), counts=1e7
    )
    image = frame(bench)
    gaps = bench.geometry.detector.gaps
    assert gaps.any()
    assert (image[gaps] == -1).all()
    assert (image[~gaps] >= 0).all()
    x, y = (round(c) for c in bench.geometry.center_px)
    assert (image[y - 3 : y + 4, x - 3 : x + 4] <= 0).all()
    arm = image[y + 100 : y + 200, x]
    assert (arm <= 0).all()
    mask = bench.mask()
    assert mask[gaps].all()
    assert mask[y, x]
    assert 0.0 < mask.mean() < 0.3
    # Outside the mask light arrives nearly everywhere.
    assert (image[~mask] == 0).mean() < 0.02
    stopped = bench.geometry.integrator().center_array(unit="q_A^-1") < 0.45
    assert mask[stopped].all()
    assert (image[stopped] <= 0).all()


def test_polarization_is_that_of_pyfai() -> None:
    geometry = Geometry.centered(flat_panel(512), wavelength=0.7e-10)
    bench = Experiment(geometry, CEO2, background=0.9)
    flat = frame(bench) / geometry.integrator().solidAngleArray()
    x, y = (round(c) for c in geometry.center_px)
    ratio = flat[y - 20 : y + 21, x + 200].sum() / flat[y + 200, x - 20 : x + 21].sum()
    factor = geometry.integrator().polarization(factor=0.98)
    expected = (
        factor[y - 20 : y + 21, x + 200].sum() / factor[y + 200, x - 20 : x + 21].sum()
    )
    assert expected < 0.9
    assert ratio == pytest.approx(expected, rel=0.03)


def test_the_transition_is_seen_in_the_pattern() -> None:
    widths = []
    for kelvin in (300.0, 420.0):
        bench = Experiment(
            Geometry.centered(flat_panel(512), q_edge=4.6),
            BariumTitanate(),
            temperature=kelvin,
        )
        q, intensity = pattern(bench, frame(bench))
        near = np.abs(q - 3.135) < 0.08  # 002 and 200
        y = intensity[near] - intensity[near].min()
        mean = (q[near] * y).sum() / y.sum()
        widths.append(((q[near] - mean) ** 2 * y).sum() / y.sum())
    assert widths[0] > 1.2 * widths[1]


def test_poni_file_is_the_geometry(tmp_path: Any) -> None:
    geometry = small((0.02, 0.01))
    for _ in range(2):  # a second save replaces the first
        path = geometry.save(tmp_path / "detector.poni")
    text = path.read_text()
    assert text.count("Distance:") == 1
    loaded = AzimuthalIntegrator()
    loaded.load(str(path))
    np.testing.assert_allclose(
        loaded.center_array(unit="q_A^-1"),
        geometry.integrator().center_array(unit="q_A^-1"),
        rtol=1e-9,
    )


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.05, -0.08)])
def test_the_centre_is_where_two_theta_vanishes(tilt: tuple[float, float]) -> None:
    geometry = small(tilt)
    two_theta = geometry.integrator().center_array(unit="2th_rad")
    y, x = np.unravel_index(two_theta.argmin(), two_theta.shape)
    center_x, center_y = geometry.center_px
    assert abs(center_x - x - 0.5) <= 0.51
    assert abs(center_y - y - 0.5) <= 0.51
