"""Sums of frames of integers, against the same sums made pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.cell_passes import CellPasses
from ringwatch.agent.errors import GeometryError
from ringwatch.agent.geometry import MASKED_CELL, Binning, load_geometry
from ringwatch.agent.nouns import SECTORS, Cake
from ringwatch.agent.packed_kernel import Packing
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.sums import Summation, Sums

SHAPE = (192, 176)
INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


@pytest.fixture
def binning(poni: Path) -> Binning:
    mask = np.zeros(SHAPE, bool)
    mask[60:70] = mask[:, 80:83] = True
    return Binning.from_geometry(load_geometry(poni), SHAPE, mask=mask, npt=150)


def strange_frame(dtype: str, seed: int) -> NDArray[np.generic]:
    """Dim and bright pixels, and everything else that the type can hold."""
    rng = np.random.default_rng(seed)
    frame = rng.poisson(rng.choice([0.02, 3.0, 90.0], SHAPE)).astype(dtype)
    info = np.iinfo(frame.dtype)
    odd = [info.max, info.max - 1, info.max - 2, info.max // 2, info.min, 0, 1, 100]
    odd += [value for value in (-1, -2, -3, -100) if info.min < 0]
    odd += [v for v in (2**20 - 1, 2**20, 2**21 + 1, 2**40, 2**62) if v <= info.max]
    struck = rng.choice(frame.size, 2000, replace=False)
    frame.reshape(-1)[struck] = rng.choice(np.array(odd, frame.dtype), 2000)
    return frame


def meanings(
    frame: NDArray[np.generic], binning: Binning, saturation: float
) -> dict[str, object]:
    """What each pixel is, in words of ``Cake``, one at a time and in Python."""
    info = np.iinfo(frame.dtype)
    marker = float(info.max) if info.min == 0 and frame.dtype.itemsize > 1 else None
    shape = (binning.q.size * SECTORS,)
    total, squares, maximum = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    zeros, saturated, pixels = (np.zeros(shape, np.int64) for _ in range(3))
    found = {"negative": 0, "non_finite": 0, "marked": 0, "masked_total": 0.0}
    values = frame.ravel().astype(float).tolist()  # of 64 bits the last do not count
    for value, cell in zip(values, binning.cell.tolist(), strict=True):
        if cell == MASKED_CELL:
            if 0 < value < 10**18 and value != marker:
                found["masked_total"] += value
        elif value == marker:
            found["marked"] += 1
            saturated[cell] += 1
        elif value in (-1, -2):
            found["marked"] += 1
        elif abs(value) >= 10**18:
            found["non_finite"] += 1
        elif value < 0:
            found["negative"] += 1
        else:
            total[cell] += float(value)
            squares[cell] += float(value) ** 2
            maximum[cell] = max(maximum[cell], value)
            zeros[cell] += value == 0
            pixels[cell] += 1
            saturated[cell] += value >= saturation > 0 and value > 0
    return found | {
        "total": total,
        "total_sq": squares,
        "maximum": maximum,
        "zeros": zeros,
        "saturated": saturated,
        "pixels": pixels,
    }


def assert_same(cake: Cake, due: dict[str, object]) -> None:
    for name, expected in due.items():
        found = getattr(cake, name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_allclose(
                found.ravel(), expected, rtol=1e-14, atol=0, err_msg=name
            )
        else:
            assert found == pytest.approx(expected, rel=1e-12), name


@pytest.mark.parametrize("saturation", [None, 50.5, 2.0**20, 1e9])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_value_of_every_type_is_what_it_is(
    dtype: str, saturation: float | None, binning: Binning
) -> None:
    reduction = Reduction(binning, saturation=saturation)
    for seed in range(2):  # the second time with the buffers of the first
        frame = strange_frame(dtype, seed)
        info = np.iinfo(frame.dtype)
        own = float(info.max - 1 if info.min == 0 else info.max)
        due = meanings(frame, binning, own if saturation is None else saturation)
        assert_same(reduction.cake(frame, look_again=False), due)


@pytest.mark.parametrize("dtype", [*INTEGERS, "f4"])
def test_the_plain_pattern_is_that_of_the_cake_to_the_last_bit(
    dtype: str, binning: Binning
) -> None:
    reduction = Reduction(binning)
    darks = [np.random.default_rng(9).poisson(0.5, SHAPE).astype("u2")]
    for seed, dark in enumerate((None, reduction.prepare_dark(darks))):
        frame = strange_frame("u2" if dtype == "f4" else dtype, seed).astype(dtype)
        plain = reduction.plain_pattern(frame, dark)
        whole = reduction.pattern(reduction.cake(frame, dark), dark)
        for name in ("q", "intensity", "sigma", "coverage"):
            assert np.array_equal(getattr(plain, name), getattr(whole, name)), name


def test_a_frame_of_odd_size_loses_no_pixel(binning: Binning) -> None:
    shape = (SHAPE[0] - 1, SHAPE[1] - 1)
    assert np.prod(shape) % 2 == 1
    tiles = Reduction(Binning.without_geometry(shape))
    frame = np.arange(np.prod(shape), dtype="u4").reshape(shape)
    assert tiles.cake(frame).total.sum() == frame.sum()
    with pytest.raises(GeometryError, match=r"\.poni"):
        tiles.plain_pattern(frame)


def test_sums_of_the_largest_counts_that_are_summed_in_integers_do_not_overflow() -> (
    None
):
    """All pixels in one tile row's cells, each just below the limit."""
    frame = np.full((480, 320), 2**20 - 1, "u4")
    cake = Reduction(Binning.without_geometry(frame.shape)).cake(frame)
    assert cake.total.sum() == float(frame.size) * (2**20 - 1)
    assert cake.total_sq.sum() == float(frame.size) * (2**20 - 1) ** 2
    assert cake.zeros.sum() == 0


