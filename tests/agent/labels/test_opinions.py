"""What counts of all that was said, and how far people agree."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from ringwatch.agent.labels.agreement import agreement, measure
from ringwatch.agent.labels.opinions import (
    opinions,
    said_flags,
    settled_classes,
)

from .conftest import label

FRAME = ("run-1", "primary", "det", 0)


def test_a_later_judgement_supersedes_ones_own_and_nobody_elses() -> None:
    first = label(0, says="wrong", time=1.0)
    second = label(0, says="class", value="ice Ih", time=2.0)
    other = label(0, "bo", "correct", time=1.5)
    said = opinions([second, other, first])[FRAME]
    assert said.judgements == {"ada": second, "bo": other}
    assert said.standing == [other, second]
    assert said.settled_class == ""  # ice for one, F--- for the other


def test_a_condition_stands_beside_a_class_until_it_is_withdrawn() -> None:
    said = [
        label(0, says="class", value="quartz", time=1.0),
        label(0, says="flag", value="window ice", time=2.0),
        label(0, "bo", "flag", value="window ice", time=3.0),
        label(1, says="flag", value="window ice", time=3.0),
        label(0, says="comment", comment="cold again", time=4.0),
    ]
    assert said_flags(said, "window ice") == [FRAME, (*FRAME[:3], 1)]
    assert settled_classes(said) == {FRAME: "quartz"}
    said.append(label(0, says="withdraw", time=5.0))
    left = opinions(said)[FRAME]
    assert [each.by for each in left.standing] == ["bo"]
    assert settled_classes(said) == {}


def test_a_withdrawn_adjudication_leaves_no_flag_of_its_own() -> None:
    said = [
        label(0, says="flag", value="window ice", time=1.0),
        label(1, "cy", "flag", value="window ice", adjudicated=True, time=2.0),
    ]
    assert said_flags(said, "window ice") == [FRAME, (*FRAME[:3], 1)]
    said += [label(i, "cy", "withdraw", adjudicated=True, time=3.0) for i in range(2)]
    assert said_flags(said, "window ice") == [FRAME]


def test_the_adjudicated_class_counts_and_changes_nobodys_label() -> None:
    said = [
        label(0, says="class", value="quartz", time=1.0),
        label(0, "bo", "class", value="calcite", time=2.0),
        label(0, "cy", "class", value="calcite", adjudicated=True, time=3.0),
    ]
    found = opinions(said)[FRAME]
    assert set(found.judgements) == {"ada", "bo"}
    assert settled_classes(said) == {FRAME: "calcite"}
    assert agreement(said).people == ("ada", "bo")
    assert agreement(said).disputed == (FRAME,)
    assert agreement(said).open == ()
    said.append(label(0, "cy", "withdraw", adjudicated=True, time=4.0))
    assert settled_classes(said) == {}
    assert agreement(said).open == (FRAME,)


def test_calling_the_machine_wrong_contradicts_its_class() -> None:
    right = label(0, says="correct", time=1.0)
    assert settled_classes([right]) == {FRAME: "F---"}
    denied = label(0, "bo", "wrong", time=2.0)
    assert settled_classes([right, denied]) == {}
    # Against another class than the machine's, that is no contradiction.
    named = label(0, says="class", value="quartz", time=3.0)
    assert settled_classes([named, denied]) == {FRAME: "quartz"}
    assert agreement([named, denied]).disputed == ()
    # To name the machine's own class is to call it right.
    same = label(0, says="class", value="F---", time=3.0)
    assert agreement([same, denied]).disputed == (FRAME,)


def test_cohens_kappa_of_a_table_by_hand() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed 0.7, by chance 0.5.
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    answers = [
        {"ada": first, "bo": second}
        for (first, second), times in table.items()
        for _ in range(times)
    ]
    found = measure([*answers, {"ada": "yes"}])
    assert (found.kind, found.frames) == ("Cohen", 50)
    assert found.share == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)


def test_fleiss_kappa_by_its_sums() -> None:
    # Three answers each: 3-0, 2-1, 1-2 and 0-3. Pairs that agree: 1, 1/3, 1/3, 1.
    rows = [("a", "a", "a"), ("a", "a", "b"), ("a", "b", "b"), ("b", "b", "b")]
    found = measure([dict(zip("xyz", row, strict=True)) for row in rows])
    assert Counter(answer for row in rows for answer in row) == {"a": 6, "b": 6}
    assert found.kind == "Fleiss"
    assert found.share == pytest.approx(2 / 3)
    assert found.kappa == pytest.approx((2 / 3 - 1 / 2) / (1 - 1 / 2))


def test_where_chance_explains_all_there_is_no_kappa() -> None:
    assert measure([]).to_object() == {
        "frames": 0,
        "share": None,
        "kappa": None,
        "kind": "Cohen",
    }
    found = measure([{"ada": "right", "bo": "right"}] * 3)
    assert found.share == 1.0
    assert math.isnan(found.kappa)
