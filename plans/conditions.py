"""On what plans act: words, labels and flags of verdicts, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from ringwatch.agent.nouns import Flag, Word
from ringwatch.plans.heard import Heard
from ringwatch.plans.trend import Estimate

__all__ = [
    "USABLE",
    "Condition",
    "Crossing",
    "Frame",
    "Streak",
    "flag_is",
    "frame_of",
    "label_is",
    "verdict_is",
]

USABLE = frozenset({Word.GOOD, Word.SUSPECT})
"""Words of frames whose physical values count."""

UNKNOWN = Estimate(math.nan, math.nan, math.nan)

Frame = tuple[str, str, str, int]
"""Run, stream, data key, index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """That a condition is met, or when it will be.

    Attributes
    ----------
    time : float
        Of the plan's clock; not after now where it is met already.
    because : str
        One sentence.
    heard : Heard
        The latest verdict that it rests on.
    expected : Estimate
        The value at that time; NaN where the condition is not on a value.
    """

    time: float
    because: str
    heard: Heard
    expected: Estimate = UNKNOWN


class Condition(Protocol):
    """What a plan may wait for. It starts anew with each plan that it is given to."""

    def begin(self) -> None:
        """Forget all frames."""

    def take(self, heard: Heard, time: float) -> None:
        """Take a verdict, and when its frame was taken (NaN: nobody knows)."""

    def crossing(self, now: float) -> Crossing | None:
        """Whether it is met, or when it will be; None where that cannot be said."""


class Streak:
    """Met by so many frames of a run one after another.

    Parameters
    ----------
    test : callable
        What a frame must meet: True or False; None for a frame that says nothing of it
        and is passed over.
    words : str
        What is tested, such as ``the verdict is bad``.
    frames : int

    Raises
    ------
    ValueError
        If ``frames`` is below 1.
    """

    def __init__(
        self, test: Callable[[Heard], bool | None], words: str, frames: int = 1
    ) -> None:
        if frames < 1:
            raise ValueError(f"frames is {frames}: give 1 or more, one after another")
        self._test, self._words, self._frames = test, words, frames
        self.begin()

    def begin(self) -> None:
        """Forget all frames."""
        self._seen: dict[Frame, tuple[Heard, float]] = {}
        self._runs: list[str] = []  # the last one counts

    def take(self, heard: Heard, time: float) -> None:
        """Take a verdict, or a later revision of one."""
        frame = frame_of(heard)
        if frame[0] not in self._runs:
            self._runs.append(frame[0])
            self._seen.clear()
        if frame[0] != self._runs[-1]:
            return
        self._seen.pop(frame, None)
        if self._test(heard) is not None:
            self._seen[frame] = heard, time
        if len(self._seen) > self._frames:
            del self._seen[min(self._seen, key=_index)]

    @property
    def state(self) -> str:
        """What was seen last, in words."""
        if not self._seen:
            return f"no frame says whether {self._words}"
        last, _ = self._seen[max(self._seen, key=_index)]
        named = f", labelled {last.label}" if last.label else ""
        return f"whether {self._words}: frame {last.index} is {last.word}{named}"

    def crossing(self, now: float) -> Crossing | None:
        """Met now, or None."""
        if len(self._seen) < self._frames:
            return None
        if not all(self._test(heard) for heard, _ in self._seen.values()):
            return None
        last, time = self._seen[max(self._seen, key=_index)]
        times = f" {self._frames} times in a row" if self._frames > 1 else ""
        return Crossing(
            time=min(time, now) if time == time else now,  # noqa: PLR0124 (NaN)
            because=f"{self._words}{times}: {last.reason}",
            heard=last,
        )


def verdict_is(*words: str | Word, frames: int = 3) -> Streak:
    """So many frames in a row have one of these verdicts, such as ``"bad"``.

    The words: ``good``, ``suspect``, ``misaligned``, ``bad``, ``unknown``.

    Frames that are ``unknown`` are passed over, unless asked for.

    Raises
    ------
    ValueError
        If a word is none of the five.
    """
    known = [word.value for word in Word]
    if not words or any(word not in known for word in words):
        raise ValueError(
            f"no verdict {_either(words)}: name at least one of {', '.join(known)}"
        )
    wanted = frozenset(Word(word) for word in words)

    def test(heard: Heard) -> bool | None:
        if heard.word is Word.UNKNOWN and Word.UNKNOWN not in wanted:
            return None
        return heard.word in wanted

    return Streak(test, f"the verdict is {_either(wanted)}", frames)


def flag_is(*names: str, frames: int = 1) -> Streak:
    """The root cause of so many frames in a row is one of these flags.

    Raises
    ------
    ValueError
        If there is no such flag.
    """
    known = {flag.label for flag in Flag}
    unknown = sorted(set(names) - known)
    if unknown or not names:
        there = ", ".join(sorted(known))
        raise ValueError(f"no flag {_either(unknown)}: there are {there}")

    def test(heard: Heard) -> bool | None:
        return None if heard.word is Word.UNKNOWN else heard.primary_flag in names

    return Streak(test, f"the flag is {_either(names)}", frames)


def label_is(label: str | int, *, prob: float = 0.5, frames: int = 3) -> Streak:
    """So many classified frames in a row are of this class, with this probability.

    Parameters
    ----------
    label : str or int
        Extinction symbol, such as ``F---``, or the number of the powder class
        (smallest space-group number), as several lattices share a symbol.
    prob : float
        0 to 1.
    frames : int
    """
    if not 0.0 <= prob <= 1.0:
        raise ValueError(f"prob is {prob}: give a probability, 0 to 1")

    def test(heard: Heard) -> bool | None:
        if not heard.label or heard.word not in USABLE:
            return None
        named = heard.label if isinstance(label, str) else heard.class_number
        return named == label and heard.label_prob >= prob

    return Streak(test, f"the label is {label}", frames)


def frame_of(heard: Heard) -> Frame:
    """Identity of the frame of a verdict."""
    return heard.run_uid, heard.stream, heard.data_key, heard.index


def _index(frame: Frame) -> int:
    return frame[-1]


def _either(words: Collection[str]) -> str:
    return " or ".join(repr(str(word)) for word in sorted(words))
