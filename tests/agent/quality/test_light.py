"""The monitor and the frame: who of them lost the light."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.light.comparison import compare_light
from ringwatch.agent.quality.light.monitor import LightHistory

from .light_frames import Bench, judged

RAISED, CLEAR = FlagState.RAISED, FlagState.CLEAR
COUNTS = 1e6
Frame = NDArray[Any]


@pytest.mark.parametrize(
    ("light", "i0", "states"),
    [
        (1.0, 1.0, (CLEAR, CLEAR)),
        (0.95, 1.0, (RAISED, CLEAR)),
        (0.95, 0.95, (CLEAR, CLEAR)),  # decay of the ring
        (1.3, 1.3, (CLEAR, CLEAR)),  # top-up
        (1.0, 0.95, (CLEAR, RAISED)),
        (1.0, 1.05, (CLEAR, RAISED)),
        (1.0, 0.0, (FlagState.NOT_EVALUATED, RAISED)),
        (1.3, 1.0, (CLEAR, RAISED)),  # a filter behind the monitor went out
        (1.3, 0.9, (CLEAR, RAISED)),
        (1.02, 1.0, (CLEAR, CLEAR)),
        (0.98, 1.0, (CLEAR, CLEAR)),  # below the tolerance, however sure
    ],
)
def test_truth_table(
    bench: Bench,
    parts: tuple[Frame, Frame],
    light: float,
    i0: float,
    states: tuple[FlagState, FlagState],
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    for _ in range(5):
        drop, suspect = judged(bench, reference, light * whole, i0=i0 * 2e5)
        assert (drop.state, suspect.state) == states


def test_value_is_the_injected_one(bench: Bench, parts: tuple[Frame, Frame]) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    found = [judged(bench, reference, 0.9 * whole, i0=1.8e5 / 0.8) for _ in range(12)]
    values = np.array([drop.value for drop, _ in found])
    sigma = found[0][0].further["intensity_over_i0_sigma"]
    assert sigma == pytest.approx(math.sqrt(1 / 9e5 + 1 / 3e6) * 0.8, rel=0.1)
    assert abs(values.mean() - 0.8) < 4 * sigma
    assert values.std() < 2 * sigma


def test_five_per_cent_loss_is_recalled_and_named(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    found = [judged(bench, reference, 0.95 * whole, i0=2e5) for _ in range(40)]
    assert all(drop.state is RAISED for drop, _ in found)
    assert all(suspect.state is CLEAR for _, suspect in found)
    assert "95" in found[0][0].sentence or "94" in found[0][0].sentence


def test_what_changes_only_the_rings_is_no_lost_beam(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    sharp, between = parts
    reference = bench.reference(sharp + between, i0=2e5)
    for expected in (between + 0.5 * sharp, between, 1.3 * between + 0.5 * sharp):
        drop, suspect = judged(bench, reference, expected, i0=2e5)
        assert (drop.state, suspect.state) == (CLEAR, CLEAR)


def test_a_pedestal_that_no_dark_takes_away_is_no_lie_of_the_monitor(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    # Half of the counts are offset: the beam decays by 30 %, the counts by 15 %.
    whole = parts[0] + parts[1]
    offset = np.full_like(whole, whole.mean())
    reference = bench.reference(whole + offset, i0=2e5)
    drop, suspect = judged(bench, reference, 0.7 * whole + offset, i0=1.4e5)
    assert drop.value == pytest.approx(0.85 / 0.7, rel=0.01)
    assert (drop.state, suspect.state) == (CLEAR, CLEAR)


def test_the_one_that_moved_last_is_at_fault(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    # After a top-up by half both readings are far from the reference.
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    history = LightHistory()
    judged(bench, reference, 1.5 * whole, history, i0=3e5)
    drop, suspect = judged(bench, reference, 1.5 * 0.94 * whole, history, i0=3e5)
    assert (drop.state, suspect.state) == (RAISED, CLEAR)
    drop, suspect = judged(bench, reference, 1.5 * whole, history, i0=1.5 * 1.9e5)
    assert (drop.state, suspect.state) == (CLEAR, RAISED)


def test_a_slow_loss_is_a_loss(bench: Bench, parts: tuple[Frame, Frame]) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    history = LightHistory()
    states = [
        judged(bench, reference, (1 - 0.002 * n) * whole, history, i0=2e5)
        for n in range(25)
    ]
    assert states[0][0].state is CLEAR
    assert states[-1][0].state is RAISED
    assert all(suspect.state is CLEAR for _, suspect in states)


def test_scatter_of_a_spinning_sample_raises_the_bar(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    history = LightHistory()
    uneven = 1.0 + 0.015 * bench.rng.standard_normal(30)
    for scale in uneven:
        drop, _ = judged(bench, reference, scale * whole, history, i0=2e5)
    assert history.scatter == pytest.approx(0.015, rel=0.5)
    drop, _ = judged(bench, reference, 0.955 * whole, history, i0=2e5)
    assert drop.state is CLEAR
    drop, _ = judged(bench, reference, 0.8 * whole, history, i0=2e5)
    assert drop.state is RAISED


def test_clean_frames_stay_clear_whatever_the_counts(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    whole = parts[0] + parts[1]
    for counts in (1e3, 1e5):
        expected = whole * (counts / COUNTS)
        reference = bench.reference(expected, i0=2e5)
        history = LightHistory()
        found = [judged(bench, reference, expected, history, i0=2e5) for _ in range(40)]
        assert all(f.state is CLEAR for pair in found for f in pair)
        z = np.array([drop.z for drop, _ in found])
        assert z.std() < 1.5
        assert abs(z).max() < 4.5


@pytest.mark.parametrize("counts_per_exposure", [True, False])
def test_another_exposure_is_no_loss(
    bench: Bench, parts: tuple[Frame, Frame], counts_per_exposure: bool
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5, exposure_time=1.0)
    i0 = 1e5 if counts_per_exposure else 2e5
    drop, suspect = judged(bench, reference, 0.5 * whole, i0=i0, exposure_time=0.5)
    assert (drop.state, suspect.state) == (CLEAR, CLEAR)
    assert drop.value == pytest.approx(1.0, abs=0.02)
    assert drop.further["intensity_ratio"] == pytest.approx(1.0, abs=0.02)


def test_not_evaluated_says_what_is_missing(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    for drop, suspect in (
        judged(bench, reference, whole),
        judged(bench, reference, whole, i0=math.nan),
        judged(bench, None, whole, i0=2e5),
        judged(bench, reference, whole, settings=QualitySettings(i0_key="ion"), i0=2e5),
    ):
        assert drop.state is suspect.state is FlagState.NOT_EVALUATED
        assert drop.sentence == suspect.sentence != ""
    assert "ion" in drop.sentence


@pytest.mark.parametrize("i0", [math.inf, -math.inf, math.nan, 1e308, 5e-324])
def test_a_monitor_that_overflowed_is_no_error(
    bench: Bench, parts: tuple[Frame, Frame], i0: float
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    history = LightHistory()
    for reading in (2e5, i0, 2e5):
        drop, suspect = judged(bench, reference, whole, history, i0=reading)
        if not math.isfinite(reading):
            assert drop.state is suspect.state is FlagState.NOT_EVALUATED
    assert drop.state is suspect.state is CLEAR


def test_nothing_in_nothing_out(bench: Bench, parts: tuple[Frame, Frame]) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    facts, seen = bench.look(whole, 3, i0=2e5)
    assert seen.profiles is not None
    blind = replace(seen.profiles, mean=np.full_like(seen.profiles.mean, math.nan))
    looked = Seen(profiles=blind, rings=seen.rings)
    for finding in LightHistory().judge(facts, looked, reference, bench.settings):
        assert finding.state is FlagState.NOT_EVALUATED


def test_comparison_gives_each_part_back(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    sharp, between = parts
    reference = bench.reference(sharp + between)
    _, seen = bench.look(0.6 * sharp + 0.9 * between)
    assert seen.profiles is not None
    light = compare_light(seen.profiles, reference)
    assert light is not None
    wanted = (0.6 * sharp + 0.9 * between).sum() / (sharp + between).sum()
    assert light.total == pytest.approx(wanted, abs=5 * light.sigma)
    assert light.rings == pytest.approx(0.6, abs=0.02)
    assert light.structure == pytest.approx(0.6, abs=0.02)
    # A tail of the rings reaches between them.
    assert 0.6 < light.between < 0.92
