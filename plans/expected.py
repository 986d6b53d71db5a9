"""Frames that a RunEngine announced and that have no verdict yet."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import Any, NamedTuple

from ringwatch.plans.heard import Heard

__all__ = ["Announced", "Expected", "images_of"]

_KEPT = 10_000
_MOST_STREAMS = 64

Point = tuple[str, str, int]
"""Run, stream, number of the event; the run is empty where nobody knows it."""


class Announced(NamedTuple):
    """A frame that is expected.

    Attributes
    ----------
    point : tuple of str, str, int
        Run, stream, number of the event.
    told_at : float
        When it was announced, on the clock of ``time.monotonic``.
    """

    point: Point
    told_at: float


class Expected:
    """Follows announcements and verdicts, in whichever order they come.

    What gets a verdict is decided as the agent does it: of a stream the image of the
    ``detector``, or the first; by its stream_datum where it has one, else by its event.
    Any thread may use it.

    Parameters
    ----------
    detector : str or None
        Data key of the images, or name of the device that they come from; None: of any.
    """

    def __init__(self, detector: str | None = None) -> None:
        self._detector = detector
        self._lock = threading.Lock()
        self._streams: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._streamed: set[str] = set()  # descriptors whose events say nothing new
        self._open: deque[Announced] = deque(maxlen=_KEPT)
        self._early: OrderedDict[Point, None] = OrderedDict()
        self._last: Point | None = None

    @property
    def oldest(self) -> Announced | None:
        """The frame that waits for its verdict longest; None where none does."""
        with self._lock:
            return self._open[0] if self._open else None

    def announce(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of a RunEngine.

        Raises
        ------
        LookupError, TypeError, ValueError, AttributeError, ArithmeticError
            Where it is malformed.
        """
        with self._lock:
            if name == "descriptor":
                self._describe(doc)
            elif name not in ("event", "stream_datum"):
                return
            elif doc["descriptor"] in self._streams:
                self._expect(name, doc)

    def settle(self, heard: Heard) -> None:
        """Take a frame, and those announced before it, off what is expected."""
        if heard.revision:
            return  # its first one settled it
        point = heard.run_uid, heard.stream, heard.seq_num
        with self._lock:
            for place, frame in enumerate(self._open):
                if _same(frame.point, point):
                    for _ in range(place + 1):
                        self._open.popleft()
                    return
            self._early[point] = None  # sooner here than its announcement
            while len(self._early) > _KEPT:
                self._early.popitem(last=False)

    def _describe(self, descriptor: dict[str, Any]) -> None:
        images = images_of(descriptor)
        wanted = self._detector
        owned = descriptor.get("object_keys", {}).get(wanted, ())
        if any(wanted in (None, key) or key in owned for key in images):
            stream = str(descriptor["run_start"]), str(descriptor["name"])
            self._streams[descriptor["uid"]] = stream
            while len(self._streams) > _MOST_STREAMS:
                self._streamed.discard(self._streams.popitem(last=False)[0])

    def _expect(self, name: str, doc: dict[str, Any]) -> None:
        uid = doc["descriptor"]
        if name == "stream_datum":
            self._streamed.add(uid)
            number = int(doc["seq_nums"]["stop"]) - 1
        elif uid in self._streamed:
            return
        else:
            number = int(doc["seq_num"])
        point = *self._streams[uid], number
        if point == self._last:
            return  # one of several images of the same event
        self._last = point
        for known in (point, ("", *point[1:])):
            if known in self._early:
                del self._early[known]
                return
        self._open.append(Announced(point, time.monotonic()))


def images_of(descriptor: dict[str, Any]) -> list[str]:
    """Data keys of a descriptor that hold images: two dimensions or more."""
    return [
        key
        for key, value in descriptor["data_keys"].items()
        if sum(n is None or n > 1 for n in value.get("shape") or ()) >= 2
    ]


def _same(announced: Point, heard: Point) -> bool:
    return announced[1:] == heard[1:] and heard[0] in ("", announced[0])
