"""A sink in the same process: for notebooks, the demo and tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ringwatch.agent.results import NamedDocument

__all__ = ["MemorySink"]


class MemorySink:
    """Keeps the newest derived documents, and may tell a listener of each.

    Parameters
    ----------
    limit : int
        Documents kept; older ones make room for newer.
    listener : callable, optional
        Called with (name, document) in the worker's thread: it must be quick and must
        not raise.
    """

    def __init__(
        self,
        *,
        limit: int = 100_000,
        listener: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self._kept: deque[NamedDocument] = deque(maxlen=limit)
        self._lock = threading.Lock()
        self._listener = listener
        self._sent = 0

    @property
    def sent(self) -> int:
        """Documents taken."""
        return self._sent

    @property
    def failed(self) -> int:
        """Always 0: a document is taken at once."""
        return 0

    @property
    def pending(self) -> int:
        """Always 0: a document is taken at once."""
        return 0

    @property
    def documents(self) -> list[NamedDocument]:
        """What was kept, in order."""
        with self._lock:
            return list(self._kept)

    def events(self, stream: str | None = None) -> list[dict[str, Any]]:
        """Data of the events kept, of one derived stream or of all."""
        documents = self.documents
        names = {d["uid"]: d["name"] for name, d in documents if name == "descriptor"}
        return [
            doc["data"]
            for name, doc in documents
            if name == "event" and stream in (None, names[doc["descriptor"]])
        ]

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document."""
        with self._lock:
            self._kept.append((name, doc))
            self._sent += 1
        if self._listener is not None:
            self._listener(name, doc)

    def flush(self, timeout: float) -> bool:
        """Nothing is ever pending."""
        return True

    def close(self, timeout: float) -> bool:
        """Nothing to release."""
        return True
