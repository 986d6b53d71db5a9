"""Two passes are equal only if every frame's every field is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from ringwatch.agent.cli.compare import (
    BOOKKEEPING,
    compare_verdicts,
    condensed,
    differences,
    final_verdicts,
    verdict_digest,
)
from ringwatch.agent.nouns import FrameRef, LostLocator
from ringwatch.agent.results import DerivedRun
from ringwatch.agent.runs.verdicts import unknown_verdict
from ringwatch.agent.timings import TIMINGS

Documents = list[tuple[str, dict[str, Any]]]


def derived(
    raw_uid: str, indices: Iterable[int], *, key: str = "det_image"
) -> Documents:
    """Documents of a derived run with one unknown verdict a frame."""
    run = DerivedRun({"uid": raw_uid}, analysis_id="id", attempt=1, metadata={})
    documents = run.start()
    for index in indices:
        ref = FrameRef(
            run_uid=raw_uid,
            stream="primary",
            data_key=key,
            index=index,
            seq_num=index + 1,
            time=float(index),
            locator=LostLocator(reason="gone"),
        )
        documents += run.event(unknown_verdict(ref, "gone", "id", 0.0))
    return documents + run.stop()


def data_of(documents: Documents, number: int) -> dict[str, Any]:
    data: dict[str, Any] = [d for n, d in documents if n == "event"][number]["data"]
    return data


def test_two_passes_over_one_run_are_equal() -> None:
    first, second = derived("run", range(3)), derived("run", range(3))
    data_of(second, 1).update(dict.fromkeys(TIMINGS, 1e9))
    assert math.isnan(data_of(first, 0)["label_prob"])  # NaN equals NaN
    assert len(final_verdicts(first)) == 3
    assert differences(first, second) == []


def test_runs_and_data_keys_are_kept_apart() -> None:
    """A dark run has a stream ``primary`` too, and a stream may have two images."""
    both = derived("dark", range(2)) + derived("run", range(2))
    assert len(final_verdicts(both)) == 4
    assert len(differences(both, derived("run", range(2)))) == 2
    assert len(differences(derived("dark", range(2)), derived("run", range(2)))) == 4
    other = derived("run", range(2), key="other_image")
    assert len(differences(derived("run", range(2)), other)) == 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1.0, math.nextafter(1.0, 2)),
        (math.nan, 0.0),
        ("good", "bad"),
        (np.array([1.0, 2.0]), np.array([1.0, math.nextafter(2.0, 3)])),
        (np.array([0.0]), np.array([-0.0])),
        (np.array([1], np.int64), np.array([1], np.int32)),
    ],
)
def test_the_last_bit_counts(first: Any, second: Any) -> None:
    a, b = derived("run", range(2)), derived("run", range(2))
    data_of(a, 1)["field"], data_of(b, 1)["field"] = first, second
    (difference,) = differences(a, b)
    assert (difference.frame.index, difference.field) == (1, "field")
    data_of(b, 1)["field"] = first
    assert differences(a, b) == []


def test_a_frame_without_its_one_final_verdict_is_a_difference() -> None:
    whole = derived("run", range(3))
    (missing,) = differences(whole, derived("run", range(2)))
    assert (missing.first, missing.second) == (1, 0)
    assert "frame 2" in str(missing)
    twice = derived("run", [0, 1, 1, 2])
    (double,) = differences(twice, twice)  # they agree, and are wrong
    assert (double.frame.index, double.first, double.second) == (1, 2, 2)


def test_words_that_changed_are_counted() -> None:
    old, new = derived("run", range(4)), derived("run", range(4))
    for number in (1, 3):
        data_of(new, number).update(verdict="good", reason="all clear")
    data_of(new, 2)["revision"] = 7  # how it came about, not what it says
    data_of(new, 2).update(dict.fromkeys(TIMINGS, 1e6))
    found = compare_verdicts(final_verdicts(old), final_verdicts(new))
    assert (found.frames, len(found.unlike)) == (4, 2)
    assert found.words == {("unknown", "good"): 2}
    assert found.fields == {"verdict": 2, "reason": 2}
    assert [unlike.frame.index for unlike in found.unlike] == [1, 3]
    assert found.not_compared == ()


def test_frames_of_one_pass_only_differ() -> None:
    whole = final_verdicts(derived("run", range(3)))
    found = compare_verdicts(whole, final_verdicts(derived("run", range(2))))
    assert (found.frames, found.words) == (3, {("unknown", "(none)"): 1})
    assert compare_verdicts({}, whole).words == {("(none)", "unknown"): 3}


def test_fields_that_another_version_did_not_know_are_told_apart() -> None:
    old, new = derived("run", range(2)), derived("run", range(2))
    for number in range(2):
        data_of(new, number)["z_brand_new"] = 1.0
        del data_of(old, number)["wait_ms"]  # a timing is missed by nobody
    found = compare_verdicts(final_verdicts(old), final_verdicts(new))
    assert found.unlike == []
    assert found.not_compared == ("z_brand_new",)


def test_passes_of_one_version_are_compared_in_every_field() -> None:
    """As live and replay are, where ``--diff`` leaves another version's fields out."""
    old, new = derived("run", range(2)), derived("run", range(2))
    data_of(new, 0)["z_brand_new"] = 1.0
    data_of(new, 1)["revision"] = 7
    data_of(new, 1).update(dict.fromkeys(TIMINGS, 1e6))
    found = [(d.frame.index, d.field, d.second) for d in differences(old, new)]
    assert found == [(0, "z_brand_new", 1.0), (1, "revision", 7)]
    (left,) = differences(old, new, leaving_out=BOOKKEEPING)
    assert left.field == "z_brand_new"
    assert compare_verdicts(final_verdicts(old), final_verdicts(new)).unlike == []


def test_a_long_array_is_compared_by_its_hash() -> None:
    old, new = derived("run", range(1)), derived("run", range(1))
    pattern = np.linspace(0, 1, 2000)
    data_of(old, 0)["intensity"] = pattern
    data_of(new, 0)["intensity"] = pattern.copy()
    digests = []
    for step in range(2):
        sides = [
            {
                frame: [condensed(data) for data in found]
                for frame, found in side.items()
            }
            for side in (final_verdicts(old), final_verdicts(new))
        ]
        found = compare_verdicts(*sides)
        assert found.fields == ({"intensity": 1} if step else {})
        digests += [verdict_digest(side) for side in sides]
        data_of(new, 0)["intensity"][1234] = math.nextafter(pattern[1234], 2)
    assert digests[0] == digests[1] == digests[2] != digests[3]
    (data,) = next(iter(sides[0].values()))
    assert isinstance(data["intensity"], str)
