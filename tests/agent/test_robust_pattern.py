"""The pattern without spots and zingers, against the sample without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.reduction import Reduction

SHAPE = (192, 176)
MakeFrame = Callable[..., NDArray[np.float64]]


@pytest.fixture
def reduction(poni: Path) -> Reduction:
    return Reduction(Binning.from_geometry(load_geometry(poni), SHAPE, npt=100))


def test_spots_and_zingers_leave_the_robust_pattern(
    reduction: Reduction, make_frame: MakeFrame
) -> None:
    rng = np.random.default_rng(4)
    sound = rng.poisson(make_frame(scale=50)).astype("u4")
    struck = sound.copy()
    struck.reshape(-1)[rng.choice(sound.size, 60, replace=False)] += 20_000
    due = reduction.pattern(reduction.cake(sound))
    cake = reduction.cake(struck)
    plain, robust = reduction.pattern(cake), reduction.robust_pattern(cake)
    measured = (due.coverage > 0.3) & (robust.coverage > 0)

    def worst(intensity: NDArray[np.float64]) -> float:
        away = np.abs(intensity - due.intensity)[measured] / due.sigma[measured]
        return float(np.quantile(away, 0.95))

    assert worst(plain.intensity) > 20
    assert worst(robust.intensity) < 3
    assert (robust.coverage <= plain.coverage).all()
    assert (robust.sigma[measured] >= 0.9 * due.sigma[measured]).all()


def test_a_sound_frame_keeps_nearly_all_of_its_sectors(
    reduction: Reduction, make_frame: MakeFrame
) -> None:
    frame = np.random.default_rng(5).poisson(make_frame(scale=50)).astype("u4")
    dark = reduction.prepare_dark([np.full(SHAPE, 2, "u4")])
    cake = reduction.cake(frame + 2, dark)
    plain = reduction.pattern(cake, dark)
    robust = reduction.robust_pattern(cake, dark)
    same = np.isclose(robust.intensity, plain.intensity, rtol=1e-12, atol=1e-12)
    assert same.mean() > 0.98
    assert np.allclose(robust.sigma[same], plain.sigma[same], rtol=1e-12)


def test_texture_is_no_spot(reduction: Reduction) -> None:
    """Half of the azimuth twice as bright: all of it counts."""
    frame = np.full(SHAPE, 100, "u4")
    frame[:, : SHAPE[1] // 2] = 200
    cake = reduction.cake(frame)
    whole = reduction.binning.pixels.sum(axis=1) > 200
    kept = reduction.robust_pattern(cake).coverage[whole]
    assert kept.min() == 1.0
