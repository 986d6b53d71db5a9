"""A line through recent values: where it meets a target, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ringwatch.plans.trend import Course, fit_trend


def noisy(course: Course, size: int, seed: int, sigma: float) -> tuple:
    times = np.arange(size) * 0.5 + 1e9  # seconds of the epoch keep their precision
    eta = -1.0 + 0.04 * (times - 1e9)
    truth = eta if course == "linear" else np.exp(eta)
    return times, truth + np.random.default_rng(seed).normal(0.0, sigma, size)


@pytest.mark.parametrize("course", ["linear", "exponential"])
def test_intervals_hold_what_they_say(course: Course) -> None:
    inside, wider = 0, []
    trials = 400
    for seed in range(trials):
        times, values = noisy(course, 25, seed, 0.02)
        trend = fit_trend(times, values, course)
        assert trend is not None
        at = times[-1] + 2.0
        eta = -1.0 + 0.04 * (at - 1e9)
        truth = eta if course == "linear" else math.exp(eta)
        expected = trend.at(at)
        inside += expected.low <= truth <= expected.high
        alone = replace(trend, others=()).at(at)
        wider.append((expected.high - expected.low) / (alone.high - alone.low))
    # Where a parabola is true it would do alone: the others cost width, not too much.
    assert inside / trials >= 0.95
    assert 1.0 < float(np.median(wider)) < 2.5


def test_a_bend_shortens_the_past() -> None:
    times = np.arange(60.0)
    values = 1.0 / (1.0 + np.exp(-(times - 30.0) / 6.0))  # it slows down in the end
    values += np.random.default_rng(1).normal(0.0, 2e-3, times.size)
    trend = fit_trend(times, values, "exponential")
    assert trend is not None
    assert trend.points < 30
    ahead = 1.0 / (1.0 + math.exp(-(61.0 - 30.0) / 6.0))
    expected = trend.at(61.0)
    assert expected.low - 0.01 < ahead < expected.high + 0.01


def test_it_meets_a_target_where_it_is_heading() -> None:
    for course in ("linear", "exponential"):
        times, values = noisy(course, 30, 2, 1e-3)
        trend = fit_trend(times, values, course)
        assert trend is not None
        eta = -1.0 + 0.04 * 17.0
        met = trend.crossing(eta if course == "linear" else math.exp(eta))
        assert met == pytest.approx(1e9 + 17.0, abs=0.3)
        assert trend.slope(times[-1]) == pytest.approx(0.04, rel=0.1)


def test_a_curve_that_turns_meets_nothing_beyond() -> None:
    times = np.arange(20.0)
    trend = fit_trend(times, 10.0 - 0.02 * (times - 19.0) ** 2)
    assert trend is not None
    assert trend.crossing(10.5) is None


@pytest.mark.parametrize(
    ("times", "values", "course"),
    [
        ([0.0, 1.0], [1.0, 2.0], "linear"),
        ([], [], "linear"),
        ([1.0] * 8, [1.0, 2.0] * 4, "linear"),
        (
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            [1.0, 2.0, -1.0, 3.0, 4.0, 5.0],
            "exponential",
        ),
    ],
)
def test_too_little_to_go_by(
    times: list[float], values: list[float], course: Course
) -> None:
    assert fit_trend(np.array(times), np.array(values), course) is None


def test_an_exponential_never_meets_zero() -> None:
    times, values = noisy("exponential", 20, 3, 1e-3)
    trend = fit_trend(times, values, "exponential")
    assert trend is not None
    assert trend.crossing(0.0) is None
