"""Moments drawn per cell against the same image exposed pixel by pixel."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ringwatch.simulated_beamline.cell_counts import (
    CellMoments,
    CellRates,
    draw_moments,
)
from ringwatch.simulated_beamline.counting import expose_pixels, frame_key

SIDE, CELL = 192, 12
N_CELLS = (SIDE // CELL) ** 2
FRAMES = 300
NAMES = ("total", "total_sq", "maximum", "zeros")

Y, X = np.mgrid[0:SIDE, 0:SIDE]
CELLS = ((Y // CELL) * (SIDE // CELL) + X // CELL).astype(np.uint16)
SHAPES = {
    "flat": np.ones((SIDE, SIDE)),
    "slope": 0.3 + 1.4 * (X % CELL + 0.5) / CELL,
    # One reflection of a single crystal in a dim cell.
    "spot": np.where((X % CELL < 3) & (Y % CELL < 3), 12.0, 0.27),
}


def image(shape: str, level: float) -> np.ndarray:
    drawn = SHAPES[shape] * (level / SHAPES[shape].mean())
    return drawn.astype(np.float32)


def rates_of(rate: np.ndarray) -> CellRates:
    return CellRates.from_image(rate, CELLS.ravel(), N_CELLS)


def exposed(rate: np.ndarray, frame: int) -> np.ndarray:
    """Total, squares, maximum and zeros per cell, from pixels, (4, n_cells)."""
    pixels = expose_pixels(
        np.zeros(rate.shape, np.float32),
        rate,
        np.ones(2, np.float32),
        np.zeros(rate.shape, np.float32),
        key=frame_key(1, frame),
        full=2**31 - 2,
        invalid=-1,
        dtype=np.dtype(np.int32),
    )
    tiles = pixels.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL)
    cells = tiles.transpose(0, 2, 1, 3).reshape(N_CELLS, -1).astype(float)
    squares = (cells**2).sum(axis=1)
    zeros = (cells == 0).sum(axis=1)
    return np.stack([cells.sum(axis=1), squares, cells.max(axis=1), zeros])


def drawn(rates: CellRates, frame: int, scale: float = 1.0) -> np.ndarray:
    moments = draw_moments(rates, scale=scale, key=frame_key(2, frame))
    return np.stack([getattr(moments, name).astype(float) for name in NAMES])


@pytest.mark.parametrize("level", [0.01, 0.5, 5.0, 500.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_moments_are_those_of_pixels(shape: str, level: float) -> None:
    rate = image(shape, level)
    rates = rates_of(rate)
    truth = np.stack([exposed(rate, f) for f in range(FRAMES)])  # (F, 4, n_cells)
    ours = np.stack([drawn(rates, f) for f in range(FRAMES)])
    for k, name in enumerate(NAMES):
        a, b = truth[:, k].ravel(), ours[:, k].ravel()
        error = np.hypot(a.std(), b.std()) / len(a) ** 0.5
        # What the approximations may add, in standard deviations of one frame.
        slack = {"maximum": 0.03, "zeros": 0.05}.get(name, 0.0)
        assert abs(b.mean() - a.mean()) <= 4 * error + slack * a.std(), name
        if a.std() > 0.05:
            scatter = {"maximum": 0.12, "zeros": 0.05}.get(name, 0.0)
            kurtosis = ((a - a.mean()) ** 4).mean() / a.var() ** 2
            sampling = 4 * ((kurtosis - 1) / (2 * len(a))) ** 0.5
            assert b.std() / a.std() == pytest.approx(1, abs=scatter + sampling), name


def test_squares_at_a_given_sum_scatter_as_those_of_pixels() -> None:
    # What a flag of graininess sees: total_sq less what the sum explains.
    rate = image("slope", 5.0)
    rates = rates_of(rate)
    p2 = (1 + rates.spread / rates.mean**2) / rates.pixels

    def residual(moments: np.ndarray) -> np.ndarray:
        total, squares = moments[:2]
        return squares - total - total * (total - 1) * p2

    truth = np.stack([residual(exposed(rate, f)) for f in range(200)]).ravel()
    ours = np.stack([residual(drawn(rates, f)) for f in range(200)]).ravel()
    error = truth.std() / len(truth) ** 0.5
    assert abs(truth.mean()) < 4 * error
    assert abs(ours.mean()) < 4 * error
    assert ours.std() == pytest.approx(truth.std(), rel=0.02)


@pytest.mark.parametrize("scale", [0.0, 0.1, 0.8, 1.25])
def test_scale_is_the_beam(scale: float) -> None:
    rate = image("slope", 4.0)
    rates = rates_of(rate)
    ours = np.stack([drawn(rates, f, scale) for f in range(100)])
    truth = np.stack([exposed(rate * np.float32(scale), f) for f in range(100)])
    for k, name in enumerate(NAMES):
        if name in ("maximum", "zeros") and not 0.8 <= scale <= 1.25:
            continue
        error = np.hypot(truth[:, k].std(), ours[:, k].std()) / truth[:, k].size ** 0.5
        slack = 0.07 * truth[:, k].std() if name in ("maximum", "zeros") else 0.0
        assert ours[:, k].std() == pytest.approx(truth[:, k].std(), rel=0.1), name
        off = abs(ours[:, k].mean() - truth[:, k].mean())
        assert off <= 4 * error + slack, name


@pytest.mark.parametrize("level", [0.01, 0.3, 3.0, 300.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_moments_are_possible(shape: str, level: float) -> None:
    # Ragged cells, down to one pixel.
    cells = CELLS.copy()
    cells[(X % CELL) * (Y % CELL) > CELLS % 40] = 65535
    rates = CellRates.from_image(image(shape, level), cells.ravel(), N_CELLS)
    assert rates.pixels.min() < 30
    for frame in range(20):
        m = draw_moments(rates, key=frame_key(3, frame))
        n, total, squares = m.pixels, m.total, m.total_sq
        for values in (total, squares, m.maximum):
            np.testing.assert_array_equal(values, np.floor(values))
        assert (m.maximum >= np.ceil(total / np.maximum(n, 1))).all()
        assert (squares >= total**2 / np.maximum(n, 1) - 1e-6).all()
        assert (squares <= m.maximum * total).all()
        assert (squares >= m.maximum**2).all()
        assert (m.maximum <= total).all()
        assert ((squares - total) % 2 == 0).all()
        assert (m.zeros >= 0).all()
        assert (m.maximum * (n - m.zeros) >= total).all()
        assert (n - m.zeros <= total).all()
        dark = total == 0
        assert (squares[dark] == 0).all()
        assert (m.maximum[dark] == 0).all()
        assert (m.zeros[dark] == n[dark]).all()


def test_a_cell_of_one_pixel_is_exact() -> None:
    cells = np.arange(400, dtype=np.uint16)
    rate = np.full((20, 20), 7.0, np.float32)
    m = draw_moments(CellRates.from_image(rate, cells, 400), key=9)
    np.testing.assert_array_equal(m.total_sq, m.total**2)
    np.testing.assert_array_equal(m.maximum, m.total)
    np.testing.assert_array_equal(m.zeros, m.total == 0)


def test_rates_are_moments_of_the_image() -> None:
    rate = np.random.default_rng(1).gamma(2.0, 3.0, (SIDE, SIDE)).astype(np.float32)
    cells = CELLS.copy()
    cells[:5] = 65535
    rate[40, :] = -1.0  # no sensor
    rates = CellRates.from_image(rate, cells.ravel(), N_CELLS)
    for cell in (0, 17, 50, N_CELLS - 1):
        inside = rate[(cells == cell) & (rate >= 0)].astype(float)
        assert rates.pixels[cell] == inside.size
        assert rates.mean[cell] == pytest.approx(inside.mean())
        assert rates.spread[cell] == pytest.approx(inside.var(), rel=1e-6)
        assert rates.most[cell] == inside.max()


def test_a_draw_depends_on_its_key_alone() -> None:
    rates = rates_of(image("slope", 3.0))
    first, again, other = (draw_moments(rates, key=key) for key in (5, 5, 6))
    for name in NAMES:
        a, b = getattr(first, name), getattr(again, name)
        assert a.tobytes() == b.tobytes()
    assert (first.total != other.total).mean() > 0.5


def test_a_struck_pixel() -> None:
    rates = rates_of(image("flat", 2.0))
    before = draw_moments(rates, key=1)
    after = before.with_pixels(np.array([3, 8]), np.array([1e6, 5e5]))
    assert after.maximum[3] == 1e6
    assert after.total[8] - before.total[8] == pytest.approx(5e5, abs=5)
    assert after.total_sq[3] - before.total_sq[3] == pytest.approx(1e12, abs=100)
    np.testing.assert_array_equal(np.flatnonzero(after.total != before.total), [3, 8])
    with pytest.raises(ValueError, match="once each"):
        before.with_pixels(np.array([3, 3]), np.array([1e6, 1e6]))
    with pytest.raises(ValueError, match="at least"):
        before.with_pixels(np.array([3]), np.array([0.0]))


def test_wrong_maps_and_scales_are_refused() -> None:
    rate = image("flat", 1.0)
    with pytest.raises(ValueError, match="map made for this detector"):
        CellRates.from_image(rate, CELLS.ravel(), N_CELLS - 1)
    with pytest.raises(ValueError, match="map made for this detector"):
        CellRates.from_image(rate[1:], CELLS.ravel(), N_CELLS)
    with pytest.raises(ValueError, match="finite number"):
        draw_moments(rates_of(rate), scale=float("nan"), key=1)


@pytest.mark.alone
def test_a_cake_is_drawn_in_milliseconds() -> None:
    cells = (np.arange(1024 * 1024) // 45).astype(np.uint16)
    cells[cells >= 23_000] = 65535
    rng = np.random.default_rng(0)
    rate = (1.0 + rng.random((1024, 1024))).astype(np.float32)
    rates = CellRates.from_image(rate, cells, 23_000)
    best = np.inf
    for frame in range(10):
        started = time.perf_counter()
        moments = draw_moments(rates, key=frame_key(0, frame))
        best = min(best, time.perf_counter() - started)
    assert isinstance(moments, CellMoments)
    assert best < 5e-3
