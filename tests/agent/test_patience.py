"""How long a second pass waits for a run, and what may be left out of a frame."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringwatch.agent.errors import ReplayError, TiledAwayError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.runs import backfill
from ringwatch.agent.runs.backfill import StoredFrames
from ringwatch.agent.runs.overload import Late, what_to_leave_out
from ringwatch.agent.settings import Settings

from .written_frames import in_file


class Run:
    """A run that cannot be had the first few times."""

    def __init__(self, failures: list[type[ReplayError]]) -> None:
        self.failures = failures
        self.asked: list[bool] = []

    def __call__(self, uid: str, *, whole: bool = True) -> Iterator[NamedDocument]:
        self.asked.append(whole)
        if self.failures:
            raise self.failures.pop(0)("not yet")
        yield "start", {"uid": uid}
        yield "stop", {"uid": "stop", "run_start": uid}


def ended(frames: StoredFrames, timeout: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout
    while not frames.finished and time.monotonic() < deadline:
        frames.begin()
        frames.poll()
        time.sleep(0.01)
    return frames.finished


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_RETRY_S", 0.25)


def test_a_server_that_is_away_is_waited_for_without_limit() -> None:
    run = Run([TiledAwayError] * 6)
    frames = StoredFrames("run", run, None, patience_s=1.0)
    assert not frames.finished
    assert ended(frames)
    assert frames.failure == ""
    assert frames.stop is not None
    assert run.asked == [True] * 7  # never were parts of it taken for the whole


def test_a_run_that_is_not_stored_is_waited_for_so_long() -> None:
    run = Run([ReplayError] * 99)
    frames = StoredFrames("run", run, None, patience_s=1.0)
    assert ended(frames)
    assert frames.failure == "not yet"
    assert run.asked[-1] is False
    assert 2 <= len(run.asked) <= 6


def test_patience_can_end_later() -> None:
    run = Run([ReplayError] * 5)
    frames = StoredFrames("run", run, None, patience_s=float("inf"))
    assert not ended(frames, 0.4)
    assert frames.waits
    frames.hurry(60.0)
    assert ended(frames)
    assert frames.failure == ""
    assert not frames.waits


def test_labels_go_first_where_there_are_any(tmp_path: Path) -> None:
    ref = in_file(tmp_path / "a.h5")
    settings = Settings(shed_labels_after_s=1.0, shed_frames_after_s=3.0)

    def left_out(behind: float, **given: bool) -> Late:
        return what_to_leave_out(ref, behind, settings, stored=True, **given)[0]

    assert left_out(0.5) is Late.NOTHING
    assert left_out(2.0) is Late.LABEL
    assert left_out(2.0, labelled=False) is Late.NOTHING
    assert left_out(4.0, labelled=False) is Late.FRAME
