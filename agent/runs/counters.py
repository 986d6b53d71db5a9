"""Counters of an agent: what became of the frames it was told of."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace

from ringwatch.agent.nouns import Verdict, Word

__all__ = ["RECENT", "Counters"]

RECENT = 1000
"""Frames whose timings are remembered."""


@dataclass(slots=True)
class Counters:
    """What the worker has done so far.

    Attributes
    ----------
    announced, analysed, unknown : int
        Frames announced; with a final verdict other than ``unknown``; with a final
        ``unknown``. What is left has no final verdict yet.
    shed_frames, shed_labels : int
        Verdicts given without looking, and without a label, because frames came faster
        than they could be analysed.
    backfilled : int
        Frames whose final verdict came in a second pass.
    provisional : int
        Verdicts that were not final.
    malformed : int
        Documents left out.
    lost : int
        Frames whose verdict could not be published at all; never, but for a defect.
    last_index : int
        Index of the newest frame with a verdict, -1 before the first.
    last_word : str
        Its verdict.
    last_at : float
        When it was published, on the clock of ``time.monotonic``; NaN before the first.
    words : Counter
        Frames by the word of their final verdict.
    alarms : Counter
        Alarms that began, by their flag, as final verdicts have them.
    recent : deque of dict
        Timings of the newest frames, milliseconds, as ``Verdict.timings`` has them. A
        second pass does not count: nobody waits for it.
    """

    announced: int = 0
    analysed: int = 0
    unknown: int = 0
    shed_frames: int = 0
    shed_labels: int = 0
    backfilled: int = 0
    provisional: int = 0
    malformed: int = 0
    lost: int = 0
    last_index: int = -1
    last_word: str = ""
    last_at: float = math.nan
    words: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    recent: deque[dict[str, float]] = field(
        default_factory=lambda: deque(maxlen=RECENT)
    )
    _lock: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    @property
    def shed(self) -> int:
        """Verdicts that were given without all there is to a verdict."""
        return self.shed_frames + self.shed_labels

    def count(self, verdict: Verdict, *, published: bool, live: bool = True) -> None:
        """Count one verdict; ``live``: as its frame came, and not in a second pass."""
        timings = verdict.timings if live else None
        with self._lock:
            if not published:
                self.lost += 1
            elif verdict.final:
                self._count_final(verdict)
            else:
                self.provisional += 1
            self.last_index = verdict.frame.index
            self.last_word = verdict.word.value
            self.last_at = time.monotonic()
            if timings is not None:
                self.recent.append(timings)

    def _count_final(self, verdict: Verdict) -> None:
        if verdict.word is Word.UNKNOWN:
            self.unknown += 1
        else:
            self.analysed += 1
        self.words[verdict.word.value] += 1
        alarm = verdict.quality.alarm
        if alarm is not None and alarm.new:
            self.alarms[alarm.flag.label] += 1

    def snapshot(self) -> Counters:
        """A copy that stays as it is, for another thread than the worker's."""
        with self._lock:
            return replace(
                self,
                words=self.words.copy(),
                alarms=self.alarms.copy(),
                recent=self.recent.copy(),
            )
