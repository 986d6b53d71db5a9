"""The replay benchmark: what counts as saying the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringwatch.benchmarks.replay import said_in

WELL: dict[str, Any] = {"run": "a", "frames": 3, "analysed": 3, "digest": "f00"}


def test_answers_are_told_apart_by_their_verdicts() -> None:
    said = said_in({"order": json.dumps(WELL)})
    assert said == said_in({"order": json.dumps(WELL | {"seconds": 2.0})})
    assert said != said_in({"order": json.dumps(WELL | {"digest": "ba2"})})


@pytest.mark.parametrize(
    "answer",
    [
        {"run": "a", "error": "no run"},
        WELL | {"analysed": 2},
        WELL | {"frames": 0, "analysed": 0},
    ],
)
def test_two_equal_failures_are_not_the_same_verdicts(answer: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"failed|analysed"):
        said_in({"order": json.dumps(answer)})
