"""Doing what may fail without failing: the one broad ``except`` of the house."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.log_lines import about
from ringwatch.agent.nouns import FrameRef

__all__ = ["Attempts"]

logger = logging.getLogger(__name__)

_REMEMBERED = 256  # errors, each logged once
T = TypeVar("T")


class Attempts:
    """Does what a worker has to do; what goes wrong is logged and told, never raised.

    A scan must not suffer because analysis failed, and one frame's failure must not
    cost the next one its verdict. An error of ours is logged once, however often it
    comes: else each of a thousand events says it. Any thread may use it.
    """

    def __init__(self) -> None:
        self._told: deque[str] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def __call__(
        self, action: Callable[[], T], frame: FrameRef | None = None
    ) -> tuple[T | None, str]:
        """Do it; the result, or None and what failed.

        Parameters
        ----------
        action : callable
        frame : FrameRef, optional
            That it is about, for the log.
        """
        if frame is None:
            return self._attempt(action, "a document")
        with about(frame.run_uid, frame.index):
            return self._attempt(action, f"run {frame.run_uid} frame {frame.index}")

    def _attempt(self, action: Callable[[], T], what: str) -> tuple[T | None, str]:
        try:
            return action(), ""
        except RingwatchError as error:
            told = str(error)
            with self._lock:
                first = told not in self._told
                if first:
                    self._told.append(told)
            if first:
                logger.error("%s", told)
            return None, told
        except Exception as error:
            logger.exception("analysis of %s failed", what)
            return None, f"analysis failed: {type(error).__name__}: {error}"