def test_what_frames_share_is_not_what_they_found(binning: Binning) -> None:
    """A frame that lacks pixels leaves those after it and before it as they are."""
    reduction = Reduction(binning)
    sound = np.ones(SHAPE, "u2")
    before = reduction.cake(sound)
    assert before.pixels is binning.pixels
    holed = sound.copy()
    holed[10:20, 10:20] = np.iinfo("u2").max
    between = reduction.cake(holed)
    after = reduction.cake(sound)
    assert between.pixels.sum() == before.pixels.sum() - 100
    assert between.saturated.sum() == 100
    assert between.norm.sum() < before.norm.sum()
    for cake in (before, after):
        assert cake.pixels.sum() == binning.pixels.sum()
        assert cake.saturated.sum() == 0
        assert np.array_equal(cake.norm, binning.norm)


@pytest.mark.parametrize("saturation", [None, 1.0, 51.0, 5_000.0])
@pytest.mark.parametrize("level", [0.3, 5_000.0])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_frame_has_the_same_sums_whatever_came_before(
    dtype: str, level: float, saturation: float | None, binning: Binning
) -> None:
    """Dim and bright frames have passes of their own, and odd ones are in both."""
    rng = np.random.default_rng(7)
    frame = strange_frame(dtype, 3)
    most = min(np.iinfo(frame.dtype).max, 2**40)
    even = rng.poisson(level, SHAPE).clip(0, most)
    frame = np.where(rng.random(SHAPE) < 0.5, even.astype(dtype), frame)
    bright = np.full(SHAPE, min(50_000, np.iinfo(frame.dtype).max // 2), dtype)
    dim = np.zeros(SHAPE, dtype)
    found = []
    for before in (bright, dim):
        summation = Summation(binning, saturation)
        for earlier in (before, before):
            summation.by_cell(earlier.ravel())
        found.append(summation.by_cell(frame.ravel()))
    for name in Sums.__slots__:
        one, other = (getattr(sums, name) for sums in found)
        assert np.array_equal(one, other), name


@pytest.mark.parametrize("most", [1, 45, 137, 550, 11_000, 10**6])
@pytest.mark.parametrize("limit", [65_534, 2**20, 51, 1])
def test_a_full_cell_fits_its_packing(most: int, limit: int) -> None:
    packing = Packing.of(most, limit)
    if packing is None:
        assert most > 1000
        return
    top = packing.table.size - 1
    assert top < limit
    full = int(packing.table[top]) * most if top else most << int(packing.zeros)
    if top:
        assert full < 1 << int(packing.zeros)
        assert full >> int(packing.squares) == most * top * top
        assert full & (1 << int(packing.squares)) - 1 == most * top
    zeros = int(packing.table[0]) * most
    assert zeros >> int(packing.zeros) == most
    assert zeros < 2**64


def test_gaps_that_the_detector_marks_do_not_make_a_frame_bright(
    binning: Binning,
) -> None:
    """They are looked at one by one in either pass, a tenth of the pixels here."""
    passes, rng = CellPasses(binning), np.random.default_rng(5)
    for _ in range(3):
        frame = rng.poisson(3.0, SHAPE).astype("u4")
        frame[:, :20] = 2**32 - 1
        shape = binning.pixels.shape
        moments = np.empty(shape), np.empty(shape), np.empty(shape)
        room = np.empty(frame.size, np.int32)
        zeros = np.empty(shape, np.int64)
        found, _ = passes.add(frame.ravel(), 2**20, room, moments, zeros)
        assert found == SHAPE[0] * 20
        assert not passes.bright
