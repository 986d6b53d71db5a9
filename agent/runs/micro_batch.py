"""Frames held until a device can take a whole batch of them."""

from __future__ import annotations

import time

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.runs.judging import judge_together
from ringwatch.agent.runs.line import Line, Waiting
from ringwatch.agent.runs.publication import Publication

__all__ = ["MicroBatch"]


class MicroBatch(Line):
    """Judges frames when a batch is full, or its first has waited ``batch_wait_ms``."""

    def __init__(
        self, analysis: Analysis, publication: Publication, attempt_to: Attempts
    ) -> None:
        super().__init__(analysis, publication, attempt_to)
        self._size = analysis.settings.batch
        self._wait_s = analysis.settings.batch_wait_ms * 1e-3
        self._due = 0.0

    def add(self, frame: Waiting) -> None:
        """Take a frame."""
        if not self._frames:
            self._due = time.monotonic() + self._wait_s
        self._append(frame)
        if len(self._frames) >= self._size:
            self.flush()

    def patience(self, otherwise: float) -> float:
        """How long the next document may be waited for, seconds."""
        if not self._frames:
            return otherwise
        return min(max(self._due - time.monotonic(), 0.0), otherwise)

    def flush_if_due(self, *, idle: bool) -> None:
        """Judge what has waited long enough."""
        if self._frames and time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Judge and publish all that waits."""
        try:
            every = [judged for _, judged in self._frames if judged is not None]
            judge_together(every, self._analysis, self._attempt_to)
            while self._frames:
                self._publish_first()
        finally:
            self._frames.clear()
