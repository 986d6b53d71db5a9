"""A beam that drops beside a shadow, and a shadow alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS, Flag, FlagState
from ringwatch.agent.quality.azimuth.shadow import judge_shadow
from ringwatch.agent.quality.confounded import settled
from ringwatch.agent.quality.light.monitor import LightHistory

from .light_frames import Bench

RAISED, CLEAR = FlagState.RAISED, FlagState.CLEAR
Frame = NDArray[Any]


def shaded(bench: Bench, whole: Frame, passes: float, wide: int = 5) -> Frame:
    """The light with a shadow over some sectors."""
    sector = (bench.binning.cell.astype(np.int64) % SECTORS).reshape(whole.shape)
    return np.where((sector >= 7) & (sector < 7 + wide), passes * whole, whole)


def states(bench: Bench, whole: Frame, expected: Frame) -> dict[Flag, Any]:
    """What the fold makes of light and shadow of one frame."""
    reference = bench.reference(whole, i0=2e5)
    facts, seen = bench.look(expected, 3, reference, i0=2e5)
    found = LightHistory().judge(facts, seen, reference, bench.settings)
    found.append(judge_shadow(seen, reference, bench.settings))
    return {finding.flag: finding for finding in settled(found)}


@pytest.mark.parametrize("passes", [0.3, 0.7])
@pytest.mark.parametrize("left", [0.7, 0.9])
def test_a_beam_that_drops_beside_a_shadow(
    bench: Bench, parts: tuple[Frame, Frame], passes: float, left: float
) -> None:
    whole = parts[0] + parts[1]
    found = states(bench, whole, left * shaded(bench, whole, passes))
    assert found[Flag.SHADOW].state is RAISED
    drop = found[Flag.BEAM_DROP]
    assert drop.state is RAISED
    assert drop.value == pytest.approx(left, abs=0.01)
    assert "no shadow darkens" in drop.sentence


@pytest.mark.parametrize(
    ("passes", "wide"), [(0.0, 3), (0.3, 5), (0.7, 5), (0.5, 8), (0.8, 12)]
)
def test_what_the_shadow_takes_is_no_drop(
    bench: Bench, parts: tuple[Frame, Frame], passes: float, wide: int
) -> None:
    whole = parts[0] + parts[1]
    for _ in range(3):
        found = states(bench, whole, shaded(bench, whole, passes, wide))
        assert found[Flag.SHADOW].state is RAISED
        drop = found[Flag.BEAM_DROP]
        assert drop.state is CLEAR
        assert drop.value == pytest.approx(1 - (1 - passes) * wide / SECTORS, abs=0.02)


def test_a_drop_without_a_shadow_says_nothing_of_one(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    whole = parts[0] + parts[1]
    found = states(bench, whole, 0.9 * whole)
    assert found[Flag.SHADOW].state is CLEAR
    assert found[Flag.BEAM_DROP].state is RAISED
    assert "shadow" not in found[Flag.BEAM_DROP].sentence
