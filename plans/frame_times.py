"""When frames were taken, by the clock of the plan that takes them."""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from ringwatch.plans.heard import Heard
from ringwatch.plans.remembered import Remembered

__all__ = ["FrameTimes"]

logger = logging.getLogger(__name__)

_KEPT = 4096  # announcements of a stream
_MOST = 64  # runs, and streams of them
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError)

Stream = tuple[str, str]
"""Run and name."""


class FrameTimes:
    """Follows the documents of a RunEngine and knows the end of each exposure.

    Frames that are announced several at once are spread evenly since the last
    announcement. Never raises into the RunEngine.

    Parameters
    ----------
    now : callable
        Time of the plan, seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._runs: Remembered[str, bool] = Remembered(_MOST)  # whether they are open
        self._descriptors: Remembered[str, Stream] = Remembered(_MOST)
        self._streamed: Remembered[str, None] = Remembered(_MOST)
        self._told: Remembered[Stream, list[tuple[int, float]]] = Remembered(_MOST)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document; of streams that began before it listens nothing is known."""
        try:
            self._take(name, doc)
        except _MALFORMED as error:
            logger.error("a %s document cannot be read: %r", name, error)

    def _take(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self._runs[doc["uid"]] = True
        elif name == "stop":
            self._runs[doc["run_start"]] = False
        elif name == "descriptor":
            self._runs[doc["run_start"]] = True
            self._descriptors[doc["uid"]] = doc["run_start"], doc["name"]
        elif name == "stream_datum":
            self._streamed[doc["descriptor"]] = None
            self._note(doc["descriptor"], int(doc["indices"]["stop"]))
        elif name == "event" and doc["descriptor"] not in self._streamed:
            self._note(doc["descriptor"], None)

    def _note(self, descriptor: str, stop: int | None) -> None:
        stream = self._descriptors.get(descriptor)
        if stream is None:
            return
        if stream not in self._told:
            self._told[stream] = []
        told = self._told[stream]
        number = stop if stop is not None else (told[-1][0] if told else 0) + 1
        if told and number <= told[-1][0]:
            return  # another image of the same event
        told.append((number, self._now()))
        del told[:-_KEPT]

    def knows(self, run_uid: str) -> bool:
        """Whether it followed this run."""
        return run_uid in self._runs

    def is_open(self, run_uid: str) -> bool:
        """Whether this run goes on."""
        return self._runs.get(run_uid, False)

    def frames(self, heard: Heard) -> int:
        """How many frames of the stream of a verdict were announced so far."""
        told = self._told.get((heard.run_uid, heard.stream))
        return told[-1][0] if told else 0

    def of(self, heard: Heard) -> float:
        """When the exposure of a frame ended; NaN where that is not known."""
        told = self._told.get((heard.run_uid, heard.stream))
        if not told or not told[0][0] <= heard.index + 1 <= told[-1][0]:
            return math.nan
        place = bisect_left(told, (heard.index + 1,))
        number, time = told[place]
        if number == heard.index + 1:
            return time
        before, since = told[place - 1]
        return since + (time - since) * (heard.index + 1 - before) / (number - before)
