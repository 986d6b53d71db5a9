"""Which points of a run have to be taken again, and where they are."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from ringwatch.agent.nouns import Word
from ringwatch.plans.expected import images_of
from ringwatch.plans.heard import Heard
from ringwatch.plans.remembered import Remembered
from ringwatch.plans.verdicts import Verdicts

__all__ = ["BadPoint", "RetakeList"]

logger = logging.getLogger(__name__)

_MOST_RUNS = 4
_MOST_POINTS = 20_000
_MOST_STREAMS = 64
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


Place = tuple[str, int]
"""Stream and number of a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadPoint:
    """A point to take again.

    Attributes
    ----------
    run_uid, stream : str
    seq_num : int
        Number of the point in its run, from 1.
    heard : Heard
        Verdict of its latest frame.
    readings : dict
        Scalars of its event by data key: positions of motors and what else was read.
    """

    run_uid: str
    stream: str
    seq_num: int
    heard: Heard
    readings: dict[str, Any]


@dataclass(slots=True)
class _Point:
    events: int = 0
    judged: set[int] = field(default_factory=set)  # indices of frames with a verdict
    order: tuple[int, int] = (-1, -1)
    readings: dict[str, Any] = field(default_factory=dict)
    bad: Heard | None = None  # what holds of it now, if it is to be taken again


class RetakeList:
    """Follows runs and verdicts, and knows the points that did not come out.

    A point that was taken twice, after a pause or a suspension, is as good as its
    latest frame. The last four runs are remembered, of each the last 20,000 points.
    Attach it where the agent is attached::

        retakes = RetakeList(verdicts)
        RE.subscribe(retakes)

    Parameters
    ----------
    verdicts : Verdicts
    words : collection of str
        Verdicts of points to take again.
    """

    def __init__(
        self, verdicts: Verdicts, words: Collection[str] = ("bad", "misaligned")
    ) -> None:
        words = (words,) if isinstance(words, str) else words
        self._words = frozenset(Word(word) for word in words)
        self._lock = threading.Lock()
        self._runs: Remembered[str, Remembered[Place, _Point]] = Remembered(_MOST_RUNS)
        self._streams: Remembered[str, tuple[str, str]] = Remembered(_MOST_STREAMS)
        self._verdicts = verdicts
        self.close = verdicts.listen(self._hear)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of a RunEngine; never raises."""
        try:
            with self._lock:
                self._take(name, doc)
        except _MALFORMED as error:
            logger.error("a %s document cannot be read: %r", name, error)

    def _take(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self._runs[doc["uid"]] = Remembered(_MOST_POINTS)
        elif name == "descriptor" and images_of(doc):
            self._streams[doc["uid"]] = doc["run_start"], doc["name"]
        elif name == "event" and doc["descriptor"] in self._streams:
            uid, stream = self._streams[doc["descriptor"]]
            point = self._point(uid, stream, int(doc["seq_num"]))
            if point is None:
                return
            point.events += 1
            point.readings = {
                key: value
                for key, value in doc["data"].items()
                if isinstance(value, (bool, int, float, str))
            }

    @property
    def latest_run(self) -> str:
        """The run that began last; empty before the first."""
        with self._lock:
            return next(reversed(self._runs), "")

    def knows(self, run_uid: str) -> bool:
        """Whether it followed this run, and remembers it."""
        with self._lock:
            return run_uid in self._runs

    def is_judged(self, run_uid: str = "") -> bool:
        """Whether all verdicts of a run are there, or there is no agent to wait for."""
        return bool(self._verdicts.trouble) or not self.unjudged(run_uid)

    def unjudged(self, run_uid: str = "") -> list[Place]:
        """Stream and number of points with frames that have no verdict yet."""
        uid = run_uid or self.latest_run
        with self._lock:
            return [
                place
                for place, point in sorted(self._runs.get(uid, {}).items())
                if len(point.judged) < point.events
            ]

    def points(self, run_uid: str = "") -> list[BadPoint]:
        """Points of a run to take again, by stream and number.

        Parameters
        ----------
        run_uid : str
            By default the run that began last.
        """
        uid = run_uid or self.latest_run
        with self._lock:
            return [
                BadPoint(
                    run_uid=uid,
                    stream=stream,
                    seq_num=number,
                    heard=point.bad,
                    readings=dict(point.readings),
                )
                for (stream, number), point in sorted(self._runs.get(uid, {}).items())
                if point.bad is not None
            ]

    def _hear(self, heard: Heard) -> None:
        with self._lock:
            point = self._point(heard.run_uid, heard.stream, heard.seq_num)
            if point is None:
                return
            point.judged.add(heard.index)
            if heard.order >= point.order:
                point.order = heard.order
                point.bad = heard if heard.word in self._words else None

    def _point(self, uid: str, stream: str, number: int) -> _Point | None:
        points = self._runs.get(uid)
        if points is None:
            return None  # of a run that began before it listened, or long ago
        if (stream, number) not in points:
            points[stream, number] = _Point()
        return points[stream, number]
