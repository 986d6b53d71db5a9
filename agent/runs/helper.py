"""A second thread for what needs none of the worker's own things."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

__all__ = ["Helper"]


class Helper:
    """Does one thing after another, in the order in which they are asked for.

    It is not waited for where the process ends: what it does may hang.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._asked = SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None

    def submit(self, action: Callable[[], Any]) -> Future[Any]:
        """Have something done, which must not raise; its result will come."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name=self._name, daemon=True
            )
            self._thread.start()
        done: Future[Any] = Future()
        self._asked.put((action, done))
        return done

    def close(self) -> None:
        """End once all is done."""
        self._asked.put(None)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            action, done = asked
            done.set_result(action())
            del asked, action, done  # a frame's pixels would be kept till the next
