"""Texture, grains, strain and spots, seen in what each pixel expects."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.simulated_beamline.bench_geometries import (
    BENCH_GEOMETRIES,
    BENCH_SAMPLES,
    bench_experiment,
)
from ringwatch.simulated_beamline.counting import expose_expected, frame_key
from ringwatch.simulated_beamline.experiment import Experiment
from ringwatch.simulated_beamline.geometry import Geometry, flat_panel, pilatus_1m
from ringwatch.simulated_beamline.microstructure import (
    AZIMUTHS,
    Grains,
    Microstructure,
    Spots,
    Strain,
    Texture,
)
from ringwatch.simulated_beamline.sample import Mixture

SIDE = 256


def experiment(**more: object) -> Experiment:
    more = {"counts": 1e7, "background": 0.1, **more}
    return Experiment(Geometry.centered(flat_panel(SIDE)), Mixture.pure("LaB6"), **more)


def expected(**parts: object) -> np.ndarray:
    bench = experiment(microstructure=Microstructure(**parts))
    return bench.expected(bench.conditions())


IDEAL = experiment()
PIXELS = IDEAL.geometry.integrator()
Q = PIXELS.center_array((SIDE, SIDE), unit="q_A^-1")
CHI = PIXELS.center_array((SIDE, SIDE), unit="chi_rad")


def test_frames_of_an_ideal_powder_follow_the_expectation() -> None:
    bench = experiment()
    conditions = bench.conditions()
    counts = bench.expected(conditions)
    assert counts.dtype == np.float32
    assert counts.sum() == pytest.approx(1e7 + SIDE**2, rel=0.01)  # and dark
    # The same noise on either way: they differ where rounding tips a count.
    frame = bench.read_out(bench.exposure_s).pixels
    other = expose_expected(
        counts, key=frame_key(0, 0), full=65534, invalid=65535, dtype=frame.dtype
    )
    assert (frame != other).mean() < 1e-3


def test_a_microstructure_of_nothing_changes_nothing() -> None:
    plain = IDEAL.expected(IDEAL.conditions())
    np.testing.assert_allclose(expected(), plain, rtol=2e-6)
    np.testing.assert_allclose(expected(texture=Texture(march=1.0)), plain, rtol=1e-5)


def test_gaps_stay_gaps() -> None:
    bench = Experiment(
        Geometry.centered(pilatus_1m()),
        Mixture.pure("LaB6"),
        microstructure=Microstructure(grains=Grains(), spots=Spots()),
    )
    counts = bench.expected(bench.conditions())
    np.testing.assert_array_equal(counts == -1.0, bench.geometry.detector.gaps)
    assert bench.read_out(0.05).pixels[bench.geometry.detector.gaps].max() == -1


def test_texture_is_even_friedel_symmetric_and_keeps_the_mean() -> None:
    table = Texture(march=0.6, axis_deg=30.0).factors(40)
    assert table.shape == (40, AZIMUTHS)
    half = AZIMUTHS // 2
    np.testing.assert_allclose(table[:, half:], table[:, :half], rtol=1e-4)
    # Even about the fibre axis, 30 degrees.
    axis = round((30.0 + 180.0) / 360.0 * AZIMUTHS)
    np.testing.assert_allclose(
        table, np.roll(table[:, ::-1], 2 * axis, axis=1), rtol=1e-4
    )
    spectrum = np.abs(np.fft.rfft(table, axis=1)) / AZIMUTHS
    assert spectrum[:, 1::2].max() < 1e-5
    assert spectrum[:, 2].max() > 0.05
    # Dollase's function has mean 1 over the sphere: over planes at random too.
    every = Texture(march=0.6, axis_deg=0.0).factors(4000)
    chi = (np.arange(AZIMUTHS) + 0.5) / AZIMUTHS * 2 * np.pi
    weight = np.abs(np.sin(chi))  # of the angle to the axis
    assert np.average(every.mean(axis=0), weights=weight) == pytest.approx(1, abs=0.01)


def test_the_planes_of_the_axis_themselves_follow_march_and_dollase() -> None:
    table = Texture(march=0.5, axis_deg=0.0).factors(2000)
    strongest = table[np.argmax(table.max(axis=1))]
    along, across = strongest[AZIMUTHS // 2], strongest[AZIMUTHS // 4]
    assert strongest.argmax() % (AZIMUTHS // 2) in (0, AZIMUTHS // 2 - 1)
    # The steepest planes tabulated make 10 degrees with the axis: 8 at most, not yet 8.
    assert 4.0 < along < 8.0
    assert across == pytest.approx(0.5**1.5, abs=0.08)


@pytest.mark.parametrize("per_patch", [0.5, 5.0, 50.0])
def test_grains_are_poissons(per_patch: float) -> None:
    table = Grains(per_patch=per_patch, mosaic_deg=2.0, key=3).factors(60)
    counts = table * per_patch
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    patches = 60 * 180
    error = (1.0 / per_patch / patches) ** 0.5
    assert table.mean() == pytest.approx(1.0, abs=4 * error)
    spread = (2.0 + 1.0 / per_patch) ** 0.5 / patches**0.5
    assert table.var() * per_patch == pytest.approx(1.0, abs=5 * spread)
    # A patch is 2 degrees long: 8 steps.
    same = (np.diff(table, axis=1) == 0).mean()
    assert same > 1 - 1 / 8 - 0.01


def test_grains_depend_on_their_key() -> None:
    first, again, other = (Grains(key=key).factors(9) for key in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_grains_make_rings_spotty_and_not_the_background() -> None:
    plain = IDEAL.expected(IDEAL.conditions())
    spotty = expected(grains=Grains(per_patch=4.0, mosaic_deg=5.0))
    ring = np.abs(Q - 2 * np.pi / 4.1568) < 0.02  # 100
    between = np.abs(Q - 1.8) < 0.02
    ratio = spotty / plain
    assert 0.3 < ratio[ring].std() < 0.7
    assert ratio[between].std() < 0.1


@pytest.mark.parametrize("axis_deg", [0.0, 60.0])
def test_strain_moves_rings_by_twice_the_azimuth(axis_deg: float) -> None:
    frame = expected(strain=Strain(amplitude=0.01, axis_deg=axis_deg))
    q_ring = 2 * np.pi / 4.1568 * 2**0.5  # 110
    near = np.abs(Q - q_ring) < 0.25
    sectors = ((CHI + np.pi) / (2 * np.pi) * 24).astype(int) % 24
    weight = (frame - np.percentile(frame[near], 5))[near]
    q_mean = np.bincount(sectors[near], weight * Q[near], 24)
    q_mean /= np.bincount(sectors[near], weight, 24)
    chi = (np.arange(24) + 0.5) / 24 * 2 * np.pi - np.pi
    wave = 2 * (q_mean / q_ring - 1) * np.exp(2j * chi)
    found = wave.mean()  # amplitude exp(2 i axis)
    assert abs(found) == pytest.approx(0.01, rel=0.15)
    assert np.angle(found) == pytest.approx(2 * np.radians(axis_deg), abs=0.1)


def test_spots_hold_their_share_and_lie_where_they_should() -> None:
    plain = IDEAL.expected(IDEAL.conditions())
    anywhere = expected(spots=Spots(number=20, share=0.02, key=4)) - plain
    assert anywhere.sum() / plain.sum() == pytest.approx(0.4, rel=0.7)
    assert (anywhere > 0.01 * anywhere.max()).sum() < 20 * 80
    on_rings = expected(spots=Spots(number=20, on_rings=True, fwhm_px=1.5)) - plain
    y, x = np.nonzero(on_rings > 0.2 * on_rings.max())
    squares = (Q[y, x] / (2 * np.pi / 4.1568)) ** 2
    assert np.abs(squares - np.rint(squares)).mean() < 0.15
    with_stop = experiment(microstructure=Microstructure(spots=Spots(number=500)))
    assert with_stop.expected(with_stop.conditions()).min() >= 0.0


def test_spots_keep_their_places_when_the_detector_moves() -> None:
    bench = experiment(
        counts=1e7,
        microstructure=Microstructure(spots=Spots(number=1, share=5.0, key=1)),
    )
    here = bench.expected(bench.conditions())
    bench.detector_x = -2 * 0.8  # two pixels of 0.8 mm to the left: spots to the right
    there = bench.expected(bench.conditions())
    y, x = np.unravel_index(np.argmax(here), here.shape)
    assert np.unravel_index(np.argmax(there), here.shape) == (y, x + 2)


def test_bench_geometries_have_rings_of_four_pixels() -> None:
    bench = bench_experiment("one_metre", counts=1e6)
    place = BENCH_GEOMETRIES["one_metre"].geometry
    counts = bench.expected(bench.conditions())
    assert counts.sum() == pytest.approx(1e6, rel=0.001)
    radius = place.integrator().center_array(counts.shape, unit="r_m") / 0.2e-3
    # Ring 110 of LaB6.
    theta = np.arcsin(0.1665 * 2**0.5 / (2 * 4.156826))
    away = radius - 5000 * np.tan(2 * theta)
    near = np.abs(away) < 12
    polarized = counts[near] - np.percentile(counts[near], 5)
    half = 0.5 * np.median(polarized[np.abs(away[near]) < 0.2])
    above = np.abs(away[near])[polarized > half]
    assert 2 * np.percentile(above, 99) == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize("sample", BENCH_SAMPLES)
def test_bench_samples_have_the_counts_that_were_asked_for(sample: str) -> None:
    bench = bench_experiment("one_metre", sample, counts=1e5)
    counts = bench.expected(bench.conditions())
    # Texture and grains of a few rings need not average out.
    assert counts.sum() == pytest.approx(1e5, rel=0.1)
    with pytest.raises(ValueError, match="expected one of"):
        bench_experiment("one_metre", sample + "?")
