"""Alarms: what is worth calling somebody for, as a fold over the verdicts of a run.

Flags are facts of single frames and are always recorded; an alarm is for people. It
waits for a second frame in a row with the same root cause (exact flags do not) and is
announced once per root cause and run; after that only a counter goes on. It ends

- when its flag was clear by a margin in five frames in a row: exact flags clear, others
  below half of the threshold;
- or when fifty frames were judged without its cause: the flag clear with no such margin
  (of bright frames an effect too small to matter is still significant), raised with a
  lesser severity, or not evaluated. A frame that nobody could judge is not counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ringwatch.agent.nouns import Alarm, Flag, FlagState, Quality, Severity, Word

__all__ = ["Alarms"]

_OFF_DELAY = 5  # frames
_LONG_OFF_DELAY = 50  # frames; no proof that the cause is gone, but none that it stays
_EXACT = frozenset({Flag.INVALID_VALUES, Flag.MISREAD, Flag.DUPLICATE, Flag.SATURATED})
_WITHOUT_MARGIN = _EXACT | {Flag.NO_BEAM}
"""Flags that are clear or not: the z of ``no_beam`` is that of any loss of light."""
_GRAVE = frozenset({Severity.BAD, Severity.MISALIGNED})


@dataclass(slots=True)
class _Episode:
    flag: Flag
    since: int  # first frame with the cause
    came_on: int  # frame with which the alarm came
    away: int = 0  # frames judged without the cause since it was last seen
    calm: int = 0  # of these, the last ones in a row that were clear by a margin


class Alarms:
    """Folds the verdicts of one data key, in the order of their index.

    Parameters
    ----------
    threshold : float
        At which statistical flags are raised, standard deviations. Half of it is the
        margin below which an alarm clears soon.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._on: _Episode | None = None
        self._waiting: tuple[Flag, int] | None = None  # a cause, and since when
        self._episodes: Counter[Flag] = Counter()

    def take(self, index: int, quality: Quality) -> Alarm | None:
        """Alarm in force after this frame, None where there is none.

        A frame of the word ``unknown`` begins none, nor brings one nearer to its end
        unless it evaluates its flag.
        """
        cause = self._cause(quality)
        on = self._on
        if on is not None and cause is not on.flag and self._is_over(on, quality):
            self._on = None
        if cause is not None:
            self._begin(cause, index)
        elif quality.word is not Word.UNKNOWN:
            self._waiting = None
        if self._on is None:
            return None
        episode = self._episodes[self._on.flag]
        return Alarm(
            flag=self._on.flag,
            since=self._on.since,
            episode=episode,
            new=episode == 1 and self._on.came_on == index,
        )

    def _cause(self, quality: Quality) -> Flag | None:
        """Root cause, where it is grave enough to call somebody."""
        flag = quality.primary
        if flag is None or quality.word is Word.UNKNOWN:
            return None
        if quality.severities[flag] in _GRAVE:
            return flag
        grave = [f for f, s in quality.severities.items() if s in _GRAVE]
        return grave[0] if grave else None

    def _begin(self, cause: Flag, index: int) -> None:
        """The cause is there: hold its alarm, or let it come after the second frame."""
        if self._on is not None and self._on.flag is cause:
            self._on.away = self._on.calm = 0
            self._waiting = None  # another cause was there for one frame only
            return
        since = index
        if self._waiting is not None and self._waiting[0] is cause:
            since = self._waiting[1]
        elif cause not in _EXACT:
            self._waiting = (cause, index)
            return
        self._on = _Episode(flag=cause, since=since, came_on=index)
        self._episodes[cause] += 1
        self._waiting = None

    def _is_over(self, on: _Episode, quality: Quality) -> bool:
        """Count frames of which the cause of the alarm is not the root cause."""
        state = quality.states[on.flag]
        if quality.severities.get(on.flag) in _GRAVE:
            on.away = on.calm = 0
        elif state is FlagState.NOT_EVALUATED:
            on.away += quality.word is not Word.UNKNOWN
        else:
            on.away += 1
            near = abs(quality.z.get(on.flag, 0.0)) > self._threshold / 2
            near = near and on.flag not in _WITHOUT_MARGIN
            on.calm = 0 if near or state is FlagState.RAISED else on.calm + 1
        return on.calm >= _OFF_DELAY or on.away >= _LONG_OFF_DELAY
