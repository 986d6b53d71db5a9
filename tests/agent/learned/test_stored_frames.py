"""Stored frames are to heads what they are given live."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.flags import SIGNAL_GONE, Flag
from ringwatch.agent.learned.stored_frames import frames_of
from ringwatch.agent.sources.verdict_rows import VerdictRow

Q = np.linspace(1.0, 2.0, 5)
PLAIN, ROBUST, NONE = np.full(5, 9.0), np.full(5, 4.0), np.full(5, np.nan)


def row(index: int, dq: int = 0, **arrays: Any) -> VerdictRow:
    data = {"raw_data_key": "det_image", "raw_index": index, "dq": dq}
    return VerdictRow(start={}, stream="primary", data=data, arrays=arrays)


def test_heads_learn_from_the_pattern_that_they_are_given_live() -> None:
    rows = [
        row(0, intensity=PLAIN, intensity_robust=NONE),
        row(1, Flag.SPOTS.mask, intensity=PLAIN, intensity_robust=ROBUST),
        row(2, intensity=PLAIN),
    ]
    frames = frames_of("run", Q, {each.key: each for each in rows})
    assert frames.intensity.tolist() == [[9.0] * 5, [4.0] * 5, [9.0] * 5]


def test_frames_of_an_earlier_pass_on_other_bins_do_not_count() -> None:
    other = row(0, intensity=PLAIN, q=Q * 1.01)
    rows = [other, row(1, intensity=PLAIN, q=Q), row(2, intensity=PLAIN)]
    frames = frames_of("run", Q, {each.key: each for each in rows})
    assert [index for _, _, index in frames.keys] == [1, 2]


@pytest.mark.parametrize("flag", SIGNAL_GONE)
def test_frames_that_no_head_is_asked_about_do_not_count(flag: Flag) -> None:
    rows = [row(0, intensity=PLAIN), row(1, flag.mask, intensity=PLAIN)]
    frames = frames_of("run", Q, {each.key: each for each in rows})
    assert [index for _, _, index in frames.keys] == [0]


def test_an_index_of_several_streams_has_to_be_told() -> None:
    keys = [
        ("primary", "det_image", 0),
        ("primary", "det_image", 1),
        ("again", "det_image", 1),
        ("primary", "other_image", 0),
    ]
    said = [{"raw_data_key": k, "raw_index": i, "dq": 0} for _, k, i in keys]
    rows = [
        VerdictRow(start={}, stream=key[0], data=data, arrays={"intensity": PLAIN})
        for key, data in zip(keys, said, strict=True)
    ]
    frames = frames_of("run", Q, {each.key: each for each in rows})
    with pytest.raises(LearnedError, match="--stream and --data-key"):
        frames.keys_of({1})
    assert frames.keys_of({1}, "again") == {keys[2]}
    assert frames.keys_of({0, 1}, "primary", "det_image") == set(keys[:2])
    assert [frames.keys[i] for i in frames.rows(keys[2:])] == [keys[2], keys[3]]
