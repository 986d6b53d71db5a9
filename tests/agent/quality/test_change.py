"""Change points: silent on noise, quick on what changes, never bad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.nouns import FlagState, Severity
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.facts import Seen
from ringwatch.agent.quality.pattern.change_point import ChangePoint

from .drawn_profiles import Drawn

SETTINGS = QualitySettings()


LINES = np.linspace(1.2, 5.6, 15)


@pytest.fixture
def watch(rng):
    """Judge a run of expected profiles; (findings)."""

    def watched(means, *, drawn=None, spoil=None):
        drawn, change = drawn or Drawn(), ChangePoint()
        found = []
        for mean in means:
            seen = drawn.seen(mean, rng)
            if spoil is not None:
                spoiled = seen.profiles.mean.copy()
                spoil(spoiled)
                profiles = replace(seen.profiles, mean=spoiled)
                seen = Seen(profiles=profiles, rings=seen.rings)
            found.append(change.judge(seen, SETTINGS))
        return found

    return watched


def powder(drawn, counts=1e6, scale=1.0, heights=None):
    heights = np.ones(LINES.size) if heights is None else heights
    rings = drawn.rings(LINES * scale, heights)
    return counts * (0.5 * drawn.halo() + 0.5 * rings)


def up(found):
    return [i for i, f in enumerate(found) if f.state is FlagState.RAISED]


@pytest.mark.parametrize("counts", [1e3, 1e5, 1e7])
def test_nothing_changes_in_frames_of_any_brightness(counts, watch, rng):
    drawn = Drawn()
    whole = powder(drawn, counts)
    found = watch([whole * rng.uniform(0.3, 3.0) for _ in range(2000)])
    assert not up(found)
    assert all(f.state is FlagState.CLEAR for f in found[6:])
    assert np.mean([f.value for f in found[20:]]) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("counts", "step"), [(1e5, 1e-3), (1e6, 3e-4), (1e7, 1.5e-4)])
def test_a_jump_of_the_lattice_is_seen_at_once(counts, step, watch):
    drawn = Drawn()
    means = [powder(drawn, counts, 1 + step * (i >= 12)) for i in range(24)]
    found = watch(means)
    assert up(found) == [12]
    assert found[12].severity is Severity.INFORMATION
    assert "of the light went to other radii" in found[12].sentence


def test_a_new_phase_and_a_lost_one_are_two_changes(watch):
    drawn = Drawn()
    other = np.where(np.arange(LINES.size) % 3, 1.0, 0.0)
    means = [powder(drawn, heights=other if 15 <= i < 30 else None) for i in range(45)]
    assert up(watch(means)) == [15, 30]


def test_brightness_pedestal_and_zingers_are_no_change(watch, rng):
    drawn = Drawn()
    whole = powder(drawn)
    pedestal = whole.mean()
    means = [whole * (0.3 if i >= 12 else 1) + pedestal * (i >= 20) for i in range(30)]
    assert not up(watch(means))

    def zinger(profile):
        profile[rng.integers(60, 700)] += rng.exponential(5e4) / 1000

    assert not up(watch([whole] * 300, spoil=zinger))


def test_grains_that_turn_make_their_own_scatter_usual(watch, rng):
    drawn = Drawn()
    for spread in (0.02, 0.1, 1.0):
        heights = rng.lognormal(0, spread, (300, LINES.size))
        assert not up(watch([powder(drawn, 1e7, heights=h) for h in heights]))


def test_the_first_frames_are_not_evaluated_and_a_frame_twice_is_no_change(rng):
    drawn, change = Drawn(), ChangePoint()
    mean = powder(drawn)
    for index in range(8):
        seen = drawn.seen(mean, rng)
        finding = change.judge(seen, SETTINGS)
        known = FlagState.CLEAR if index >= 5 else FlagState.NOT_EVALUATED
        assert finding.state is known
    none = change.judge(Seen(profiles=None, rings=None), SETTINGS)
    assert none.state is FlagState.NOT_EVALUATED
    twice = ChangePoint()
    twice.judge(seen, SETTINGS)
    assert twice.judge(seen, SETTINGS).state is FlagState.CLEAR


def test_what_changed_during_a_fault_is_told_after_it(rng):
    """The fault itself is no memory: the next sound frame differs from the last."""
    drawn, change = Drawn(), ChangePoint()
    cold, hot = powder(drawn), powder(drawn, scale=1.002)
    found = []
    for index in range(16):
        faulty = 8 <= index < 10
        mean = 300 * cold + 5.0 if faulty else hot if index >= 10 else cold
        seen = drawn.seen(mean, rng)
        found.append(change.judge(seen, SETTINGS, sound=not faulty))
    assert up(found)[-1] == 10
    assert "compare with the sound frame before" in found[10].sentence


def test_same_frames_give_same_bits(rng):
    drawn = Drawn()
    run = [drawn.seen(powder(drawn, scale=1 + 1e-4 * i), rng) for i in range(20)]
    first, second = ChangePoint(), ChangePoint()
    for seen in run:
        one, two = first.judge(seen, SETTINGS), second.judge(seen, SETTINGS)
        assert repr(one) == repr(two)
