"""Frames on their way to their verdicts: one at a time, or a batch for a device."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.nouns import FrameRef, Verdict
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.runs.judging import Judged, judge_together
from ringwatch.agent.runs.open_run import OpenRun
from ringwatch.agent.runs.overload import Late
from ringwatch.agent.runs.publication import Publication
from ringwatch.agent.timings import Stopwatch

__all__ = ["MicroBatch", "Waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A frame that waits for its verdict.

    Attributes
    ----------
    run : OpenRun
    ref : FrameRef
    arrived : float
        When its document came, on the clock of ``time.monotonic``.
    patient : bool
        Whether it came from a source that waits.
    late : Late
        What is left out of it, and ``why``.
    why : str
    watch : Stopwatch
    """

    run: OpenRun
    ref: FrameRef
    arrived: float
    patient: bool
    late: Late
    why: str
    watch: Stopwatch


class MicroBatch:
    """Judges and publishes frames in the order of their announcement.

    With a device, frames are held until it can take a whole batch, or until the first
    of them has waited for ``batch_wait_ms``; without one, each is judged at once.

    Parameters
    ----------
    analysis : Analysis
    publication : Publication
    attempt_to : Attempts
        Does what may fail.
    """

    def __init__(
        self, analysis: Analysis, publication: Publication, attempt_to: Attempts
    ) -> None:
        settings = analysis.settings
        self._analysis = analysis
        self._publication = publication
        self._attempt_to = attempt_to
        self._size = settings.batch if settings.device else 1
        self._wait_s = settings.batch_wait_ms * 1e-3
        self._waiting: list[Waiting] = []
        self._due = 0.0

    def add(self, frame: Waiting) -> None:
        """Take a frame."""
        if not self._waiting:
            self._due = time.monotonic() + self._wait_s
        self._waiting.append(frame)
        if len(self._waiting) >= self._size:
            self.flush()

    def patience(self, otherwise: float) -> float:
        """How long the next document may be waited for, seconds."""
        if not self._waiting:
            return otherwise
        return min(max(self._due - time.monotonic(), 0.0), otherwise)

    def flush_if_due(self) -> None:
        """Judge what has waited long enough."""
        if self._waiting and time.monotonic() >= self._due:
            self.flush()

    @property
    def holds_frames(self) -> bool:
        """Whether any frame here is without its verdict."""
        return bool(self._waiting)

    def flush(self) -> None:
        """Judge and publish all that waits."""
        try:
            self._judge(self._waiting)
        finally:
            self._waiting = []

    def _judge(self, waiting: list[Waiting]) -> None:
        judged: dict[int, Judged] = {
            n: Judged(
                ref=frame.ref,
                watch=frame.watch,
                judging=frame.run.analysis.judging(
                    frame.ref,
                    frame.arrived,
                    frame.watch,
                    without_label=frame.why if frame.late is Late.LABEL else "",
                ),
            )
            for n, frame in enumerate(waiting)
            if frame.late is not Late.FRAME
        }
        judge_together(list(judged.values()), self._analysis, self._attempt_to)
        for n, frame in enumerate(waiting):
            self._publish(frame, judged.get(n))

    def _publish(self, frame: Waiting, judged: Judged | None) -> None:
        counters, ledger = self._publication.counters, frame.run.ledger
        why = frame.why if judged is None else judged.failure
        verdict: Verdict | None = None if judged is None else judged.verdict
        if judged is None:
            ledger.tear(why)
        if verdict is None:
            verdict = self._publication.unknown(
                frame.ref, why, frame.arrived, frame.watch
            )
        counters.shed_frames += frame.late is Late.FRAME
        counters.shed_labels += frame.late is Late.LABEL
        if not (verdict.final or frame.patient):
            ledger.tear(verdict.reason)
        final = frame.late is Late.NOTHING and ledger.whole
        self._publication.publish(frame.run, replace(verdict, final=final))
