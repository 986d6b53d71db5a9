"""The account of a run: a fold over the events of its derived run."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ringwatch.agent.account.causes import NOTES, Cause
from ringwatch.agent.account.points import Points
from ringwatch.agent.account.titles import care, title
from ringwatch.agent.flags import Flag
from ringwatch.agent.nouns import Word
from ringwatch.agent.spans import Spans, told

__all__ = ["Account"]

_MOST_TOLD = 6  # causes told in full; the rest are named
_MOST_LABELS = 3
_BOUND = 10_000  # probabilities remembered
_LONE, _SAME = Flag.ZINGERS.label, Flag.HOT_PIXELS.label


class Account:
    """What became of the frames of a run, and why.

    Remembers little of each frame: ranges of indices by cause, and frames without a
    final verdict.

    Attributes
    ----------
    causes : dict of (str, str, str) to Cause
        By stream, data key and flag; those that are mere information too.
    points : dict of (str, str) to Points
        By stream and data key.
    aside : int
        Frames that are not to be judged: darks.
    """

    def __init__(self) -> None:
        self.causes: dict[tuple[str, str, str], Cause] = {}
        self.points: dict[tuple[str, str], Points] = {}
        self.aside = 0
        self._final: Counter[str] = Counter()
        self._open: dict[tuple[str, str, int], str] = {}
        self._notes: dict[tuple[str, str, str], Spans] = {}
        self._labels: Counter[str] = Counter()
        self._probabilities: list[float] = []
        self._revised = self._unsure = 0

    def count(self, stream: str, data: Mapping[str, Any]) -> None:
        """Take one revision of a verdict.

        Parameters
        ----------
        stream : str
        data : mapping
            Of the event that publishes it; see ``Fields``.
        """
        data_key, index = str(data["raw_data_key"]), int(data["raw_index"])
        frame = (stream, data_key, index)
        word, flag = str(data["verdict"]), str(data.get("primary_flag") or "")
        if not data["final"]:
            self._open[frame] = word
            return
        self._open.pop(frame, None)
        self._final[word] += 1
        self._revised += data.get("revision", 0) > 0
        if word == "unknown" and not flag and not data.get("dq_evaluated"):
            self.aside += 1
            return
        if (stream, data_key) not in self.points:
            self.points[stream, data_key] = Points()
        if "raw_seq_num" in data:
            self.points[stream, data_key].take(data)
        if word != "good":
            key = (stream, data_key, flag)
            if key not in self.causes:
                self.causes[key] = Cause(*key)
            self.causes[key].take(data)
        raised = [flag] if flag and word == "good" else []
        if word == "good":  # elsewhere it may come of what went wrong
            raised += [n for n in _named(data.get("also")) if n in NOTES]
        raised += [f"{name} (taught)" for name in _named(data.get("taught"))]
        for name in raised:
            self._notes.setdefault((stream, data_key, name), Spans()).add(index)
        if data.get("label") and word != "bad":
            self._labels[str(data["label"])] += 1
            self._unsure += bool(data.get("unsure"))
            if len(self._probabilities) < _BOUND and "label_prob" in data:
                self._probabilities.append(float(data["label_prob"]))

    def words(self) -> Counter[str]:
        """Frames per word of their newest verdict."""
        return self._final + Counter(self._open.values())

    @property
    def faults(self) -> list[Cause]:
        """What made frames anything but good, in the order in which it came."""
        found = sorted(self.causes.values(), key=lambda cause: cause.first)
        return _as_one(found)

    def paragraph(self) -> str:
        """All of it for people, in one paragraph."""
        said = [self._counts(), *self._went_wrong(), *self._take_again()]
        return " ".join([*said, *self._good_to_know()])

    def to_object(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "verdicts": dict(self.words()),
            "frames": self.words().total(),
            "set_aside": self.aside,
            "not_final": len(self._open),
            "revised": self._revised,
            "causes": [cause.to_object() for cause in self.faults],
            "information": [
                {
                    "stream": stream,
                    "data_key": data_key,
                    "name": name,
                    "frames": [list(span) for span in spans],
                }
                for (stream, data_key, name), spans in self._notes.items()
            ],
            "retake": [
                {
                    "stream": stream,
                    "data_key": data_key,
                    "points": [list(span) for span in points.numbers],
                    "frames": [list(span) for span in points.frames],
                }
                for (stream, data_key), points in self.points.items()
                if points.numbers
            ],
            "labels": dict(self._labels.most_common()),
            "paragraph": self.paragraph(),
        }

    def _counts(self) -> str:
        words = self.words()
        if self.aside:  # they are no verdicts
            words = words - Counter(unknown=self.aside)
        frames = words.total()
        sentence = f"{frames} frame{'s' * (frames != 1)}"
        if frames:
            sentence += ": " + _counted(words)
        parts = [sentence]
        if self.aside:
            parts.append(f"{self.aside} dark or set aside")
        if self._open:
            parts.append(f"{len(self._open)} without a final verdict")
        if self._revised:
            parts.append(f"{self._revised} revised")
        return "; ".join(parts) + "."

    def _went_wrong(self) -> list[str]:
        faults = self.faults
        if not faults:
            return ["No fault was found."] if self._final["good"] else []
        several = len(self.points) > 1
        told_in_full = [
            cause.sentence(
                last=self.points[cause.stream, cause.data_key].last,
                with_stream=several,
            )
            for cause in faults[:_MOST_TOLD]
        ]
        if len(faults) == 1:
            return [f"What went wrong: {told_in_full[0]}"]
        numbered = [f"({n}) {said}" for n, said in enumerate(told_in_full, 1)]
        more = [f"{title(c.flag)} ({len(c.frames)})" for c in faults[_MOST_TOLD:]]
        if more:
            numbered.append(f"And {', '.join(more)}.")
        return ["What went wrong, in the order in which it came:", *numbered]

    def _take_again(self) -> list[str]:
        said = []
        for (stream, data_key), points in self.points.items():
            whose = f" of {data_key} ({stream})" if len(self.points) > 1 else ""
            if points.numbers:
                many = len(points.numbers) > 1
                said.append(
                    f"Take point{'s' * many} {told(points.numbers)}{whose} again "
                    f"(frame{'s' * many} {told(points.frames)})."
                )
            if points.suspect:
                many = len(points.suspect) > 1
                said.append(
                    f"Frame{'s' * many} {told(points.suspect)}{whose} can be used"
                    f"{self._care(stream, data_key)}."
                )
        return said

    def _care(self, stream: str, data_key: str) -> str:
        """How frames of one data key can be used that are suspect."""
        suspect = [
            cause
            for cause in self.faults
            if (cause.stream, cause.data_key) == (stream, data_key)
            and cause.words[Word.SUSPECT]
        ]
        alone = len(suspect) == 1 and not suspect[0].also
        return care(suspect[0].flag if alone else "")

    def _good_to_know(self) -> list[str]:
        said = []
        notes = {key: s for key, s in self._notes.items() if key[2] != "unsure"}
        if notes:
            several = len(self.points) > 1
            named = [
                f"{title(name)} ({told(spans, 3)}{f' of {stream}' if several else ''})"
                for (stream, _, name), spans in notes.items()
            ]
            said.append(f"No fault, but seen in frames: {', '.join(named)}.")
        if self._labels:
            first = self._labels.most_common(_MOST_LABELS)
            named = [f"{label} in {n}" for label, n in first]
            said.append(
                f"Label: {', '.join(named)} of {self._labels.total()} frames"
                f"{self._likely()}."
            )
        return said

    def _likely(self) -> str:
        known = [p for p in self._probabilities if not math.isnan(p)]
        said = f", median probability {statistics.median(known):.2f}" if known else ""
        return said + (f", not sure in {self._unsure}" if self._unsure else "")


def _named(names: object) -> list[str]:
    """What stands in a comma-joined field."""
    return [name for name in str(names or "").split(",") if name]


def _as_one(causes: list[Cause]) -> list[Cause]:
    """Hot pixels with the frame before, in which nobody could know that they stay."""
    told_apart: list[Cause] = []
    for cause in causes:
        if told_apart and _began_as(told_apart[-1], cause):
            told_apart[-1] = cause.joined(told_apart[-1])
        else:
            told_apart.append(cause)
    return told_apart


def _began_as(one: Cause, other: Cause) -> bool:
    same = (one.flag, other.flag) == (_LONE, _SAME) and len(one.frames) == 1
    return same and other.first == one.first + 1


def _counted(words: Counter[str]) -> str:
    return ", ".join(f"{words[word]} {word}" for word in Word if words[word])
