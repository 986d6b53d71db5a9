"""Conditions on verdicts: streaks, revisions, and words that are none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ringwatch.agent.nouns import Word
from ringwatch.plans.conditions import (
    Streak,
    flag_is,
    label_is,
    verdict_is,
)
from ringwatch.plans.heard import Heard
from ringwatch.plans.reaching import reaches


def heard(index: int, word: str = "good", **given: Any) -> Heard:
    what: dict[str, Any] = {
        "run_uid": "r",
        "stream": "primary",
        "data_key": "image",
        "index": index,
        "seq_num": index + 1,
        "taken": float(index),
        "revision": 0,
        "final": True,
        "word": Word(word),
        "reason": "a reason",
    }
    return Heard(**(what | given))


def met(condition: Any, *verdicts: Heard) -> bool:
    condition.begin()
    for one in verdicts:
        condition.take(one, float(one.index))
    return condition.crossing(100.0) is not None


def test_a_streak_is_one_after_another() -> None:
    bad = verdict_is("bad", frames=3)
    assert not met(bad, *(heard(i, "bad") for i in range(2)))
    assert met(bad, *(heard(i, "bad") for i in range(3)))
    assert not met(bad, heard(0, "bad"), heard(1), heard(2, "bad"), heard(3, "bad"))
    unknown = heard(1, "unknown")
    assert met(bad, heard(0, "bad"), unknown, heard(2, "bad"), heard(3, "bad"))
    other = heard(5, "bad", run_uid="next")
    assert not met(bad, heard(8, "bad"), heard(9, "bad"), other)


def test_a_later_revision_replaces_its_frame() -> None:
    bad = verdict_is("bad", frames=2)
    assert not met(bad, heard(0, "bad"), heard(1, "bad"), heard(0, revision=1))
    assert met(bad, heard(0, "bad"), heard(1), heard(1, "bad", revision=1))


def test_frames_may_come_out_of_order() -> None:
    bad = verdict_is("bad", frames=2)
    assert met(bad, heard(2, "bad"), heard(0), heard(1, "bad"))
    assert not met(bad, heard(2), heard(0, "bad"), heard(1, "bad"))


def test_labels_and_flags() -> None:
    label = label_is("F---", prob=0.8, frames=2)
    sure = [heard(i, label="F---", label_prob=0.9) for i in range(3)]
    assert met(label, *sure)
    assert met(label, sure[0], heard(1), sure[2])  # shed: no label, says nothing
    assert not met(label, sure[0], heard(1, label="F---", label_prob=0.7))
    flag = flag_is("change_point")
    assert met(flag, heard(0, primary_flag="change_point"))
    assert not met(flag, heard(0, primary_flag="no_beam"))


def test_a_value_is_not_believed_of_a_bad_frame() -> None:
    values = [0.1 * 1.1**i for i in range(12)]
    target = 0.1 * 1.1**13
    fine = [heard(i, values={"x": v}) for i, v in enumerate(values)]
    condition = reaches("x", target, course="exponential")
    for one in [*fine, heard(12, "bad", values={"x": 9.0})]:
        condition.take(one, float(one.index))
    crossing = condition.crossing(12.0)
    assert crossing is not None
    assert crossing.time == pytest.approx(13.0, abs=1e-6)
    assert crossing.expected.value == pytest.approx(target)
    # A later revision says that one of them was bad all along.
    condition.take(heard(11, "bad", revision=1, values={"x": 0.2}), 11.0)
    trend = condition.trend
    assert trend is not None
    assert trend.points == 11


def test_no_forecast_far_beyond_the_past_or_the_other_way() -> None:
    rising = [heard(i, values={"x": float(i)}) for i in range(10)]
    far = reaches("x", 30.0)
    for one in rising:
        far.take(one, float(one.index))
    assert far.crossing(9.0) is None
    below = reaches("x", -5.0)
    for one in rising:
        below.take(one, float(one.index))
    assert below.crossing(9.0) is None


def test_a_passed_target_is_met_now() -> None:
    condition = reaches(lambda h: h.values.get("x"), 4.5)
    for i in range(10):
        condition.take(heard(i, values={"x": float(i)}), float(i))
    crossing = condition.crossing(11.0)
    assert crossing is not None
    assert crossing.time == 11.0
    assert crossing.expected.value == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: verdict_is("fine"), "fine"),
        (verdict_is, "at least one"),
        (lambda: flag_is("no_such"), "no flag 'no_such'"),
        (lambda: label_is("F---", prob=2.0), "prob is 2.0"),
        (lambda: verdict_is("bad", frames=0), "frames is 0"),
        (lambda: Streak(lambda _: True, "x", frames=-1), "frames is -1"),
        (lambda: reaches("x", math.nan), "target is nan"),
        (lambda: reaches("x", -1.0, course="exponential"), "a positive number"),
    ],
)
def test_what_cannot_be_asked(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
