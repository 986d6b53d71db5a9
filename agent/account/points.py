"""Points of a scan that have to be taken again."""

from __future__ import annotations

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
    _bad: dict[int, int] = field(default_factory=dict)  # number: index
    _again: dict[int, int] = field(default_factory=dict)  # taken twice: latest index
    _newest: tuple[int, int] = (-1, 0)  # index and number

    def take(self, data: Mapping[str, Any]) -> None:
        """Take the data of a final verdict."""
        index, number = int(data["raw_index"]), int(data["raw_seq_num"])
        if data["verdict"] == "suspect":
            self.suspect.add(index)
        if index > self._newest[0]:
            if number <= self._newest[1]:  # the RunEngine went back
                self._again[number] = index
            self._newest = index, number
        known = self._bad.get(number)
        if known is not None and known < index:
            self._forget(number, known)
        if data["verdict"] in RETAKEN and index >= self._again.get(number, index):
            self._bad[number] = index
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
