"""Which points of a run have to be taken again, and where they are."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from ringwatch.agent.nouns import Word
from ringwatch.plans.heard import Heard
from ringwatch.plans.verdicts import Verdicts

__all__ = ["BadPoint", "RetakeList"]

logger = logging.getLogger(__name__)

_MOST_RUNS = 16
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


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
    readings: dict[str, Any] = field(default_factory=dict)
    heard: Heard | None = None


class RetakeList:
    """Follows runs and verdicts, and knows the points that did not come out.

    A point that was taken twice, after a pause or a suspension, is as good as its
    latest frame. Attach it where the agent is attached::

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
        self._words = frozenset(Word(word) for word in words)
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, dict[tuple[str, int], _Point]] = OrderedDict()
        self._streams: dict[str, tuple[str, str]] = {}
        self._verdicts = verdicts
        verdicts.listen(self._hear)
        for heard in verdicts:
            self._hear(heard)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of a RunEngine; never raises."""
        try:
            with self._lock:
                if name == "start":
                    self._run(doc["uid"])
                elif name == "descriptor":
                    self._streams[doc["uid"]] = doc["run_start"], doc["name"]
                elif name == "event":
                    uid, stream = self._streams[doc["descriptor"]]
                    scalars = {
                        key: value
                        for key, value in doc["data"].items()
                        if isinstance(value, (bool, int, float, str))
                    }
                    point = self._point(uid, stream, int(doc["seq_num"]))
                    point.readings = scalars
        except _MALFORMED as error:
            logger.error("a %s document cannot be read: %r", name, error)

    @property
    def latest_run(self) -> str:
        """The run that began last; empty before the first."""
        with self._lock:
            return next(reversed(self._runs), "")

    def unjudged(self, run_uid: str = "") -> list[tuple[str, int]]:
        """Stream and number of events with frames that have no verdict yet.

        Streams of which no frame has one count as having no frames.
        """
        with self._lock:
            points = self._runs.get(run_uid or next(reversed(self._runs), ""), {})
            judged = {stream for (stream, _), point in points.items() if point.heard}
            return [
                place
                for place, point in sorted(points.items())
                if place[0] in judged and point.heard is None
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
                    heard=point.heard,
                    readings=dict(point.readings),
                )
                for (stream, number), point in sorted(self._runs.get(uid, {}).items())
                if point.heard is not None and point.heard.word in self._words
            ]

    def _hear(self, heard: Heard) -> None:
        with self._lock:
            point = self._point(heard.run_uid, heard.stream, heard.seq_num)
            known = point.heard
            if known is None or heard.order >= known.order:
                point.heard = heard

    def _run(self, uid: str) -> dict[tuple[str, int], _Point]:
        points = self._runs.setdefault(uid, {})
        while len(self._runs) > _MOST_RUNS:
            self._runs.popitem(last=False)
        return points

    def _point(self, uid: str, stream: str, number: int) -> _Point:
        return self._run(uid).setdefault((stream, number), _Point())
