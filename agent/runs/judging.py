"""Frames judged one by one, or several of them side by side.

A frame is judged by a generator that yields what it asks for on its way, a
``Request``, and returns its ``Verdict``. So there is one way of a frame, whether each
of its requests is answered at once or those of a batch of frames together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.nouns import FrameRef, Pattern, Verdict
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.timings import Stage, Stopwatch

__all__ = [
    "Judged",
    "Judging",
    "Request",
    "ToLabel",
    "ToRead",
    "ToSum",
    "Turn",
    "advance",
    "answered",
    "judge_alone",
    "judge_together",
]


class ToRead(NamedTuple):
    """Asks for the pixels (y, x) of a frame; what reads them may raise our errors."""

    read: Callable[[], NDArray[np.generic]]


class ToSum(NamedTuple):
    """Asks for the ``Sums`` of a frame; None leaves them to its own reduction."""

    reduction: Reduction
    frame: NDArray[np.generic]


class ToLabel(NamedTuple):
    """Asks for the ``Prediction`` of a pattern, or None."""

    pattern: Pattern


class Turn(NamedTuple):
    """Waits until the frames before it are through."""


Request: TypeAlias = ToRead | ToSum | ToLabel | Turn
Judging: TypeAlias = Generator[Request, Any, Verdict]


def judge_alone(judging: Judging, analysis: Analysis, watch: Stopwatch) -> Verdict:
    """Judge one frame, whatever it asks for."""
    answer = _NOTHING
    while True:
        try:
            request = _given(judging, answer)
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict
        answer = _answer(request, analysis, watch)


class Answer(NamedTuple):
    """What a request is answered with.

    An ``error`` of ours is raised where the request was made; with a ``failure`` the
    frame goes no further.
    """

    value: Any
    error: RingwatchError | None = None
    failure: str = ""


_NOTHING = Answer(None)


def _answer(request: Request, analysis: Analysis, watch: Stopwatch) -> Answer:
    """Answer a request of one frame; sums are left to its own reduction."""
    if isinstance(request, ToRead):
        with watch("read_ms"):
            try:
                return Answer(request.read())
            except RingwatchError as error:
                return Answer(None, error)
    if isinstance(request, ToLabel):
        with watch("classify_ms"):
            return Answer(analysis.label(request.pattern))
    return _NOTHING


def _given(judging: Judging, answer: Answer) -> Request:
    """What a frame asks for next, once it has its answer."""
    if answer.error is not None:
        return judging.throw(answer.error)
    return judging.send(answer.value)


@dataclass(slots=True, kw_only=True)
class Judged:
    """A frame on its way to its verdict.

    Attributes
    ----------
    ref : FrameRef
    judging : Judging
    watch : Stopwatch
    request : Request or None
        What it asks for.
    answer : Answer
        What it is given next.
    coming : Future of Answer or None
        Its answer, where another thread gives it.
    verdict : Verdict or None
        None until it is through, and where it failed.
    failure : str
        What failed.
    """

    ref: FrameRef
    judging: Judging
    watch: Stopwatch
    request: Request | None = None
    answer: Answer = _NOTHING
    coming: Future[Answer] | None = None
    verdict: Verdict | None = None
    failure: str = ""


def judge_together(
    frames: Sequence[Judged], analysis: Analysis, attempt_to: Attempts
) -> None:
    """Judge frames in the order of their index; what is found is left in each.

    What several ask for is done for all of them at once. A frame that fails, fails
    alone; what fails for a batch is done for each of its frames.
    """
    answers: tuple[tuple[type, Callable[..., None]], ...] = (
        (ToRead, _each),
        (ToSum, _sum),
        (ToLabel, _label),
        (Turn, _each),
    )
    for frame in frames:
        advance(frame, attempt_to)
    for kind, answer in answers:
        asking = [frame for frame in frames if isinstance(frame.request, kind)]
        answer(asking, analysis, attempt_to)
        for frame in asking:
            advance(frame, attempt_to)


def advance(frame: Judged, attempt_to: Attempts) -> None:
    """Give a frame its answer, and let it go on to its next request or its verdict."""
    failure = frame.answer.failure
    if not failure:
        _, failure = attempt_to(partial(_step, frame), frame.ref)
    if failure:
        frame.request, frame.failure = None, failure
        frame.judging.close()


def _step(frame: Judged) -> None:
    answer, frame.answer = frame.answer, _NOTHING
    try:
        frame.request = _given(frame.judging, answer)
    except StopIteration as end:
        frame.request, frame.verdict = None, end.value


def answered(frame: Judged, analysis: Analysis, attempt_to: Attempts) -> Answer:
    """The answer to what a frame asks for, made for it alone."""
    assert frame.request is not None
    answer = partial(_answer, frame.request, analysis, frame.watch)
    found, failure = attempt_to(answer, frame.ref)
    return found or Answer(None, failure=failure)


def _each(asking: Sequence[Judged], analysis: Analysis, attempt_to: Attempts) -> None:
    for frame in asking:
        frame.answer = answered(frame, analysis, attempt_to)


def _sum(asking: Sequence[Judged], _: Analysis, attempt_to: Attempts) -> None:
    """Sum what one device can sum at once: frames of one type and geometry.

    Where it fails, no sums are given: each frame's own reduction makes them.
    """
    groups: dict[tuple[int, str], list[tuple[Judged, ToSum]]] = {}
    for frame in asking:
        request = frame.request
        if isinstance(request, ToSum) and request.reduction.can_sum_many(request.frame):
            key = id(request.reduction), request.frame.dtype.str
            groups.setdefault(key, []).append((frame, request))
    for group in groups.values():
        sum_all = group[0][1].reduction.sums
        pixels = [request.frame for _, request in group]
        _together(
            [frame for frame, _ in group],
            "reduce_ms",
            attempt_to,
            partial(sum_all, pixels),
        )


def _label(asking: Sequence[Judged], analysis: Analysis, attempt_to: Attempts) -> None:
    """Classify all patterns at once, or each of them."""
    patterns = [f.request.pattern for f in asking if isinstance(f.request, ToLabel)]
    if len(patterns) > 1 and analysis.labels.many:
        label_all = partial(analysis.labels.of_all, patterns)
        if _together(asking, "classify_ms", attempt_to, label_all):
            return
    _each(asking, analysis, attempt_to)


def _together(
    frames: Sequence[Judged],
    stage: Stage,
    attempt_to: Attempts,
    answer: Callable[[], Sequence[Any]],
) -> bool:
    """Answer frames at once, and give each its share of the time; whether it could."""
    began = time.perf_counter()
    answers, _ = attempt_to(answer)
    share = (time.perf_counter() - began) / len(frames)
    for frame in frames:
        frame.watch.add(stage, share)
    if answers is None:
        return False
    for frame, each in zip(frames, answers, strict=True):
        frame.answer = Answer(each)
    return True
