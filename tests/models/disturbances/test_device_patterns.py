"""Patterns made by torch against those made by numba, on the same random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.diffraction import Grid, lorentz_polarization, render
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.disturbances.counting import CUT, FOLDED, RAW, Counting, count
from ringwatch.models.disturbances.device_channels import channels_on_device
from ringwatch.models.disturbances.device_counting import count_on_device
from ringwatch.models.disturbances.device_patterns import DeviceDisturbances
from ringwatch.models.disturbances.device_profiles import render_on_device
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.inputs import InputGrid, channels
from ringwatch.models.training.batches import Batches

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    ),
]
LINEAR = Grid(n_bins=8501, q_min=0.356, q_max=5.77, logarithmic=False)
LOGARITHMIC = Grid(n_bins=2048, q_min=0.30, q_max=6.0, logarithmic=True)
SMALL = Grid(n_bins=21, q_min=1.0, q_max=2.0, logarithmic=False)


@pytest.fixture(scope="module")
def peaks():
    return CrystalGenerator(seed=11, class_balance=1.0).peaks(0, 64)


@pytest.fixture(scope="module")
def lines(peaks):
    """Starts, centres, areas, widths and Lorentzian shares as `render` takes them."""
    rng = np.random.default_rng(0)
    n = len(peaks.space_group)
    fwhm = np.repeat(rng.uniform(0.002, 0.03, n), np.diff(peaks.start))
    area = peaks.strength * lorentz_polarization(peaks.q, 1.2)
    parts = (peaks.q, area, np.hypot(fwhm, 0.003 * peaks.q), rng.uniform(0, 1, n))
    return (peaks.start, *(part.astype(np.float32) for part in parts))


def on(device, lines):
    return [torch.from_numpy(np.asarray(part)).to(device) for part in lines]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("grid", [LINEAR, LOGARITHMIC, SMALL])
def test_both_draw_the_same(device, grid, lines):
    expected = render(grid, *lines)
    drawn = render_on_device(grid, *on(device, lines)).cpu().numpy()
    assert drawn.shape == expected.shape
    top = expected.max(axis=1, keepdims=True)
    most = 1e-5
    assert (np.abs(drawn - expected) / np.maximum(top, 1e-30)).max() < most


@pytest.mark.parametrize("device", DEVICES)
def test_a_pattern_has_the_same_bits_in_any_batch(device, lines):
    start, q, area, fwhm, eta = on(device, lines)
    together = render_on_device(LOGARITHMIC, start, q, area, fwhm, eta)
    for low, high in ((0, 1), (1, 7), (7, 64)):
        these = slice(int(start[low]), int(start[high]))
        alone = render_on_device(
            LOGARITHMIC,
            start[low : high + 1] - start[low],
            q[these],
            area[these],
            fwhm[these],
            eta[low:high],
        )
        assert torch.equal(alone, together[low:high])


def test_a_crowd_of_lines_adds_up():
    # 500 lines in one tile: sixteen rows of it, the last one not full.
    q = np.linspace(2.50, 2.503, 500, dtype=np.float32)
    one = np.ones(500, np.float32)
    crowd = (np.array([0, 500]), q, one, 0.004 * one, np.array([0.5], np.float32))
    expected = render(LOGARITHMIC, *crowd)
    drawn = render_on_device(LOGARITHMIC, *on("cpu", crowd)).numpy()
    np.testing.assert_allclose(drawn, expected, atol=1e-5 * expected.max())
    area = float((drawn[0] * LOGARITHMIC.bin_width).sum())
    assert area == pytest.approx(500, rel=0.03)  # less the tails beyond the cutoff


@pytest.mark.parametrize(("q", "area"), [([], []), ([2.5], [0.0]), ([9.0], [1.0])])
def test_patterns_without_a_line_in_range_are_flat(q, area):
    n = len(q)
    f = np.float32
    lines = (
        np.array([0, 0, n, n]),
        np.array(q, f),
        np.array(area, f),
        np.full(n, 0.01, f),
        np.full(3, 0.5, f),
    )
    drawn = render_on_device(SMALL, *on("cpu", lines))
    assert drawn.shape == (3, 21)
    np.testing.assert_array_equal(drawn.numpy(), render(SMALL, *lines))


def test_a_line_beyond_the_grid_reaches_into_it():
    one = np.ones(1, np.float32)
    line = (np.array([0, 1]), 0.9 * one, one, 0.05 * one, 0.5 * one)
    drawn = render_on_device(SMALL, *on("cpu", line)).numpy()
    assert (np.diff(drawn[0]) < 0).all()
    np.testing.assert_allclose(drawn, render(SMALL, *line), rtol=1e-5)


def test_wrong_lengths_are_refused(lines):
    start, q, area, fwhm, eta = on("cpu", lines)
    with pytest.raises(ValueError, match="expected equal numbers"):
        render_on_device(SMALL, start, q, area[1:], fwhm, eta)
    with pytest.raises(ValueError, match="expected equal numbers"):
        render_on_device(SMALL, start, q, area, fwhm, eta[1:])


@pytest.mark.parametrize("device", DEVICES)
def test_both_give_the_same_channels(device, lines):
    grid = InputGrid()
    y = render(LOGARITHMIC, *lines)
    y /= y.max(axis=1, keepdims=True)
    rng = np.random.default_rng(3)
    y += rng.uniform(0, 0.3, (64, 1)) * np.exp(-grid.q) + 0.01 * rng.random(y.shape)
    low, high = rng.uniform(0.3, 1.5, (64, 1)), rng.uniform(1.6, 6.0, (64, 1))
    covered = (grid.q >= low) & (grid.q <= high)
    covered[:, 700:730] = False
    y[0] = 0.3  # constant
    y[4] += 20 * np.exp(-grid.q)  # little is left of it
    covered[1] = False
    covered[2] = np.arange(2048) == 900
    covered[3] = np.arange(2048) >= 2040
    y = y.astype(np.float32)
    expected = channels(y, covered.astype(np.float32), grid)
    arguments = (torch.from_numpy(part).to(device) for part in (y, covered, grid.q))
    made = channels_on_device(*arguments).cpu().numpy()
    assert np.isfinite(made).all()
    assert not made[:3].any()
    np.testing.assert_array_equal(made[:, 2], expected[:, 2])
    np.testing.assert_allclose(made[:, 0] ** 2, expected[:, 0] ** 2, atol=1e-6)
    np.testing.assert_allclose(made[:, 1], expected[:, 1], atol=1e-4)


def counting_of(n, treatment, counts, ceiling):
    return Counting(
        q_low=np.full(n, 1.02),
        q_high=np.full(n, 1.9001),
        step=np.full(n, 0.004),
        counts=np.full(n, counts),
        ceiling=np.full(n, ceiling),
        treatment=np.full(n, treatment),
        base=np.full(n, 0.6),
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("treatment", "counts"),
    [(RAW, 2.0), (RAW, 40.0), (RAW, 4_000.0), (CUT, 4.0), (FOLDED, 4.0), (CUT, 200.0)],
)
def test_counts_have_the_same_distribution(device, treatment, counts):
    # Bins of 1.6 points on average, and of half a point: some hold none.
    n, rng = 3000, np.random.default_rng(4)
    edges = np.concatenate(
        [np.arange(1.0, 1.5, 0.0064), np.arange(1.5, 2.0, 0.0501 / 25)]
    )
    bins = len(edges) - 1
    background = np.full((n, bins), 0.3, np.float32)
    y = background + np.linspace(0, 1, bins, dtype=np.float32)
    how = counting_of(n, treatment, counts, np.inf)
    expected = y.copy()
    count(rng, expected, background, edges, how)
    source = torch.Generator(device).manual_seed(5)
    tensors = (torch.from_numpy(part).to(device) for part in (y, background))
    made = count_on_device(source, *tensors, edges, how).cpu().numpy()
    assert np.isfinite(made).all()
    # Not measured, so not counted:
    outside = (edges[1:] <= 1.02) | (edges[:-1] > 1.9)
    np.testing.assert_array_equal(made[:, outside], y[:, outside])
    np.testing.assert_array_equal(expected[:, outside], y[:, outside])
    inside = ~outside
    made, expected = made[:, inside], expected[:, inside]
    assert (made.std(axis=0) > 0).all()
    error = np.sqrt((made.var(axis=0) + expected.var(axis=0)) / n)
    z = (made.mean(axis=0) - expected.mean(axis=0)) / error
    assert np.abs(z).max() < 4.5
    assert np.sqrt((z**2).mean()) < 1.35
    ratio = made.std(axis=0) / expected.std(axis=0)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)
    assert np.abs(ratio - 1).max() < 0.15


def test_a_saturated_detector_shows_no_more_than_its_ceiling():
    edges = np.linspace(1.0, 2.0, 101)
    y = torch.linspace(0, 1, 100).repeat(5, 1)
    how = counting_of(5, RAW, 300.0, 0.4)
    source = torch.Generator().manual_seed(1)
    made = count_on_device(source, y, torch.zeros_like(y), edges, how)
    assert (made[:, 70:90] == np.float32(0.4)).all()
    assert made[:, 95:].min() > 0.9  # beyond the last point nothing was counted


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("clean_share", [1.0, 0.3])
def test_without_noise_both_paths_agree(device, clean_share, peaks):
    much = (1e12, 1e12)
    settings = replace(
        DisturbanceSettings(),
        archive_counts=much,
        lab_counts=much,
        beamline_counts=much,
    )
    expected = Disturbances(settings, seed=8).patterns(peaks, 640, clean_share)
    made = DeviceDisturbances(settings, seed=8, device=torch.device(device))
    x = made.patterns(peaks, 640, clean_share).cpu().numpy()
    assert x.shape == expected.shape
    np.testing.assert_array_equal(x[:, 2], expected[:, 2])
    np.testing.assert_allclose(x[:, 0] ** 2, expected[:, 0] ** 2, atol=2e-4)
    assert np.sqrt(((x - expected) ** 2).mean()) < 2e-4


@pytest.mark.parametrize("device", DEVICES)
def test_with_noise_both_paths_agree_on_average(device, peaks):
    settings = DisturbanceSettings()
    on_cpu = Disturbances(settings, seed=8)
    made = DeviceDisturbances(settings, seed=8, device=torch.device(device))
    difference = []
    for first in (0, 64, 128):
        expected = on_cpu.patterns(peaks, first, 0.0)
        x = made.patterns(peaks, first, 0.0).cpu().numpy()
        assert np.isfinite(x).all()
        assert (x != expected).any()  # the counts are others
        np.testing.assert_array_equal(x[:, 2], expected[:, 2])
        difference.append((x - expected)[:, :2].mean(axis=2))
    d = np.concatenate(difference)  # (192, 2)
    assert (np.abs(d.mean(axis=0)) < 4 * d.std(axis=0) / np.sqrt(len(d))).all()


@pytest.mark.parametrize("device", DEVICES)
def test_batches_on_a_device_repeat_whatever_draws_them(device):
    crystals = CrystalGenerator(seed=3)
    made = DeviceDisturbances(
        DisturbanceSettings(), seed=4, device=torch.device(device)
    )
    alone, ahead = Batches(crystals, made, 8), Batches(crystals, made, 8, threads=2)
    try:
        for first in (0, 8, 16):
            one, other = (b.take(first, 8, 0.5) for b in (alone, ahead))
            assert one.x.device.type == device
            assert torch.equal(one.x, other.x)
            np.testing.assert_array_equal(one.space_group, other.space_group)
        assert not torch.equal(one.x, alone.take(0, 8, 0.5).x)
    finally:
        ahead.close()
