"""Points of a scan that have to be taken again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ringwatch.agent.spans import Spans

__all__ = ["RETAKEN", "Points"]

RETAKEN = ("bad", "misaligned")
"""Verdicts of points to take again."""


@dataclass(slots=True)
class Points:
    """Follows the points of one data key by their ``seq_num``.

    A point that was taken twice, after a pause, is as good as its latest frame.

    Attributes
    ----------
    numbers : Spans
        Numbers of the points to take again, from 1.
    frames : Spans
        Indices of their frames, from 0.
    suspect : Spans
        Frames that need not be taken again, but call for care.
    """

    numbers: Spans = field(default_factory=Spans)
    frames: Spans = field(default_factory=Spans)
    suspect: Spans = field(default_factory=Spans)
    _bad: dict[int, tuple[int, float]] = field(default_factory=dict)
    _again: dict[int, int] = field(default_factory=dict)  # number: index from which on
    _newest: tuple[int, int, float] = (-1, 0, math.nan)  # index, number, time

    def take(self, data: Mapping[str, Any]) -> None:
        """Take the data of a final verdict.

        Frames of one point have its number and its time; one that is taken again has
        the number only. A point is bad if one of its frames is.
        """
        index, number = int(data["raw_index"]), int(data["raw_seq_num"])
        time = float(data.get("raw_time", index))
        if data["verdict"] == "suspect":
            self.suspect.add(index)
        newest, reached, when = self._newest
        if index > newest:
            if number < reached or (number == reached and time != when):
                self._again[number] = index  # the RunEngine went back
            self._newest = index, number, time
        known = self._bad.get(number)
        if known is not None and known[0] < index and known[1] != time:
            self._forget(number, known[0])
        if data["verdict"] in RETAKEN and index >= self._again.get(number, index):
            self._bad[number] = index, time
            self.numbers.add(number)
            self.frames.add(index)

    @property
    def last(self) -> int:
        """Index of the run's last frame."""
        return self._newest[0]

    def _forget(self, number: int, index: int) -> None:
        del self._bad[number]
        self.numbers.discard(number)
        self.frames.discard(index)
