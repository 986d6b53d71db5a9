"""A flag taught from frames of one sample tells it in another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.models.heads import FlagHead
from ringwatch.models.lines_and_haze import POINTS, EvenGrid, stretched
from ringwatch.models.logistic import fit_logistic
from ringwatch.models.teaching import (
    FalseAlarms,
    rings,
    tail_threshold,
    teach_flag,
    upper_limit,
)

Floats = NDArray[np.float64]
Q = np.linspace(0.6, 6.0, 600)
FOIL = (2.69, 3.1, 4.39, 5.15, 5.38)


def lines(places: Floats, heights: Floats) -> Floats:
    shape = np.exp(-0.5 * ((Q[:, None] - places) / 0.012) ** 2)
    return np.asarray(shape @ heights)


def sample(seed: int) -> Floats:
    """Expected counts of a drawn material over haze."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(8, 25))
    peaks = lines(rng.uniform(1.0, 6.0, number), rng.exponential(1.0, number))
    share = rng.uniform(0.3, 0.6)
    haze = np.exp(-Q / rng.uniform(1.5, 2.0))
    light = share * peaks / peaks.sum() + (1.0 - share) * haze / haze.sum()
    return np.asarray(light * np.exp(rng.uniform(np.log(3e5), np.log(3e6))))


def with_foil(counts: Floats, strength: float) -> Floats:
    rings_of_it = lines(np.array(FOIL), np.array([1.0, 0.6, 0.5, 0.5, 0.2]))
    return counts + strength * counts.sum() * rings_of_it / rings_of_it.sum()


def counted(counts: Floats, number: int, seed: int) -> Floats:
    rng = np.random.default_rng([seed, 5])
    return rng.poisson(counts, (number, Q.size)).astype(np.float64)


@pytest.fixture(scope="module")
def stored() -> list[Floats]:
    return [counted(sample(100 + i), 12, i) for i in range(16)]


def test_a_taught_flag_tells_it_in_other_samples(stored: list[Floats]) -> None:
    own = sample(1)
    flag = teach_flag(
        Q, counted(with_foil(own, 0.08), 20, 1), counted(own, 20, 2), stored
    )
    others = [sample(500 + i) for i in range(30)]
    strengths = np.linspace(0.06, 0.12, 30)
    high = [
        flag.head.score(Q, counted(with_foil(each, s), 3, 900 + i))
        for i, (each, s) in enumerate(zip(others, strengths, strict=True))
    ]
    low = [flag.head.score(Q, counted(e, 3, 990 + i)) for i, e in enumerate(others)]
    assert (np.concatenate(high) >= 0.0).mean() >= 0.9
    assert (np.concatenate(low) >= 0.0).mean() <= 0.04
    assert flag.recall_taught == 1.0
    assert flag.alarms.frames == 16 * 12 + 20
    assert flag.alarms.alarms == 0


def test_brightness_and_sampling_do_not_matter(stored: list[Floats]) -> None:
    own = sample(1)
    taught = counted(with_foil(own, 0.08), 20, 1)
    head = teach_flag(Q, taught, counted(own, 20, 2), stored).head
    once = head.score(Q, taught)
    np.testing.assert_allclose(head.score(Q, 7.0 * taught), once, rtol=1e-9)
    alone = np.concatenate([head.score(Q, row[None]) for row in taught])
    np.testing.assert_array_equal(alone, once)
    short = Q < 4.0
    assert np.isnan(head.score(Q[short], taught[:, short])).all()


def test_the_same_lesson_gives_the_same_head(stored: list[Floats]) -> None:
    own = sample(1)
    lesson = counted(with_foil(own, 0.08), 20, 1), counted(own, 20, 2), stored
    first, again = (teach_flag(Q, *lesson).head.to_tensors() for _ in range(2))
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor, again[name])
    kept = FlagHead.of_tensors(first)
    np.testing.assert_array_equal(
        kept.score(Q, stored[0]), FlagHead.of_tensors(again).score(Q, stored[0])
    )


def test_tensors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no tensor"):
        FlagHead.of_tensors({})


def test_too_few_stored_runs_are_refused(stored: list[Floats]) -> None:
    own = counted(sample(1), 20, 2)
    with pytest.raises(ValueError, match="stored runs"):
        teach_flag(Q, own, own, stored[:2])


def test_an_alarm_takes_two_frames_in_a_row_and_rings_once() -> None:
    assert not rings(np.array([1.0, -1.0, 1.0, -1.0]))
    assert rings(np.array([-1.0, 0.0, 2.0, -1.0, 3.0, 3.0]))
    scores = [np.array([1.0, 1.0, -1.0, 1.0, 1.0]), np.full(5, -1.0)]
    found = FalseAlarms.of(scores, rate_hz=10.0)
    assert (found.alarms, found.raised, found.frames) == (1, 4, 10)
    assert found.per_hour == pytest.approx(3600.0)


@pytest.mark.parametrize(("count", "limit"), [(0, 2.996), (1, 4.744), (10, 16.962)])
def test_upper_limits_are_those_of_the_tables(count: int, limit: float) -> None:
    assert upper_limit(count) == pytest.approx(limit, abs=2e-3)


def test_the_tail_of_known_distributions_is_met() -> None:
    rng = np.random.default_rng(3)
    normal = rng.normal(size=20_000)
    assert tail_threshold(normal, 1e-4) == pytest.approx(3.72, abs=0.35)
    falling = rng.exponential(size=20_000)
    assert tail_threshold(falling, 1e-4) == pytest.approx(math.log(1e4), abs=0.7)


def test_haze_stays_where_lines_move() -> None:
    grid = EvenGrid(0.7, 5.9)
    x = grid.resample(Q, sample(7)[None])
    moved = stretched(np.repeat(x, 4, axis=0), grid, np.random.default_rng(1))
    assert moved.shape == (4, POINTS)
    np.testing.assert_allclose(moved.mean(axis=1), 1.0)
    ratio = grid.haze(moved) / grid.haze(x)
    assert np.abs(np.median(ratio, axis=1) - 1.0).max() < 0.1
    assert np.abs(moved - x).max() > 1.0  # lines elsewhere


def test_logistic_regression_finds_the_odds_of_two_normals() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(-1, 1, (4000, 1)), rng.normal(1, 1, (4000, 1))])
    weights, bias = fit_logistic(x, np.arange(8000) >= 4000, 1e-6)
    assert weights[0] == pytest.approx(2.0, abs=0.1)  # (mean difference) / variance
    assert bias == pytest.approx(0.0, abs=0.1)
