"""What went wrong in a run: one root cause, and the frames that have it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ringwatch.agent.account.titles import title
from ringwatch.agent.flags import Flag, Severity
from ringwatch.agent.quality.texts import TEXTS
from ringwatch.agent.spans import Spans, told

__all__ = ["NOTES", "Cause"]

NOTES = frozenset(f.label for f in Flag if f.severity is Severity.INFORMATION)
"""Flags that are no faults."""

_MOST_KINDS = 3
_ALIKE = 0.8  # of the largest effect: what is as large in each frame came at once
_NUMBERS = re.compile(r"[\d.]+")
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
    _least_z: float = math.inf
    _kinds: dict[str, str] = field(default_factory=dict)  # of exact flags: sentences

    def take(self, data: Mapping[str, Any]) -> None:
        """Take the data of a final verdict with this cause."""
        index, reason = int(data["raw_index"]), str(data.get("reason", ""))
        self.frames.add(index)
        self.words[str(data["verdict"])] += 1
        self.also.update(_faults(str(data.get("also") or "")))
        z = abs(float(data.get(f"z_{self.flag}", math.nan)))
        if math.isnan(z) and len(self._kinds) < _MOST_KINDS:
            kind = _NUMBERS.sub("", reason)
            self._kinds.setdefault(kind, f"in frame {index}, {reason.rstrip('.')}")
        self._least_z = min(self._least_z, -math.inf if math.isnan(z) else z)
        if self.worst < 0 or z > self._z:
            self.worst, self.reason = index, reason
            self._z = -math.inf if math.isnan(z) else z

    def joined(self, other: Cause) -> Cause:
        """With the frames of a cause that was the same one under another name."""
        whole = deepcopy(self)
        whole._least_z = -math.inf  # of that one it was another effect
        for first, last in other.frames:
            for index in range(first, last + 1):
                whole.frames.add(index)
        whole.words += other.words
        whole.also += other.also
        return whole

    @property
    def first(self) -> int:
        """Index of its first frame."""
        return next(iter(self.frames))[0]

    @property
    def word(self) -> str:
        """Verdict of most of its frames."""
        return self.words.most_common(1)[0][0]

    @property
    def remedy(self) -> str:
        """What to look at or to do."""
        flag = _BY_LABEL.get(self.flag)
        return TEXTS[flag].remedy if flag in TEXTS else ""

    def sentence(self, *, last: int, with_stream: bool = False) -> str:
        """What it is, where, how bad it got, and what to do.

        Parameters
        ----------
        last : int
            Index of the run's last frame.
        with_stream : bool
            Whether to say whose frames these are.
        """
        many = len(self.frames)
        where = f"frame{'s' * (many != 1)} {told(self.frames)}"
        if many > 1 and last in self.frames:
            where += " (to the end)"
        if with_stream:
            where += f" of {self.data_key} ({self.stream})"
        name = f"{self.flag}, {self.word}" if self.flag else self.word
        sentence = f"{title(self.flag)} ({name}), {where}: {self._how(many)}."
        with_it = [f"{title(f)} ({n} of {many})" for f, n in self.also.most_common(3)]
        if with_it:
            sentence += (
                f" In the same frames, perhaps because of it: {', '.join(with_it)}."
            )
        if self.remedy:
            sentence += f" What to do: {self.remedy[0].lower()}{self.remedy[1:]}"
        return sentence

    def _how(self, many: int) -> str:
        if len(self._kinds) > 1:
            return "; ".join(self._kinds.values())
        when = ""
        if many > 1:
            alike = self._least_z >= _ALIKE * self._z > 0.0
            how = "alike in all of them; in" if alike else "at its worst, in"
            when = f"{how} frame {self.worst}, "
        return when + self.reason.rstrip(".")

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
