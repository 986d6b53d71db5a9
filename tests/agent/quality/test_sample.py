"""A lost sample against all else that makes rings vanish."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality.findings import Finding
from ringwatch.agent.quality.light.sample import judge_no_sample

from .light_frames import Bench, split_light

RAISED, CLEAR = FlagState.RAISED, FlagState.CLEAR
COUNTS, I0 = 1e6, 2e5
Frame = NDArray[Any]


def judged(
    bench: Bench, reference: Any, expected: Frame, **readbacks: float
) -> Finding:
    facts, seen = bench.look(expected, 3, reference, **readbacks)
    finding = judge_no_sample(facts, seen, reference, bench.settings)
    assert finding.flag is Flag.NO_SAMPLE
    return finding


@pytest.mark.parametrize("readbacks", [{"i0": I0}, {}])
@pytest.mark.parametrize("left", [0.0, 0.05, 0.1])
def test_lost_sample_is_recalled(
    bench: Bench,
    parts: tuple[Frame, Frame],
    left: float,
    readbacks: dict[str, float],
) -> None:
    sharp, between = parts
    reference = bench.reference(sharp + between, **readbacks)
    expected = left * sharp + between
    found = [judged(bench, reference, expected, **readbacks) for _ in range(15)]
    assert all(f.state is RAISED for f in found)
    assert np.mean([f.value for f in found]) == pytest.approx(left, abs=0.02)


@pytest.mark.parametrize("left", [0.3, 0.5, 1.0, 2.0])
def test_a_thin_sample_is_a_sample(
    bench: Bench, parts: tuple[Frame, Frame], left: float
) -> None:
    sharp, between = parts
    reference = bench.reference(sharp + between, i0=I0)
    for _ in range(5):
        finding = judged(bench, reference, left * sharp + between, i0=I0)
        assert finding.state is CLEAR
        assert finding.value == pytest.approx(left, abs=0.05)


def spots(shape: tuple[int, ...], number: int, rng: np.random.Generator) -> Frame:
    """Sharp reflections anywhere, of one count together."""
    image = np.zeros(shape)
    y, x = rng.integers(30, shape[0] - 30, (2, number))
    image[y, x] = 1.0 / number
    return gaussian_filter(image, 1.3)


def decoys(rings: Any, rng: np.random.Generator) -> dict[str, Frame]:
    """What makes the reference's rings vanish and is no loss of the sample."""
    sharp, between = split_light(rings, COUNTS)
    y, x = np.indices(sharp.shape) - sharp.shape[0] / 2
    toward = np.cos(2 * np.arctan2(y, x))
    other_cell = rings.mean(counts=COUNTS, expansion=0.06)
    return {
        "melting": between + gaussian_filter(sharp, 14.0),
        "melting in a weaker beam": 0.8 * (between + gaussian_filter(sharp, 14.0)),
        "melting in half the beam": 0.5 * (between + gaussian_filter(sharp, 14.0)),
        "glass": 0.9 * between + gaussian_filter(0.5 * sharp, 14.0),
        "phase transition": rings.mean(counts=COUNTS, lines=(3, 7, 15)),
        "fewer, weaker lines": rings.mean(counts=0.8 * COUNTS, lines=(5, 13)),
        "thermal expansion": other_cell,
        "texture": between + sharp * np.clip(1 + 2 * toward, 0, None),
        "single crystal": between + sharp.sum() * spots(sharp.shape, 30, rng),
        "filter": 0.1 * (sharp + between),
    }


@pytest.mark.parametrize("i0", [I0, None])
def test_decoys_are_never_bad(rings: Any, bench: Bench, i0: float | None) -> None:
    readbacks = {} if i0 is None else {"i0": i0}
    sharp, between = split_light(rings, COUNTS)
    reference = bench.reference(sharp + between, **readbacks)
    for name, expected in decoys(rings, bench.rng).items():
        for dim in (1.0, 0.01):
            if dim < 1:
                low = bench.reference(dim * (sharp + between), **readbacks)
                finding = judged(bench, low, dim * expected, **readbacks)
            else:
                finding = judged(bench, reference, expected, **readbacks)
            assert finding.state is not RAISED, (name, dim, finding.sentence)


def test_grains_that_turn_away_are_no_lost_sample(rings: Any, bench: Bench) -> None:
    sharp, between = split_light(rings, COUNTS)
    for number in (1, 3, 10, 100):
        for _ in range(3):
            frames = [
                between + sharp.sum() * spots(sharp.shape, number, bench.rng)
                for _ in range(3)
            ]
            reference = bench.reference(*frames, i0=I0)
            other = between + sharp.sum() * spots(sharp.shape, number, bench.rng)
            for expected in (other, between + 0.1 * other):
                if expected is not other and number > 10:
                    continue  # a hundred grains that all turn away at once are lost
                finding = judged(bench, reference, expected, i0=I0)
                assert finding.state is not RAISED, (number, finding.sentence)


def test_strong_spots_do_not_stand_for_the_rings(rings: Any, bench: Bench) -> None:
    # Diamonds outshine the powder in the reference, then turn away: the powder is left.
    sharp, between = split_light(rings, COUNTS)
    bright = sharp.sum() * 10 * spots(sharp.shape, 4, bench.rng)
    reference = bench.reference(sharp + between + bright, i0=I0)
    finding = judged(bench, reference, sharp + between, i0=I0)
    assert finding.state is not RAISED


def test_not_evaluated_without_rings_or_reference(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    sharp, between = parts
    assert judged(bench, None, sharp).state is FlagState.NOT_EVALUATED
    reference = bench.reference(between, i0=I0)
    finding = judged(bench, reference, sharp + between, i0=I0)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "no rings" in finding.sentence
    weak = bench.reference(between * 30 + 0.5 * sharp, i0=I0)
    finding = judged(bench, weak, between * 30, i0=I0)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "molten" in finding.sentence
