"""The benchmarks of what is taught and what is new, in a quick form."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.benchmarks.drawn_beamtimes import auroc, drawn
from ringwatch.benchmarks.pattern_runs import Blend, draw, expected_pattern, material
from ringwatch.benchmarks.taught_conditions import CONDITIONS, TAUGHT_AS
from ringwatch.benchmarks.teaching import SEED, Bench, measure


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench.make(0.1, np.random.default_rng(SEED), held_out=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["second_phase", "solvent"])
def test_twenty_frames_teach_a_flag(bench: Bench, name: str) -> None:
    row = measure(name, bench, SEED, None)
    assert row["recall"] >= 0.9
    assert row["false_per_hour"] == 0.0
    assert row["told_per_hour"] <= 1.0
    assert row["cpu_s"] < 60.0


@pytest.mark.slow
def test_new_phases_are_novel_and_two() -> None:
    row = drawn(2, 5)
    assert row["auroc_worst"] >= 0.9
    assert row["two_clusters"] == 2


def test_patterns_are_drawn_with_counting_noise() -> None:
    expected = expected_pattern(Blend(((material(0), 1.0),)), counts=1e6)
    seen = draw(expected, 400, np.random.default_rng(1))
    lit = expected > 100.0
    scale = (seen.intensity.mean(axis=0) / np.maximum(expected, 1e-9))[lit]
    counts = seen.intensity[:, lit] / scale
    ratio = counts.var(axis=0) / counts.mean(axis=0)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", list(CONDITIONS))
def test_a_condition_grows_with_its_strength(name: str) -> None:
    plain = expected_pattern(Blend(((material(1), 1.0),)), counts=1e6)
    less, more = (CONDITIONS[name](plain, s * TAUGHT_AS) for s in (1.0, 2.0))
    assert 0.0 < np.abs(less - plain).sum() < np.abs(more - plain).sum()
    assert (less >= 0.0).all()


def test_the_area_under_the_curve_counts_pairs() -> None:
    scores = np.array([0.0, 1.0, 1.0, 2.0])
    positive = np.array([False, False, True, True])
    assert auroc(scores, positive) == pytest.approx((1.0 + 0.5 + 1.0 + 1.0) / 4.0)
