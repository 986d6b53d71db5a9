"""Frames handed from thread to thread, while documents come faster than verdicts go."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.runs.helper import Helper
from ringwatch.agent.runs.judging import (
    Answer,
    Judged,
    ToLabel,
    ToRead,
    ToSum,
    advance,
    answer_alone,
)
from ringwatch.agent.runs.line import Line, Waiting
from ringwatch.agent.runs.publication import Publication

__all__ = ["Relay"]

_DEPTH = 2  # frames behind the one that is read: one is reduced, one is labelled


@dataclass(slots=True)
class _OnItsWay:
    """A frame, what it asks for, and who answers; ``judged`` is None if left out."""

    frame: Waiting
    judged: Judged | None
    answer: Future[tuple[Answer | None, str]] | None = None

    @property
    def is_read(self) -> bool:
        """Whether its pixels need not be waited for."""
        reads = self.judged is not None and isinstance(self.judged.request, ToRead)
        return not reads or (self.answer is not None and self.answer.done())


class Relay(Line):
    """Judges frames one after another; others read pixels and find labels meanwhile.

    To unpack pixels and to run the network needs nothing that changes from frame to
    frame, so two helpers do that while the worker reduces another frame and looks for
    flags. What depends on the order is done by the worker, in the order of the frames.
    A frame that comes alone does not pay for helpers: the worker does all of it.
    """

    def __init__(
        self, analysis: Analysis, publication: Publication, attempt_to: Attempts
    ) -> None:
        super().__init__(analysis, publication, attempt_to)
        self._helpers: dict[type, Helper] = {
            ToRead: Helper("ringwatch-reader"),
            ToLabel: Helper("ringwatch-labeller"),
        }
        self._line: deque[_OnItsWay] = deque()

    def add(self, frame: Waiting) -> None:
        """Take a frame, and bring those before it further."""
        judged = self._judged(frame)
        if judged is not None:
            advance(judged, self._attempt_to)
        self._line.append(_OnItsWay(frame, judged))
        if len(self._line) == 1:
            return  # perhaps nothing follows
        for each in self._line:
            self._ask(each, ToRead)
        last = self._line[-2]
        while not last.is_read and self._line[0] is not last:
            self._end_first()  # a file that is late holds up nobody else's verdict
        self._reduce(last)
        while len(self._line) > _DEPTH:
            self._end_first()

    def patience(self, otherwise: float) -> float:
        """How long the next document may be waited for, seconds."""
        return 0.0 if self._line else otherwise

    def flush_if_due(self, *, idle: bool) -> None:
        """Judge all that is here where no document waits."""
        if idle:
            self.flush()

    @property
    def oldest(self) -> float | None:
        """When the oldest frame without its verdict arrived; None where there is none.

        On the clock of ``time.monotonic``. Any thread may ask.
        """
        try:
            return self._line[0].frame.arrived
        except IndexError:
            return None

    def flush(self) -> None:
        """Judge and publish all that waits."""
        while self._line:
            if len(self._line) > 1 and self._line[1].is_read:
                self._reduce(self._line[1])
            self._end_first()

    def close(self) -> None:
        """End the helpers."""
        for helper in self._helpers.values():
            helper.close()

    def _ask(self, each: _OnItsWay, kind: type[ToRead | ToLabel]) -> None:
        """Have a helper answer what a frame asks for, if it is of that kind."""
        judged = each.judged
        if judged and each.answer is None and isinstance(judged.request, kind):
            alone = partial(answer_alone, judged.request, self._analysis, judged.watch)
            attempt = partial(self._attempt_to, alone, judged.ref)
            each.answer = self._helpers[kind].submit(attempt)

    def _reduce(self, each: _OnItsWay) -> None:
        """Bring a frame from its pixels to where it asks for its label, or its turn."""
        judged = each.judged
        while judged and isinstance(judged.request, ToRead | ToSum):
            self._answer(each, judged)
        self._ask(each, ToLabel)

    def _end_first(self) -> None:
        """Bring the first frame to its verdict; those before it had theirs."""
        each = self._line[0]
        judged = each.judged
        while judged and judged.request is not None:
            self._answer(each, judged)
        self._line.popleft()
        self._publish(each.frame, judged)

    def _answer(self, each: _OnItsWay, judged: Judged) -> None:
        """Answer a frame's request, and let it go on."""
        assert judged.request is not None
        if each.answer is not None:
            found, failure = each.answer.result()
            each.answer = None
        else:
            alone = partial(answer_alone, judged.request, self._analysis, judged.watch)
            found, failure = self._attempt_to(alone, judged.ref)
        if found is not None:
            judged.answer = found
        advance(judged, self._attempt_to, failure)
