"""What became of a run, in words."""

from __future__ import annotations

from typing import Any

from ringwatch.agent.account import Account
from ringwatch.agent.spans import Spans, told


def said(
    index: int, verdict: str = "good", flag: str = "", **more: Any
) -> dict[str, Any]:
    """Data of an event, as far as an account reads it."""
    return {
        "raw_data_key": "image",
        "raw_index": index,
        "raw_seq_num": index + 1,
        "revision": 0,
        "final": True,
        "verdict": verdict,
        "primary_flag": flag,
        "also": "",
        "dq_evaluated": 1,
        "reason": f"{flag} in {index}",
        "label": "F---",
        "label_prob": 0.9,
        "unsure": False,
    } | more


def account_of(*events: dict[str, Any], stream: str = "primary") -> Account:
    account = Account()
    for data in events:
        account.count(stream, data)
    return account


def test_spans_join_whatever_the_order() -> None:
    spans = Spans()
    for index in (5, 3, 4, 9, 7, 8, 1, 3):
        spans.add(index)
    assert list(spans) == [(1, 1), (3, 5), (7, 9)]
    assert len(spans) == 7
    assert told(spans) == "1, 3-5, 7-9"
    spans.discard(8)
    spans.discard(2)
    spans.discard(1)
    assert list(spans) == [(3, 5), (7, 7), (9, 9)]


def test_many_spans_are_cut_short_and_counted() -> None:
    spans = Spans()
    for index in range(0, 40, 2):
        spans.add(index)
    assert told(spans, 3) == "0, 2 and 18 more"


def test_causes_come_in_order_with_their_worst_frame_and_what_to_do() -> None:
    account = account_of(
        *(said(i) for i in range(4)),
        said(4, "bad", "no_beam"),
        said(5, "misaligned", "beam_center", z_beam_center=9.0),
        said(6, "misaligned", "beam_center", z_beam_center=-31.0, also="tilt,unsure"),
    )
    words = account.paragraph()
    assert words.startswith("7 frames: 4 good, 2 misaligned, 1 bad. ")
    first, second = words.index("(1) no beam (no_beam, bad)"), words.index("(2) beam")
    assert first < second
    assert "frames 5-6 (to the end): at its worst, in frame 6, beam_center in" in words
    assert "perhaps because of it: detector tilted (1 of 2)." in words  # not unsure
    assert "What to do: calibrate again" in words
    assert "Take points 5-7 again (frames 4-6)." in words
    assert "Label: F--- in 6 of 6 frames" in words  # not of the bad one
    assert [c["flag"] for c in account.to_object()["causes"]] == [
        "no_beam",
        "beam_center",
    ]


def test_a_sound_run_claims_no_more_than_that() -> None:
    account = account_of(*(said(i) for i in range(3)), said(3, "good", "change_point"))
    words = account.paragraph()
    assert "No fault was found." in words
    assert "No fault, but seen in frames: sudden change of the pattern (3)." in words
    assert "again" not in words


def test_a_point_taken_again_is_as_good_as_its_latest_frame() -> None:
    account = account_of(
        said(0),
        said(1, "bad", "no_beam"),
        said(2, "bad", "no_beam"),
        said(3, raw_seq_num=2),  # the RunEngine went back
        said(4, "bad", "no_beam", raw_seq_num=3),
    )
    (again,) = account.to_object()["retake"]
    assert (again["points"], again["frames"]) == ([[3, 3]], [[4, 4]])


def test_a_late_verdict_of_a_superseded_frame_asks_for_nothing() -> None:
    late = said(2, "bad", "no_beam", raw_seq_num=2)
    account = account_of(said(0), said(1), said(3, raw_seq_num=2), late)
    assert account.to_object()["retake"] == []


