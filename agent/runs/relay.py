"""Frames handed from thread to thread, while documents come faster than verdicts go."""

from __future__ import annotations

from functools import partial

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.runs.helper import Helper
from ringwatch.agent.runs.judging import (
    Judged,
    ToLabel,
    ToRead,
    ToSum,
    advance,
    answered,
)
from ringwatch.agent.runs.line import Line, Waiting
from ringwatch.agent.runs.publication import Publication

__all__ = ["Relay"]

_DEPTH = 2  # frames behind the one that is read: one is reduced, one is labelled


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

    def add(self, frame: Waiting) -> None:
        """Take a frame, and bring those before it further."""
        judged = self._append(frame)
        if judged is not None:
            advance(judged, self._attempt_to)
        if len(self._frames) == 1:
            return  # perhaps nothing follows
        for _, each in self._frames:
            self._ask(each, ToRead)
        _, last = self._frames[-2]
        while not _is_read(last) and len(self._frames) > _DEPTH:
            self._end_first()  # a file that is late holds up nobody else's verdict
        self._reduce(last)
        while len(self._frames) > _DEPTH:
            self._end_first()

    def patience(self, otherwise: float) -> float:
        """How long the next document may be waited for, seconds."""
        return 0.0 if self._frames else otherwise

    def flush_if_due(self, *, idle: bool) -> None:
        """Judge all that is here where no document waits."""
        if idle:
            self.flush()

    def flush(self) -> None:
        """Judge and publish all that waits."""
        while self._frames:
            if len(self._frames) > 1 and _is_read(self._frames[1][1]):
                self._reduce(self._frames[1][1])
            self._end_first()

    def close(self) -> None:
        """End the helpers."""
        for helper in self._helpers.values():
            helper.close()

    def _ask(self, judged: Judged | None, kind: type[ToRead | ToLabel]) -> None:
        """Have a helper answer what a frame asks for, if it is of that kind."""
        if judged and judged.coming is None and isinstance(judged.request, kind):
            answer = partial(answered, judged, self._analysis, self._attempt_to)
            judged.coming = self._helpers[kind].submit(answer)

    def _reduce(self, judged: Judged | None) -> None:
        """Bring a frame from its pixels to where it asks for its label, or its turn."""
        while judged and isinstance(judged.request, ToRead | ToSum):
            self._answer(judged)
        self._ask(judged, ToLabel)

    def _end_first(self) -> None:
        """Bring the first frame to its verdict; those before it had theirs."""
        _, judged = self._frames[0]
        while judged and judged.request is not None:
            self._answer(judged)
        self._publish_first()

    def _answer(self, judged: Judged) -> None:
        """Answer a frame's request, and let it go on."""
        if judged.coming is None:
            judged.answer = answered(judged, self._analysis, self._attempt_to)
        else:
            judged.answer, judged.coming = judged.coming.result(), None
        advance(judged, self._attempt_to)


def _is_read(judged: Judged | None) -> bool:
    """Whether the pixels of a frame need not be waited for."""
    if judged is None or not isinstance(judged.request, ToRead):
        return True
    return judged.coming is not None and judged.coming.done()
