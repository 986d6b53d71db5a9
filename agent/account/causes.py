"""What went wrong in a run: one root cause, and the frames that have it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ringwatch.agent.account.spans import Spans, told
from ringwatch.agent.flags import Flag, Severity
from ringwatch.agent.quality.texts import TEXTS

__all__ = ["NOTES", "Cause"]

NOTES = frozenset(f.label for f in Flag if f.severity is Severity.INFORMATION)
"""Flags that are no faults."""

_BY_LABEL = {flag.label: flag for flag in Flag}


@dataclass(slots=True)
class Cause:
    """Frames of one data key that have the same root cause.

    Attributes
    ----------
    stream, data_key : str
        Of the frames.
    flag : str
        Name of the flag; empty for frames that no flag explains.
    frames : Spans
        Their indices.
    words : Counter
        Verdicts of these frames.
    also : Counter
        Other faults raised in them, frames of each.
    reason : str
        Sentence of the frame in which it was worst, by its z; else of the first.
    worst : int
        Index of that frame.
    """

    stream: str
    data_key: str
    flag: str
    frames: Spans = field(default_factory=Spans)
    words: Counter[str] = field(default_factory=Counter)
    also: Counter[str] = field(default_factory=Counter)
    reason: str = ""
    worst: int = -1
    _z: float = -math.inf

    def take(self, data: Mapping[str, Any]) -> None:
        """Take the data of a final verdict with this cause."""
        index = int(data["raw_index"])
        self.frames.add(index)
        self.words[str(data["verdict"])] += 1
        self.also.update(_faults(str(data.get("also") or "")))
        z = abs(float(data.get(f"z_{self.flag}", math.nan)))
        if self.worst < 0 or z > self._z:
            self.worst, self.reason = index, str(data.get("reason", ""))
            self._z = -math.inf if math.isnan(z) else z

    @property
    def first(self) -> int:
        """Index of its first frame."""
        return next(iter(self.frames))[0]

    @property
    def word(self) -> str:
        """Verdict of most of its frames."""
        return self.words.most_common(1)[0][0]

    @property
    def name(self) -> str:
        """The flag in words."""
        return _in_words(self.flag) or "not judged"

    @property
    def remedy(self) -> str:
        """What to look at or to do."""
        flag = _BY_LABEL.get(self.flag)
        return TEXTS[flag].remedy if flag in TEXTS else ""

    def sentence(self, *, with_stream: bool = False) -> str:
        """What it is, where, how bad it got, and what to do."""
        many = len(self.frames)
        where = f"frame{'s' * (many != 1)} {told(self.frames)}"
        if with_stream:
            where += f" of {self.data_key} ({self.stream})"
        said = self.reason.rstrip(".")
        worst = f"at its worst, in frame {self.worst}, " if many > 1 else ""
        sentence = f"{self.name} ({self.word}), {where}: {worst}{said}."
        with_it = [f"{_in_words(f)} in {n}" for f, n in self.also.most_common(3)]
        if with_it:
            sentence += f" Raised with it: {', '.join(with_it)}."
        if self.remedy:
            sentence += f" What to do: {self.remedy[0].lower()}{self.remedy[1:]}"
        return sentence

    def to_object(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "flag": self.flag or None,
            "stream": self.stream,
            "data_key": self.data_key,
            "verdict": self.word,
            "verdicts": dict(self.words),
            "frames": [list(span) for span in self.frames],
            "count": len(self.frames),
            "worst_frame": self.worst,
            "reason": self.reason,
            "also": dict(self.also),
            "remedy": self.remedy,
        }


def _faults(names: str) -> list[str]:
    """Of comma-joined flags those that are more than information."""
    return [name for name in names.split(",") if name and name not in NOTES]


def _in_words(name: str) -> str:
    return name.replace("_", " ")
