"""The bounded queue between the RunEngine's thread and the worker."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from ringwatch.agent.documents import SHED_KEY

__all__ = ["Inbox", "Item"]


class Item(NamedTuple):
    """A document as it arrived; ``arrived`` on the clock of ``time.monotonic``."""

    arrived: float
    name: str
    doc: dict[str, Any]
    size: int


class Inbox:
    """Takes documents without ever blocking; bounded in bytes of pixels and in items.

    Documents that announce runs and files are always kept: they are small, and without
    them nothing else can be understood. Under overload the pixels of an event are
    dropped, and the event says so: its frames get the verdict ``unknown``.

    Parameters
    ----------
    max_bytes : int
        Pixels held inside events.
    max_items : int
        Documents.
    """

    def __init__(self, *, max_bytes: int, max_items: int) -> None:
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._busy = False
        self._closed = False

    def put(self, name: str, doc: dict[str, Any]) -> bool:
        """Append a document; False once closed. Costs microseconds."""
        size = 0
        if name == "event":
            # A copy of the outer dictionaries: other callbacks may write into theirs.
            doc = {**doc, "data": dict(doc["data"])}
            size = sum(
                value.nbytes
                for value in doc["data"].values()
                if isinstance(value, np.ndarray)
            )
        with self._changed:
            if self._closed:
                return False
            if size and self._is_full(size):
                doc, size = _without_pixels(doc, len(self._items)), 0
            self._items.append(Item(time.monotonic(), name, doc, size))
            self._bytes += size
            self._changed.notify()
        return True

    def get(self, timeout: float) -> Item | None:
        """Next document; None after ``timeout`` seconds or when closed and empty."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            if not self._items and not self._closed:
                self._changed.wait(timeout)
            if not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= item.size
            self._busy = True
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
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._items or self._busy:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.2))
        return True

    def __len__(self) -> int:
        return len(self._items)

    @property
    def oldest(self) -> float | None:
        """Arrival of the oldest waiting document, on ``time.monotonic``."""
        with self._changed:
            return self._items[0].arrived if self._items else None

    def _is_full(self, size: int) -> bool:
        return (
            self._bytes + size > self._max_bytes or len(self._items) >= self._max_items
        )


def _without_pixels(doc: dict[str, Any], waiting: int) -> dict[str, Any]:
    data = {k: v for k, v in doc["data"].items() if not isinstance(v, np.ndarray)}
    reason = f"not analysed: {waiting} documents were waiting and the queue was full"
    return {**doc, "data": data, SHED_KEY: reason}
