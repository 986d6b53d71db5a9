"""What waits for its verdict, and how it is brought there and published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, replace

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.nouns import FrameRef, Verdict
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.runs.judging import Judged
from ringwatch.agent.runs.open_run import OpenRun
from ringwatch.agent.runs.overload import Late
from ringwatch.agent.runs.publication import Publication
from ringwatch.agent.timings import Stopwatch

__all__ = ["Line", "Waiting"]


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


class Line(ABC):
    """Frames on their way to their verdicts, in the order of their announcement.

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
        self._analysis = analysis
        self._publication = publication
        self._attempt_to = attempt_to
        self._frames: deque[tuple[Waiting, Judged | None]] = deque()

    @property
    def oldest(self) -> float | None:
        """When the oldest frame without its verdict arrived; None where there is none.

        On the clock of ``time.monotonic``. Any thread may ask.
        """
        try:
            return self._frames[0][0].arrived
        except IndexError:
            return None

    @abstractmethod
    def add(self, frame: Waiting) -> None:
        """Take a frame."""

    @abstractmethod
    def patience(self, otherwise: float) -> float:
        """How long the next document may be waited for, seconds."""

    @abstractmethod
    def flush_if_due(self, *, idle: bool) -> None:
        """Judge what has waited long enough; ``idle``: no document waits."""

    @abstractmethod
    def flush(self) -> None:
        """Judge and publish all that waits."""

    def close(self) -> None:  # noqa: B027 - not every line holds something
        """Release resources; after the last ``flush``."""

    def _append(self, frame: Waiting) -> Judged | None:
        """Put a frame at the beginning of its way; None where it is left out."""
        judged = None
        if frame.late is not Late.FRAME:
            judging = frame.run.analysis.judging(
                frame.ref,
                frame.arrived,
                frame.watch,
                without_label=frame.why if frame.late is Late.LABEL else "",
            )
            judged = Judged(ref=frame.ref, watch=frame.watch, judging=judging)
        self._frames.append((frame, judged))
        return judged

    def _publish_first(self) -> None:
        """Publish the verdict of the first frame, which is at the end of its way.

        Only then it is off the line: who waits for verdicts asks for the ``oldest``.
        """
        try:
            self._publish(*self._frames[0])
        finally:
            self._frames.popleft()

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
