"""The cake and the pattern, against pyFAI and against sums done by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fabio
import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameShapeError, GeometryError
from ringwatch.agent.geometry import MASKED_CELL, Binning, load_geometry
from ringwatch.agent.nouns import SECTORS, Cake, Pattern
from ringwatch.agent.pixel_values import saturation_of
from ringwatch.agent.reduction import Reduction

REAL = {
    "CeO2_Pilatus1M": "CeO2_Pilatus1M.cbf.gz",
    "CeO2_Pilatus2M_61keV": "CeO2_Pilatus2M_61keV.cbf",
    "Fe3O4C_M1_map": "Fe3O4C_M1_map_1_P1_E1_001.cbf.gz",
}
A_CEO2 = 5.4115


def read(path: Path) -> NDArray[np.generic]:
    with fabio.open(str(path)) as image:
        return np.asarray(image.data)


@pytest.mark.parametrize("name", REAL)
def test_intensity_and_sigma_equal_pyfai_on_real_frames(
    name: str, shared_data: Path
) -> None:
    frame = read(shared_data / "frames" / REAL[name])
    geometry = load_geometry(shared_data / "frames" / f"{name}.poni")
    binning = Binning.from_geometry(geometry, frame.shape)
    reduction = Reduction(binning)
    pattern = reduction.pattern(reduction.cake(frame))
    peer = geometry.integrate1d_ng(
        frame,
        binning.q.size,
        unit="q_A^-1",
        method=("no", "csr", "cython"),
        polarization_factor=0.99,
        error_model="poisson",
        dummy=-2,
        delta_dummy=1.5,  # -1 and -2 are the Pilatus' markers
    )
    measured = pattern.coverage > 0
    assert measured.sum() > 0.95 * measured.size
    np.testing.assert_allclose(pattern.q, peer.radial, rtol=1e-12)
    np.testing.assert_allclose(
        pattern.intensity[measured], peer.intensity[measured], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        pattern.sigma[measured], peer.sigma[measured], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", ["CeO2_Pilatus1M", "CeO2_Pilatus2M_61keV"])
def test_real_ceria_rings_lie_where_the_cell_says(name: str, shared_data: Path) -> None:
    frame = read(shared_data / "frames" / REAL[name])
    geometry = load_geometry(shared_data / "frames" / f"{name}.poni")
    reduction = Reduction(Binning.from_geometry(geometry, frame.shape))
    pattern = reduction.pattern(reduction.cake(frame))
    found = 0
    for n in (3, 4, 8, 11, 12, 16, 19, 20, 24):
        expected = 2 * np.pi * np.sqrt(n) / A_CEO2
        if expected > 0.95 * pattern.q.max():
            continue
        near = np.abs(pattern.q - expected) < 0.06
        q, intensity = pattern.q[near], pattern.intensity[near]
        above = np.clip(intensity - np.median(intensity), 0, None)
        peak = np.abs(q - q[above.argmax()]) < 0.03
        centre = (q[peak] * above[peak]).sum() / above[peak].sum()
        assert centre == pytest.approx(expected, rel=1e-3)
        found += 1
    assert found >= 6


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", "<i4", "<f4", ">f8"])
def test_sums_are_exact_for_every_type(
    dtype: str, poni: Path, make_frame: Callable[..., NDArray[np.float64]]
) -> None:
    frame = np.random.default_rng(1).poisson(make_frame(scale=100)).astype(dtype)
    binning = Binning.from_geometry(load_geometry(poni), frame.shape)
    cake = Reduction(binning).cake(frame)
    used = binning.cell != MASKED_CELL
    cells, values = binning.cell[used], frame.ravel()[used].astype(np.float64)
    n = binning.q.size * SECTORS
    total = np.bincount(cells, values, n).reshape(-1, SECTORS)
    squares = np.bincount(cells, values**2, n).reshape(-1, SECTORS)
    assert np.array_equal(cake.total, total)
    assert np.array_equal(cake.total_sq, squares)
    assert np.array_equal(cake.pixels, binning.pixels)
    assert cake.zeros.sum() == (values == 0).sum()
    assert cake.maximum.max() == values.max()


def test_exceptional_pixels_leave_the_sums_and_are_counted(poni: Path) -> None:
    frame = np.full((192, 176), 7.0)
    frame[10, 10], frame[11, 11], frame[12, 12] = np.nan, np.inf, -1.0
    frame[13, 13], frame[15, 15] = -2.0, -np.inf
    reduction = Reduction(Binning.from_geometry(load_geometry(poni), frame.shape))
    cake = reduction.cake(frame)
    assert (cake.non_finite, cake.marked, cake.negative) == (3, 2, 0)
    assert cake.pixels.sum() == frame.size - 5
    assert cake.total.sum() == pytest.approx(7.0 * (frame.size - 5))
    level = reduction.pattern(cake)
    # A flat frame stays flat up to solid angle and polarization: nothing is missing
    # from the sums that is not also missing from the normalisation.
    clean = reduction.pattern(reduction.cake(np.full((192, 176), 7.0)))
    near = np.abs(level.intensity / clean.intensity - 1)
    assert np.median(near) == 0.0
    assert near.max() < 0.05


def test_minus_one_is_a_count_among_other_negative_ones(poni: Path) -> None:
    """A dark-subtracted frame without signal keeps its mean of zero."""
    rng = np.random.default_rng(3)
    frame = (rng.poisson(3, (192, 176)) - rng.poisson(3, (192, 176))).astype("f4")
    frame[5, 5], frame[6, 6] = np.nan, np.inf
    assert (frame == -1).sum() > 1000
    reduction = Reduction(Binning.from_geometry(load_geometry(poni), frame.shape))
    cake = reduction.cake(frame)
    finite = frame[np.isfinite(frame)].astype(float)
    assert (cake.marked, cake.negative) == (0, (finite < 0).sum())
    assert cake.total.sum() == finite.sum()
    assert cake.total_sq.sum() == (finite**2).sum()
    assert cake.pixels.sum() == finite.size
    assert np.allclose(cake.norm.sum() / reduction.binning.norm.sum(), 1, atol=1e-3)
    pattern = reduction.pattern(cake)
    assert (pattern.sigma[pattern.coverage > 0] > 0).all()
    dark = reduction.prepare_dark([frame])
    assert dark.total.sum() == finite.sum()


@pytest.mark.parametrize("huge", [1e18, -1e18, 1e160, -1e300])
def test_what_no_counter_reaches_is_no_number_of_counts(
    poni: Path, huge: float
) -> None:
    """The squares of such doubles, which a wrong byte order makes, are infinite."""
    frame = np.full((192, 176), 7.0)
    frame[10, 10] = huge
    mask = np.zeros((192, 176), bool)
    mask[:5] = True
    frame[0, 0] = huge
    cake = cake_of(frame, poni, mask=mask)
    assert cake.non_finite == 1
    assert cake.pixels.sum() == frame.size - 5 * 176 - 1
    assert cake.total_sq.sum() == 49.0 * cake.pixels.sum()
    assert cake.masked_total == 7.0 * (5 * 176 - 1)
    assert cake.outliers is not None
    assert cake.outliers.found == 0
    reduction = Reduction(Binning.from_geometry(load_geometry(poni), frame.shape))
    assert reduction.prepare_dark([frame]).total.sum() == 7.0 * (frame.size - 2)


def test_counts_as_large_as_a_counter_may_reach_stay_counts(poni: Path) -> None:
    for dtype, value in (("u8", 2**59), ("i8", 2**59), ("f4", 2.0**59)):
        frame = np.full((192, 176), 7, dtype)
        frame[10, 10] = value
        cake = cake_of(frame, poni)
        assert (cake.non_finite, cake.marked) == (0, 0)
        assert cake.maximum.max() == value


def test_integers_beyond_what_a_counter_reaches(poni: Path) -> None:
    frame = np.full((192, 176), 7, np.uint64)
    frame[10, 10], frame[11, 11] = 2**64 - 1, 2**63  # the marker, and no counts
    cake = cake_of(frame, poni)
    assert (cake.non_finite, cake.marked) == (1, 1)


def test_integers_and_float_copies_keep_the_markers_of_a_pilatus(poni: Path) -> None:
    frame = np.full((192, 176), 4, np.int32)
    frame[50:60], frame[80, 80] = -1, -2
    for dtype in (np.int32, np.float32):
        cake = cake_of(frame.astype(dtype), poni)
        assert (cake.marked, cake.negative) == (10 * 176 + 1, 0)
        assert cake.total.sum() == 4 * cake.pixels.sum()
    frame[90, 90] = -7  # of integers no negative value is ever a count
    assert cake_of(frame, poni).marked == 10 * 176 + 1


def test_a_first_frame_of_another_shape_does_not_stick(
    poni: Path, tmp_path: Path
) -> None:
    """pyFAI gives a detector without a size the shape of the first frame it sees."""
    text = poni.read_text().replace('"max_shape": [192, 176], ', "")
    assert "max_shape" not in text
    (tmp_path / "sizeless.poni").write_text(text)
    geometry = load_geometry(tmp_path / "sizeless.poni")
    Binning.from_geometry(geometry, (50, 60))
    late = Binning.from_geometry(geometry, (192, 176))
    fresh = Binning.from_geometry(load_geometry(poni), (192, 176))
    assert np.array_equal(late.cell, fresh.cell)
    assert np.array_equal(late.weight, fresh.weight)


def test_more_exceptional_pixels_than_good_ones(poni: Path) -> None:
    frame = np.full((192, 176), -1, np.int32)
    frame[:, :5] = 3
    cake = Reduction(Binning.from_geometry(load_geometry(poni), frame.shape)).cake(
        frame
    )
    assert cake.pixels.sum() == 192 * 5
    assert cake.marked == 192 * 171


def test_saturated_and_marked_pixels_of_unsigned_frames(poni: Path) -> None:
    frame = np.full((192, 176), 10, np.uint16)
    frame[0, 0], frame[1, 1] = 65534, 65535
    cake = Reduction(Binning.from_geometry(load_geometry(poni), frame.shape)).cake(
        frame
    )
    assert cake.saturated.sum() == 2
    assert cake.marked == 1
    assert cake.maximum.max() == 65534
    assert saturation_of(np.dtype("f4")) == np.inf
    assert saturation_of(np.dtype("f4"), 1000) == 1000


def test_dark_is_subtracted_without_wrapping_around(poni: Path) -> None:
    """Where the dark exceeds the frame the difference is negative, not 65535."""
    frame = np.full((192, 176), 5, np.uint16)
    dark = np.full((192, 176), 9, np.uint16)
    reduction = Reduction(Binning.from_geometry(load_geometry(poni), frame.shape))
    prepared = reduction.prepare_dark([dark, dark - 2])
    cake = reduction.cake(frame, prepared)
    assert cake.dark.sum() == 8.0 * frame.size
    assert (reduction.pattern(cake, prepared).intensity < 0).all()
    same = reduction.prepare_dark([frame])
    zero = reduction.pattern(reduction.cake(frame, same), same)
    assert np.allclose(zero.intensity, 0.0)
    assert (zero.sigma > 0).all()


def cake_of(frame: NDArray[np.generic], poni: Path, **kwargs: object) -> Cake:
    binning = Binning.from_geometry(load_geometry(poni), (192, 176), **kwargs)  # type: ignore[arg-type]
    return Reduction(binning).cake(frame)


def test_mask_takes_pixels_out(poni: Path) -> None:
    mask = np.zeros((192, 176), bool)
    mask[:20] = True
    frame = np.ones((192, 176), np.uint16)
    cake = cake_of(frame, poni, mask=mask)
    assert cake.masked == 20 * 176
    assert cake.masked_total == 20 * 176
    assert cake.total.sum() == 172 * 176


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((10, 10), np.uint16),
        np.zeros((192, 176), complex),
        np.zeros((192, 176), bool),
        np.zeros((0, 0), np.uint16),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    frame: NDArray[np.generic], poni: Path
) -> None:
    with pytest.raises(FrameShapeError):
        cake_of(frame, poni)


def test_tiles_without_geometry_count_every_pixel() -> None:
    frame = np.arange(100 * 90, dtype=np.uint16).reshape(100, 90) % 50
    reduction = Reduction(Binning.without_geometry(frame.shape))
    cake = reduction.cake(frame)
    assert cake.pixels.sum() == frame.size
    assert cake.total.sum() == frame.sum()
    with pytest.raises(GeometryError):
        reduction.pattern(cake)


def test_same_frame_same_bits(
    poni: Path, make_frame: Callable[..., NDArray[np.float64]]
) -> None:
    frame = make_frame().astype(np.float32)
    patterns: list[Pattern] = []
    for _ in range(2):
        reduction = Reduction(Binning.from_geometry(load_geometry(poni), frame.shape))
        patterns.append(reduction.pattern(reduction.cake(frame)))
    assert patterns[0].intensity.tobytes() == patterns[1].intensity.tobytes()
