"""The second look: outliers, edges of the mask and the dark's pattern, by injection."""

from __future__ import annotations

import numpy as np
import pytest
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.pixel_lists import CellPixels, EdgePixels
from ringwatch.agent.reduction import Reduction

SIDE = 384


def make_binning(mask=None):
    geometry = AzimuthalIntegrator(
        dist=0.2,
        poni1=0.0384,
        poni2=0.0384,
        wavelength=2e-11,
        detector=Detector(2e-4, 2e-4, max_shape=(SIDE, SIDE)),
    )
    return Binning.from_geometry(geometry, (SIDE, SIDE), mask=mask, polarization=None)


def make_mean(counts):
    y, x = np.indices((SIDE, SIDE)) + 0.5 - SIDE / 2
    r = np.hypot(x, y)
    image = 1.0 + sum(10 * np.exp(-(((r - c) / 1.8) ** 2)) for c in range(25, 260, 30))
    return image * (counts / image.sum())


@pytest.fixture(scope="module")
def binning():
    return make_binning()


@pytest.fixture(scope="module")
def gaps():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[60:70] = mask[290:300] = True
    mask[:, 180:187] = True
    return mask


def dispersed(frame, binning):
    """Fano factor of a frame."""
    return Reduction(binning).cake(frame).outliers.fano


@pytest.mark.parametrize("counts", [1e4, 1e5])
@pytest.mark.parametrize("value", [10, 100])
def test_zingers_do_not_say_how_counts_scatter(binning, counts, value):
    rng = np.random.default_rng(11)
    frame = rng.poisson(make_mean(counts)).astype(np.uint32)
    frame.ravel()[rng.choice(frame.size, 500, replace=False)] += value
    assert 0.9 < dispersed(frame, binning) < 1.2


@pytest.mark.parametrize("counts", [1e4, 1e6])
def test_photons_of_various_heights_scatter_as_whole_rings_do(binning, counts):
    """Of Gamma(2) heights with mean 20: 20 (1 + 1/2), in dim rings rather less."""
    rng = np.random.default_rng(12)
    photons = rng.poisson(make_mean(counts / 20))
    even = (20 * photons).astype(np.uint32)
    assert dispersed(even, binning) == pytest.approx(20, rel=0.05)
    various = np.rint(rng.gamma(np.maximum(2 * photons, 1e-9), 10.0))
    assert 18 < dispersed(various.astype(np.uint32), binning) < 33


@pytest.mark.parametrize("masked", [False, True])
def test_each_cell_lists_its_own_pixels(gaps, masked):
    binning = make_binning(gaps if masked else None)
    lists = CellPixels.of(binning)
    cells = np.repeat(np.arange(binning.pixels.size), np.diff(lists.first))
    assert np.array_equal(binning.cell[lists.place], cells)
    assert lists.place.size == (binning.cell != MASKED_CELL).sum()


def test_edges_are_told_by_the_side_of_the_mask():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[100:110, 50:60] = True
    edges = EdgePixels.of(make_binning(mask))
    y, x = np.divmod(edges.place, SIDE)
    # Outside, mask to the left: the column beyond its right edge, and so on.
    for group, column, row in (
        (0, {60}, set(range(100, 110))),
        (1, {49}, set(range(100, 110))),
        (2, set(range(50, 60)), {110}),
        (3, set(range(50, 60)), {99}),
        (4, {50}, set(range(100, 110))),
        (5, {59}, set(range(100, 110))),
        (6, set(range(50, 60)), {100}),
        (7, set(range(50, 60)), {109}),
    ):
        of = edges.group == group
        assert (set(x[of].tolist()), set(y[of].tolist())) == (column, row)
    assert EdgePixels.of(make_binning()) is None


@pytest.mark.parametrize("counts", [1e2, 1e3, 1e4, 1e5, 1e6, 1e8])
def test_a_clean_powder_has_no_outliers(binning, counts):
    reduction, rng = Reduction(binning), np.random.default_rng(int(counts))
    mean = make_mean(counts)
    for _ in range(12):
        cake = reduction.cake(rng.poisson(mean).astype(np.uint32))
        assert cake.outliers.found == 0
        assert cake.outliers.fano == pytest.approx(1.0, abs=0.06)


def test_read_noise_and_gain_make_no_outliers(binning):
    reduction, rng = Reduction(binning), np.random.default_rng(3)
    mean = make_mean(1e6)
    for _ in range(6):
        noisy = rng.poisson(mean) + rng.normal(0.0, 4.0, mean.shape)
        assert reduction.cake(noisy.astype(np.float32)).outliers.found == 0
        gained = 20 * rng.poisson(mean) + 100
        assert reduction.cake(gained.astype(np.uint16)).outliers.found == 0


def test_injected_pixels_are_found_with_their_values_and_sizes(binning):
    rng = np.random.default_rng(4)
    frame = rng.poisson(make_mean(1e6)).astype(np.int32)
    frame[50, 60] = 4000
    frame[200, 20:22] = 3000
    frame[300:303, 310:313] = [[300, 900, 300], [900, 5000, 900], [300, 900, 300]]
    outliers = Reduction(binning).cake(frame).outliers
    found = {
        divmod(int(place), SIDE): (value, size)
        for place, value, size in zip(
            outliers.place, outliers.value, outliers.size, strict=True
        )
    }
    assert found[50, 60] == (4000, 1)
    assert {found[200, 20], found[200, 21]} == {(3000, 2)}
    assert found[301, 311] == (5000, 9)
    assert outliers.found == 12 == len(found)
    above = 4000 + 2 * 3000 + 9800
    assert outliers.counts == pytest.approx(above, rel=0.05)
    assert np.array_equal(outliers.cell, binning.cell[outliers.place])


