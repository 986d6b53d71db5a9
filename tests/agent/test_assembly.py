"""What an agent goes on with after a former one died: one final verdict a frame."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.nouns import (
    FrameRef,
    LostLocator,
    Pattern,
    Quality,
    Verdict,
    Word,
)
from ringwatch.agent.results import DerivedRun
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sinks.spooled import SpooledSink
from ringwatch.agent.spool.contents import FINAL_BEFORE, ranges
from ringwatch.agent.unfinished_runs import Unfinished, unfinished

from .conftest import SHAPE
from .derived_documents import put_all
from .spooling import Make

NOBODY = "http://127.0.0.1:9"  # nobody listens
RAW = {"uid": "raw", "time": 1.0, "sample_name": "CeO2"}


@pytest.fixture
def before(poni: Path) -> Analysis:
    return Analysis(load_settings(poni=poni, classifier="none", npt=90), None)


@pytest.fixture
def now(poni: Path) -> Analysis:
    return Analysis(load_settings(poni=poni, classifier="none", npt=100), None)


def a_run(analysis: Analysis) -> DerivedRun:
    return DerivedRun(
        RAW,
        analysis_id=analysis.analysis_id,
        attempt=1,
        metadata=analysis.hashes,
        q=analysis.bins,
    )


def a_verdict(index: int, analysis: Analysis) -> Verdict:
    frame = FrameRef(
        run_uid="raw",
        stream="primary",
        data_key="det",
        index=index,
        seq_num=index + 1,
        time=1.0,
        locator=LostLocator(reason="gone"),
        shape=SHAPE,
    )
    q = analysis.bins(SHAPE)
    assert q is not None
    quality = Quality(
        states={}, why_not={}, z={}, values={}, severities={}, primary=None,
        word=Word.GOOD, reason="",
    )  # fmt: skip
    return Verdict(
        frame=frame,
        word=Word.GOOD,
        reason="",
        quality=quality,
        prediction=None,
        pattern=Pattern(q=q, intensity=q, sigma=q, coverage=np.ones_like(q)),
        analysis_id=analysis.analysis_id,
        latency_ms=1.0,
    )


def say(
    sink: SpooledSink, run: DerivedRun, analysis: Analysis, indices: Iterable[int]
) -> None:
    for index in indices:
        put_all(sink, run.event(a_verdict(index, analysis)))


def left_by(sink: SpooledSink) -> None:
    """The process of this sink is gone, its runs are not stopped."""
    assert sink.save(10)
    sink.close(0.1)


def found(sink: SpooledSink, analysis: Analysis) -> Unfinished:
    (left,) = unfinished([sink], analysis)
    return left


def frames(indices: Iterable[int]) -> frozenset[tuple[str, str, int]]:
    return frozenset(("primary", "det", index) for index in indices)


def test_what_was_final_before_the_settings_changed_stays_final(
    make: Make, spool: Path, before: Analysis, now: Analysis
) -> None:
    """Twice killed, with other settings in between: no frame is judged twice."""
    first, run = make(NOBODY), a_run(before)
    put_all(first, run.start())
    say(first, run, before, range(5))
    left_by(first)
    early = make(NOBODY)  # killed before it had anything to say
    assert found(early, now).attempt == 2
    left_by(early)
    second = make(NOBODY)
    left = found(second, now)
    assert (left.raw_uid, left.attempt, left.final) == ("raw", 2, frames(range(5)))
    say(second, left.derived, now, (5, 6))
    assert second.finished() == []
    left_by(second)
    third = make(NOBODY)
    again = found(third, now)
    assert (again.attempt, again.final) == (2, frames(range(7)))
    assert again.derived.uid == left.derived.uid
    [(name, stop)] = again.derived.stop()
    assert (name, stop["verdicts"]) == ("stop", {"good": 2})
    put_all(third, [(name, stop)])
    assert third.finished() == ["raw"]
    left_by(third)
    assert len(list(spool.rglob("*.spool"))) == 2
    assert list(unfinished([make(NOBODY)], now)) == []


def test_next_attempt_says_whose_place_it_takes(
    make: Make, before: Analysis, now: Analysis
) -> None:
    sink, run = make(NOBODY), a_run(before)
    put_all(sink, run.start())
    say(sink, run, before, (0, 1, 3))
    left_by(sink)
    later = found(make(NOBODY), now).derived.event(a_verdict(2, now))
    names = [name for name, _ in later]
    assert names == ["start", "stop", "descriptor", "event"]
    start, stop = later[0][1], later[1][1]
    assert start[FINAL_BEFORE] == [["primary", "det", 0, 1], ["primary", "det", 3, 3]]
    assert (start["raw_uid"], start["sample_name"]) == ("raw", "CeO2")
    assert (start["attempt"], start["analysis_id"]) == (2, now.analysis_id)
    assert (stop["run_start"], stop["exit_status"]) == (run.uid, "abort")
    assert "another analysis" in stop["reason"]
    assert stop["verdicts"] == {"good": 3}
    assert stop["num_events"] == {"primary": 3}
    assert later[3][1]["data"]["intensity"].shape == now.bins(SHAPE).shape  # type: ignore[union-attr]


def test_all_final_already_still_ends_both(
    make: Make, before: Analysis, now: Analysis
) -> None:
    sink, run = make(NOBODY), a_run(before)
    put_all(sink, run.start())
    say(sink, run, before, range(3))
    left_by(sink)
    last = make(NOBODY)
    put_all(last, found(last, now).derived.stop())
    assert last.finished() == ["raw"]
    left_by(last)
    assert list(unfinished([make(NOBODY)], now)) == []


def test_two_attempts_left_at_one_raw_run_become_one(
    make: Make, before: Analysis
) -> None:
    """Two agents shared the spool: what either said stays, and both runs end."""
    sink = make(NOBODY)
    for indices in (range(3), range(2, 6)):
        run = a_run(before)
        put_all(sink, run.start())
        say(sink, run, before, indices)
    left_by(sink)
    late = make(NOBODY)
    left = found(late, before)
    assert (left.attempt, left.final) == (2, frames(range(6)))
    put_all(late, left.derived.stop())
    assert late.finished() == ["raw"]


def test_run_killed_before_its_first_event_gets_its_patterns(
    make: Make, before: Analysis
) -> None:
    """No descriptor says the bins: those of the analysis are taken."""
    sink, run = make(NOBODY), a_run(before)
    put_all(sink, run.start())
    left_by(sink)
    left = found(make(NOBODY), before)
    assert left.derived.uid == run.uid
    (_, descriptor), (_, event) = left.derived.event(a_verdict(0, before))
    q = descriptor["configuration"]["ringwatch"]["data"]["q"]
    assert np.array_equal(q, before.bins(SHAPE))
    assert np.array_equal(event["data"]["intensity"], q)


def test_stop_counts_the_verdicts_of_all_processes(
    make: Make, before: Analysis
) -> None:
    sink, run = make(NOBODY), a_run(before)
    put_all(sink, run.start())
    say(sink, run, before, range(4))
    left_by(sink)
    late = make(NOBODY)
    derived = found(late, before).derived
    say(late, derived, before, (4,))
    [(_, stop)] = derived.stop()
    assert (stop["verdicts"], stop["num_events"]) == ({"good": 5}, {"primary": 5})
    assert stop["summary"].startswith("5 frames: 5 good")


def test_ranges_of_frames() -> None:
    told = [("a", "x", 0), ("a", "x", 1), ("a", "y", 2), ("b", "y", 3), ("b", "y", 5)]
    assert ranges(reversed(told)) == [
        ("a", "x", 0, 1), ("a", "y", 2, 2), ("b", "y", 3, 3), ("b", "y", 5, 5),
    ]  # fmt: skip
    assert ranges([]) == []
