"""Counts added to every pixel by a dark too weak to be known, and what looks alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS, Flag, FlagState
from ringwatch.agent.quality.findings import Finding
from ringwatch.agent.quality.light.monitor import LightHistory

from .light_frames import Bench

Frame = NDArray[Any]
WEAK = 0.2  # dark counts of a pixel
Judged = Callable[..., Finding | None]


@pytest.fixture
def stale(bench: Bench, parts: tuple[Frame, Frame]) -> Judged:
    """Finding of ``stale_calibration``, if any, of a frame after the reference."""
    whole = parts[0] + parts[1]
    dark = bench.rng.poisson(np.full((3, *whole.shape), WEAK)).astype(np.uint32)
    told: dict[str, Any] = {"dark": list(dark), "i0": 2e5}
    reference = bench.reference(whole + WEAK, **told)

    def judged(expected: Frame, **more: Any) -> Finding | None:
        facts, seen = bench.look(expected + WEAK, 3, reference, **{**told, **more})
        found = LightHistory().judge(facts, seen, reference, bench.settings)
        stale = [each for each in found if each.flag is Flag.STALE_CALIBRATION]
        return stale[0] if stale else None

    return judged


@pytest.mark.parametrize("share", [0.06, 0.13, 0.7])
def test_the_same_counts_more_in_every_pixel(
    stale: Judged, parts: tuple[Frame, Frame], share: float
) -> None:
    whole = parts[0] + parts[1]
    found = stale(whole + share * whole.mean())
    assert found is not None
    assert found.state is FlagState.RAISED
    assert found.z > 10
    assert "take a new dark" in found.sentence
    assert f"{share:.0%} of the light" in found.sentence
    # Without a dark there is no wrong one, and a monitor that moved may be the cause.
    assert stale(whole + share * whole.mean(), dark=None) is None
    assert stale(whole + share * whole.mean(), i0=1.5e5) is None


def test_what_science_and_beam_do_is_silent(
    stale: Judged, bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    sharp, between = parts
    whole = sharp + between
    cells = bench.binning.cell.astype(np.int64).reshape(whole.shape)
    radius = np.minimum(cells // SECTORS / bench.binning.q.size, 1.0)
    one_side = np.where(cells % SECTORS < SECTORS // 2, 0.4, 0.0) * whole.mean()
    falls_off = 0.3 * whole.mean() * 2 * (1 - radius)
    grows = 0.3 * whole.mean() * 1.5 * radius
    hot = 1.0 - 0.4 * radius
    for expected in (
        whole,
        1.1 * whole,  # a brighter beam
        sharp + 1.4 * between,  # more air
        0.5 * sharp + between + 0.5 * sharp.mean(),  # half of it molten
        sharp * hot + between + 2 * (1 - hot) * sharp.mean(),  # heat
        1.5 * sharp + between,  # another sample
        whole + one_side,
        whole + falls_off,
        whole + grows,
    ):
        assert stale(expected) is None
    assert stale(1.1 * whole, i0=2.2e5) is None  # top-up