def test_more_outliers_than_are_kept_are_counted(binning):
    rng = np.random.default_rng(5)
    frame = rng.poisson(make_mean(1e6)).astype(np.uint32)
    places = rng.choice(frame.size, 5000, replace=False)
    frame.ravel()[places] = 60000
    outliers = Reduction(binning).cake(frame).outliers
    assert outliers.place.size == 4096
    assert 4900 < outliers.found <= 5000
    assert (np.diff(outliers.place) > 0).all()


def test_markers_and_hot_pixels_of_the_dark_are_no_outliers(binning):
    rng = np.random.default_rng(6)
    hot = rng.choice(SIDE * SIDE, 50, replace=False)
    dark = np.full((SIDE, SIDE), 2.0)
    dark.ravel()[hot] = 500.0
    frame = rng.poisson(make_mean(1e6) + dark).astype(np.uint32)
    frame[10, 10] = np.iinfo(np.uint32).max
    reduction = Reduction(binning)
    assert reduction.cake(frame).outliers.found == 50
    prepared = reduction.prepare_dark([rng.poisson(dark).astype(np.uint32)])
    assert reduction.cake(frame, prepared).outliers.found == 0


@pytest.mark.parametrize("counts", [1e5, 1e7])
def test_edges_hold_what_their_rings_hold(gaps, counts):
    rng = np.random.default_rng(7)
    frame = rng.poisson(make_mean(counts)).astype(np.uint32)
    edges = Reduction(make_binning(gaps)).cake(frame).edges
    z = (edges.seen - edges.expected) / np.sqrt(edges.variance)
    assert np.abs(z).max() < 4.0
    # 200 counts a side at 1e5: what counting leaves of the ratio.
    noise = 0.2 if counts < 1e6 else 0.12
    np.testing.assert_allclose(edges.seen / edges.expected, 1.0, atol=noise)
    frame[gaps] = 0
    assert (Reduction(make_binning(gaps)).cake(frame).edges.seen[1] == 0).all()
    marked = frame.astype(np.int32)
    marked[gaps] = -1
    edges = Reduction(make_binning(gaps)).cake(marked).edges
    assert (edges.pixels[1] == 0).all()
    assert (edges.marked[1] > 0).all()
    assert (edges.marked[0] == 0).all()


@pytest.mark.parametrize("counts", [1e6, 1e8])
def test_edges_of_a_patterned_dark_hold_what_their_rings_hold(gaps, counts):
    """Modules of different darks, and an amplifier that glows beside the mask."""
    rng = np.random.default_rng(13)
    y, x = np.indices((SIDE, SIDE))
    pattern = np.where(x < 187, 10.0, 25.0) + 60 * np.exp(-np.abs(y - 65) / 4.0)
    reduction = Reduction(make_binning(gaps))
    dark = [rng.poisson(pattern).astype(np.uint32) for _ in range(20)]
    frame = rng.poisson(make_mean(counts) + pattern).astype(np.uint32)
    edges = reduction.cake(frame, reduction.prepare_dark(dark)).edges
    z = (edges.seen - edges.expected) / np.sqrt(edges.variance)
    assert np.abs(z).max() < 4.0
    np.testing.assert_allclose(edges.seen / edges.expected, 1.0, atol=0.15)


def test_the_second_look_leaves_the_frame_alone_and_repeats_itself(gaps):
    rng = np.random.default_rng(8)
    frame = rng.poisson(make_mean(1e5)).astype(np.uint16)
    frame[20, 30:32] = 900
    before = frame.copy()
    reduction = Reduction(make_binning(gaps))
    first, again = reduction.cake(frame), reduction.cake(frame)
    assert np.array_equal(frame, before)
    for name in ("place", "cell", "value", "expected", "size"):
        one, two = getattr(first.outliers, name), getattr(again.outliers, name)
        assert one.size == 2
        assert np.array_equal(one, two)
    for name in ("pixels", "seen", "expected", "variance"):
        one, two = getattr(first.edges, name), getattr(again.edges, name)
        assert np.array_equal(one, two)


@pytest.mark.parametrize(("level", "darks"), [(20.0, 10), (200.0, 1), (2.0, 10)])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_of_the_dark_comes_back(binning, level, darks, scale):
    rng = np.random.default_rng(9)
    pattern = level * np.clip(rng.normal(1.0, 0.15, (SIDE, SIDE)), 0.2, None)
    reduction = Reduction(binning)
    dark = reduction.prepare_dark(
        [rng.poisson(pattern).astype(np.uint32) for _ in range(darks)]
    )
    frame = rng.poisson(make_mean(5e5) + scale * pattern).astype(np.uint32)
    match = reduction.cake(frame, dark).dark_match
    assert abs(match.slope - scale) < 3.5 * match.sigma
    assert match.sigma < 0.1 + 0.25 * scale


@pytest.mark.parametrize("darks", [1, 10])
def test_a_dark_without_structure_matches_nothing(binning, darks):
    rng = np.random.default_rng(10)
    reduction = Reduction(binning)
    flat = [rng.poisson(np.full((SIDE, SIDE), 20.0)) for _ in range(darks)]
    dark = reduction.prepare_dark([frame.astype(np.uint32) for frame in flat])
    frame = rng.poisson(make_mean(5e5) + 20.0).astype(np.uint32)
    match = reduction.cake(frame, dark).dark_match
    assert not np.isfinite(match.sigma)
    constant = reduction.prepare_dark([np.full((SIDE, SIDE), 7, np.uint16)])
    assert reduction.cake(frame, constant).dark_match is None