def test_darks_are_no_verdicts_and_open_frames_are_told() -> None:
    dark = said(0, "unknown", label="", dq_evaluated=0)
    account = Account()
    account.count("dark", dark)
    account.count("primary", said(0))
    account.count("primary", said(1, "unknown", "pipeline", final=False))
    words = account.paragraph()
    assert words.startswith("2 frames: 1 good, 1 unknown; 1 dark or set aside; 1 with")
    assert dict(account.words()) == {"unknown": 2, "good": 1}


def test_what_nobody_could_judge_is_a_cause_too() -> None:
    data = said(0, "unknown", label="", reason="3 of 32 checks clear, but not ...")
    words = account_of(data).paragraph()
    assert "not judged (unknown), frame 0: 3 of 32 checks clear" in words


def test_streams_are_named_where_there_are_several() -> None:
    account = account_of(said(0, "bad", "no_beam"))
    account.count("second", said(0, "bad", "no_beam"))
    words = account.paragraph()
    assert "frame 0 of image (primary)" in words
    assert "Take point 1 of image (second) again" in words


def test_more_causes_than_anybody_reads_are_named_only() -> None:
    flags = ("shadow", "spots", "grainy", "ice", "misread", "zingers", "hot_pixels")
    events = [said(i, "suspect", flag) for i, flag in enumerate(flags)]
    words = account_of(*events, said(9, "suspect", "sequence")).paragraph()
    assert "(6) hot pixels" in words
    assert "And frames lost or out of order (1)." in words


def test_frames_with_a_second_fault_are_not_told_to_be_used_after_a_mask() -> None:
    hot = [said(i, "suspect", "hot_pixels", also="beam_drop") for i in (3, 4)]
    assert "can be used, with care" in account_of(*hot).paragraph()
    other = [said(i, "suspect", "hot_pixels") for i in (3, 4)]
    both = account_of(*other, said(5, "suspect", "shadow"))
    assert "can be used, with care" in both.paragraph()


def test_what_came_at_once_is_not_told_as_if_it_grew() -> None:
    z = {3: 30.0, 4: 33.0, 5: -31.0}
    steps = [said(i, "misaligned", "tilt", z_tilt=v) for i, v in z.items()]
    words = account_of(said(2), *steps).paragraph()
    assert "frames 3-5 (to the end): alike in all of them; in frame 4, tilt" in words


def test_hot_pixels_begin_in_the_frame_in_which_nobody_knew_that_they_stay() -> None:
    account = account_of(
        said(3, "suspect", "zingers"),
        *(said(i, "suspect", "hot_pixels") for i in range(4, 9)),
        said(9),
    )
    (cause,) = account.faults
    assert (cause.flag, list(cause.frames)) == ("hot_pixels", [(3, 8)])
    assert account.paragraph() == account.paragraph()  # telling changes nothing
    assert "Frames 3-8 can be used once these pixels are masked." in account.paragraph()


def test_what_differs_from_frame_to_frame_is_told_of_each() -> None:
    words = account_of(
        said(13, "suspect", "sequence", reason="frames are missing (1)"),
        said(14, "suspect", "sequence", reason="the number went from 14 to 13"),
        said(15, "suspect", "sequence", reason="frames are missing (2)"),
    ).paragraph()
    assert "in frame 13, frames are missing (1); in frame 14, the number went" in words
    assert "missing (2)" not in words


def test_a_point_of_several_frames_is_as_bad_as_one_of_them() -> None:
    same = {"raw_seq_num": 1, "raw_time": 5.0}
    account = account_of(
        said(0, "bad", "no_beam", **same), said(1, **same), said(2, **same)
    )
    (again,) = account.to_object()["retake"]
    assert (again["points"], again["frames"]) == ([[1, 1]], [[0, 0]])
    account.count("primary", said(3, raw_seq_num=1, raw_time=9.0))
    assert account.to_object()["retake"] == []


def test_what_people_taught_is_told() -> None:
    words = account_of(said(0), said(1, taught="gasket")).paragraph()
    assert "seen in frames: gasket (taught) (1)." in words
