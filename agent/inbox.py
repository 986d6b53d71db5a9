"""The bounded queue between the RunEngine's thread and the worker."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ringwatch.agent.documents import SHED_KEY

__all__ = ["GAP", "Inbox", "Item", "Queue"]

GAP = "ringwatch_gap"
"""Name under which a source tells that documents of a run were lost on the way."""


class Item(NamedTuple):
    """A document as it arrived; ``arrived`` on the clock of ``time.monotonic``.

    A ``patient`` one comes from a source that waits while the queue is full. One that
    begins a run here, or tells of a gap in it, has the uid of that ``run``.
    """

    arrived: float
    name: str
    doc: dict[str, Any]
    size: int
    patient: bool
    run: str


class Queue(NamedTuple):
    """How many documents wait, bytes of pixels in them, and for how long, seconds.

    The age is that of the oldest document which is not worked off, so it grows also
    while the worker is busy with the only one, or with one that announced many frames.
    """

    documents: int
    nbytes: int
    age_s: float


class Inbox:
    """Takes documents without ever blocking; bounded in bytes of pixels.

    Under overload the pixels of an event are dropped, and the event says so: its frames
    get the verdict ``unknown``. What announces runs, files and frames is always kept: a
    document costs about a kilobyte, and without it frames would be lost in silence.

    Parameters
    ----------
    max_bytes : int
        Pixels held inside events.
    max_items : int
        Documents beyond which no event keeps its pixels.
    """

    def __init__(self, *, max_bytes: int, max_items: int) -> None:
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._begun = ""
        self._changed = threading.Condition()
        self._oldest: float | None = None  # arrival of the one that is worked on
        self._busy = True  # until the worker has warmed up and asks for the first
        self._closed = False

    def put(self, name: str, doc: dict[str, Any]) -> bool:
        """Append a document; False once closed. Costs microseconds.

        Under overload an event loses its pixels.
        """
        doc, arrays = _copied(name, doc)
        size = sum(arrays.values())
        with self._changed:
            if self._closed:
                return False
            if name == "event" and size and self._is_full(size):
                doc, size = _without(arrays, doc, len(self._items)), 0
            self._append(name, doc, size, patient=False)
        return True

    def offer(
        self, name: str, doc: dict[str, Any], timeout: float, *, patient: bool = True
    ) -> bool:
        """Append a document once there is room; False where there was none in time.

        What comes over a wire is not ``patient``: more comes while we wait.
        """
        doc, _ = _copied(name, doc)
        size = _weight(doc)
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._closed or not self._is_full(size), timeout
            )
            if not room or self._closed:
                return False
            self._append(name, doc, size, patient=patient)
        return True

    @property
    def runs(self) -> tuple[str, ...]:
        """Uids of runs of which a start or a gap waits, or is worked on."""
        with self._changed:
            return tuple(filter(None, (self._begun, *(i.run for i in self._items))))

    def _append(
        self, name: str, doc: dict[str, Any], size: int, *, patient: bool
    ) -> None:
        item = Item(time.monotonic(), name, doc, size, patient, _run_of(name, doc))
        self._items.append(item)
        self._bytes += size
        self._changed.notify_all()

    def get(self, timeout: float) -> Item | None:
        """Next document; None after ``timeout`` seconds or when closed and empty."""
        with self._changed:
            self._busy, self._oldest = False, None
            self._changed.notify_all()
            if not self._items and not self._closed:
                self._changed.wait(timeout)
            if not self._items:
                self._begun = ""
                return None
            item = self._items.popleft()
            self._bytes -= item.size
            self._begun = item.run
            self._busy, self._oldest = True, item.arrived
            return item

    def close(self) -> None:
        """Take no more; what is inside can still be fetched."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def wait_idle(self, timeout: float) -> bool:
        """Wait until all documents were taken and worked off; whether they were."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._items and not self._busy, timeout
            )

    @property
    def queue(self) -> Queue:
        """What waits, as seen from another thread."""
        with self._changed:
            oldest = self._oldest
            if oldest is None and self._items:
                oldest = self._items[0].arrived
            waiting, nbytes = len(self._items), self._bytes
        age = 0.0 if oldest is None else time.monotonic() - oldest
        return Queue(waiting, nbytes, age)

    def __len__(self) -> int:
        return len(self._items)

    def _is_full(self, size: int) -> bool:
        """Whether so many bytes more are too much; an empty queue takes anything."""
        return bool(self._items) and (
            self._bytes + size > self._max_bytes or len(self._items) >= self._max_items
        )


def _copied(name: str, doc: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Copy the outer dictionaries of an event, and tell the bytes of its arrays.

    Other callbacks may write into theirs; pixels are not copied.
    """
    if name == "event":
        doc = {**doc, "data": dict(doc["data"])}
        return doc, {
            key: value.nbytes
            for key, value in doc["data"].items()
            if isinstance(value, np.ndarray)
        }
    if name == "event_page":
        return doc, {
            key: sum(getattr(value, "nbytes", 0) for value in column)
            for key, column in doc["data"].items()
        }
    return doc, {}


def _run_of(name: str, doc: dict[str, Any]) -> str:
    key = {"start": "uid", GAP: "run"}.get(name)
    uid = doc.get(key) if key and isinstance(doc, dict) else ""
    return uid if isinstance(uid, str) else ""


def _weight(value: Any) -> int:
    """About how many bytes a document takes."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_weight, value.values())) + 64 * len(value)
    if isinstance(value, list | tuple):
        return sum(map(_weight, value)) + 8 * len(value)
    return 24


def _without(keys: Iterable[str], doc: dict[str, Any], waiting: int) -> dict[str, Any]:
    """Take arrays out of an event, and say so in it."""
    reason = f"not analysed: {waiting} documents were waiting and the queue was full"
    shed = dict.fromkeys(keys, reason)
    data = {key: value for key, value in doc["data"].items() if key not in shed}
    return {**doc, "data": data, SHED_KEY: shed}
