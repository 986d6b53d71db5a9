"""What the ledger of a run remembers of its frames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringwatch.agent.nouns import FrameRef, LostLocator, Verdict
from ringwatch.agent.runs import ledger
from ringwatch.agent.runs.ledger import FrameLedger
from ringwatch.agent.runs.verdicts import unknown_verdict


def frame(index: int) -> FrameRef:
    return FrameRef(
        run_uid="run",
        stream="primary",
        data_key="image",
        index=index,
        seq_num=index + 1,
        time=0.0,
        locator=LostLocator(reason="a test"),
    )


def verdict(index: int, *, final: bool) -> Verdict:
    return replace(unknown_verdict(frame(index), "busy", "id", 0.0), final=final)


def test_frames_are_announced_once() -> None:
    book = FrameLedger()
    assert [book.announce(frame(k)) for k in (0, 1, 1, 0, 2)] == [1, 1, 0, 0, 1]


def test_frames_in_a_gap_are_news_when_they_come() -> None:
    book = FrameLedger()
    came = [book.announce(frame(k)) for k in (0, 3, 4, 1, 1, 2, 3, 5, 9, 7, 8, 8, 6)]
    assert came == [1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 1]
    assert not any(book.announce(frame(k)) for k in range(10))


def test_frames_that_were_final_before_are_no_news() -> None:
    book = FrameLedger([("primary", "image", k) for k in (0, 1, 4)])
    assert [book.announce(frame(k)) for k in range(6)] == [0, 0, 1, 1, 0, 1]
    assert [book.is_final(frame(k)) for k in range(6)] == [1, 1, 0, 0, 1, 0]
    assert book.account == {"announced": 6, "final": 3}


def test_revisions_count_on_to_the_final_one() -> None:
    book = FrameLedger()
    said = [book.take(verdict(0, final=k == 2)) for k in range(3)]
    assert [each.revision for each in said] == [0, 1, 2]
    assert book.is_final(frame(0))
    assert not book.is_final(frame(1))
    assert book.account == {"announced": 0, "final": 1}
    assert book.provisional == ()


def test_of_too_many_verdicts_only_the_frames_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "MOST_VERDICTS", 2)
    book = FrameLedger()
    for index in range(4):
        book.take(verdict(index, final=False))
    kept = book.provisional
    assert [isinstance(each, Verdict) for each in kept] == [True, True, False, False]
    assert [each.index for each in kept[2:] if isinstance(each, FrameRef)] == [2, 3]
    assert book.take(verdict(3, final=True)).revision == 1
    assert len(book.provisional) == 3
