"""A bounded queue and a thread, for sinks that talk to the outside."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from enum import StrEnum
from typing import Any

from ringwatch.agent.results import NamedDocument

__all__ = ["QueuedSink", "State"]

logger = logging.getLogger(__name__)


class State(StrEnum):
    """Life of a sink, in order."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class QueuedSink(ABC):
    """A sink with its own bounded queue and its own thread.

    A full queue refuses the newest document: it is counted in ``failed`` and the first
    such refusal is logged. A subclass makes itself ready, then calls ``_begin``.

    Parameters
    ----------
    name : str
        For the log and the thread.
    limit : int
        Most documents pending at a time.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self._queue: deque[NamedDocument] = deque()
        self._cond = threading.Condition()
        self._state = State.OPEN
        self._urgent = self._woken = False
        self._deadline = float("inf")  # of closing, on the monotonic clock
        self._sent = self._failed = self._pending = 0
        self._overflowed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def sent(self) -> int:
        """Documents handed over for good."""
        return self._sent

    @property
    def failed(self) -> int:
        """Documents given up."""
        return self._failed

    @property
    def pending(self) -> int:
        """Documents accepted and neither sent nor failed yet."""
        return self._pending

    @property
    def state(self) -> State:
        """Open, closing or closed."""
        return self._state

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Accept a document. Never blocks, never raises; the document is not copied."""
        with self._cond:
            if self._state is State.OPEN and self._pending < self.limit:
                self._queue.append((name, doc))
                self._pending += 1
                self._cond.notify_all()
                return
            self._failed += 1
            first, self._overflowed = not self._overflowed, True
        if first:
            logger.error(
                "%s lost a %s document (it is %s, %d documents pending of at most %d); "
                "the next losses are only counted",
                self.name,
                name,
                self._state,
                self._pending,
                self.limit,
            )

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until nothing is pending; whether it is so."""
        with self._cond:
            self._urgent = self._woken = True
            self._cond.notify_all()
            self._cond.wait_for(
                lambda: not self._pending or self._state is State.CLOSED, timeout
            )
            self._urgent = False
            return not self._pending

    def close(self, timeout: float) -> bool:
        """Hand over what is pending, then stop; whether all of it went out in time.

        What is left when the time is up counts as failed. Closing twice is harmless.
        """
        with self._cond:
            if self._state is State.OPEN:
                self._state = State.CLOSING
                self._deadline = time.monotonic() + timeout
            self._woken = True
            self._cond.notify_all()
        # A little longer than the deadline: the thread sees it and ends by itself.
        self._thread.join(timeout + 0.5)
        with self._cond:
            left, self._pending = self._pending, 0
            self._failed += left
            self._queue.clear()
        if left:
            logger.error("%s closed with %d documents not handed over", self.name, left)
        return not left and not self._thread.is_alive()

    @abstractmethod
    def _work(self, taken: list[NamedDocument]) -> float:
        """Deal with newly taken documents; return the seconds until to be called again.

        Reports by ``_settle`` what became of each document, now or later.
        """

    def _begin(self) -> None:
        self._thread.start()

    def _end(self) -> None:  # noqa: B027 - not every sink holds something
        """Release resources; runs last, in the sink's thread."""

    def _settle(self, *, sent: int = 0, failed: int = 0) -> None:
        with self._cond:
            done = min(sent + failed, self._pending)
            self._pending -= done
            self._sent += sent
            self._failed += failed
            if not self._pending:
                self._cond.notify_all()

    @property
    def _hurried(self) -> bool:
        """Whether someone waits for the queue to empty."""
        return self._urgent or self._state is State.CLOSING

    @property
    def _late(self) -> bool:
        """Whether the time given to ``close`` is up."""
        return time.monotonic() > self._deadline

    def _run(self) -> None:
        wait = 0.0
        try:
            while not (self._state is State.CLOSING and (self._late or self._idle())):
                wait = self._work(self._take(wait))
        finally:
            self._end()
            with self._cond:
                self._state = State.CLOSED
                self._cond.notify_all()

    def _idle(self) -> bool:
        with self._cond:
            return not self._pending

    def _take(self, wait: float) -> list[NamedDocument]:
        with self._cond:
            if not self._queue and not self._woken:
                self._cond.wait(wait)
            self._woken = False
            taken = list(self._queue)
            self._queue.clear()
            return taken
