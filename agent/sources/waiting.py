"""Messages that wait between the thread that receives and the one that feeds."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Waiting"]

_OVERHEAD = 64
"""Bytes that a message costs beside its own."""


class Waiting:
    """A queue bounded in bytes: who fills it looks for room first.

    Parameters
    ----------
    max_bytes : int
        Beyond this there is no room. What came at once may exceed it by one message.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._complete = False
        self._changed = threading.Condition()

    @property
    def nbytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def full(self) -> bool:
        """Whether there is no room."""
        return self._bytes >= self._max_bytes

    def put(self, message: bytes) -> None:
        """Append a message."""
        with self._changed:
            self._messages.append(message)
            self._bytes += len(message) + _OVERHEAD
            self._changed.notify_all()

    def wait_for_room(self, timeout: float) -> None:
        """Return once there is room, or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self.full, timeout)

    def take(self) -> bytes | None:
        """Wait for the next message; None when it is complete and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._complete)
            if not self._messages:
                return None
            message = self._messages.popleft()
            self._bytes -= len(message) + _OVERHEAD
            self._changed.notify_all()
            return message

    def complete(self) -> None:
        """No more will come."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def discard(self) -> int:
        """Throw away what waits; how many messages."""
        with self._changed:
            count = len(self._messages)
            self._messages.clear()
            self._bytes = 0
            self._changed.notify_all()
            return count
