"""Frames judged one by one, or several side by side where a device sums many at once.

A frame is judged by a generator that yields what it asks for on its way, a
``Request``, and returns its ``Verdict``. So there is one way of a frame, whether each
of its requests is answered at once or those of a batch of frames together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.nouns import FrameRef, Pattern, Verdict
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.runs.attempts import Attempts
from ringwatch.agent.timings import Stage, Stopwatch

__all__ = [
    "Judged",
    "Judging",
    "Request",
    "ToLabel",
    "ToSum",
    "Turn",
    "judge_alone",
    "judge_together",
]


class ToSum(NamedTuple):
    """Asks for the ``Sums`` of a frame; None leaves them to its own reduction."""

    reduction: Reduction
    frame: NDArray[np.generic]


class ToLabel(NamedTuple):
    """Asks for the ``Prediction`` of a pattern, or None."""

    pattern: Pattern


class Turn(NamedTuple):
    """Waits until the frames before it are through."""


Request: TypeAlias = ToSum | ToLabel | Turn
Judging: TypeAlias = Generator[Request, Any, Verdict]


def judge_alone(judging: Judging, analysis: Analysis, watch: Stopwatch) -> Verdict:
    """Judge one frame, whatever it asks for."""
    answer: Any = None
    while True:
        try:
            request = judging.send(answer)
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict
        answer = None
        if isinstance(request, ToLabel):
            with watch("classify_ms"):
                answer = analysis.label(request.pattern)


@dataclass(slots=True, kw_only=True)
class Judged:
    """A frame of a batch on its way to its verdict.

    Attributes
    ----------
    ref : FrameRef
    judging : Judging
    watch : Stopwatch
    request : Request or None
        What it asks for.
    answer : object
        What it is given next.
    verdict : Verdict or None
        None until it is through, and where it failed.
    failure : str
        What failed.
    """

    ref: FrameRef
    judging: Judging
    watch: Stopwatch
    request: Request | None = None
    answer: Any = None
    verdict: Verdict | None = None
    failure: str = ""


def judge_together(
    frames: Sequence[Judged], analysis: Analysis, attempt_to: Attempts
) -> None:
    """Judge frames in the order of their index; what is found is left in each.

    What several ask for is done for all of them at once. A frame that fails, fails
    alone; what fails for a batch is done for each of its frames.
    """
    _advance(frames, attempt_to)
    for kind, answer in ((ToSum, _sum), (ToLabel, partial(_label, analysis))):
        asking = [frame for frame in frames if isinstance(frame.request, kind)]
        answer(asking, attempt_to)
        _advance([frame for frame in asking if not frame.failure], attempt_to)
    _advance([frame for frame in frames if frame.request is not None], attempt_to)


def _advance(frames: Sequence[Judged], attempt_to: Attempts) -> None:
    """Let each of them go on to its next request, or to its verdict."""
    for frame in frames:
        _, failure = attempt_to(partial(_step, frame), frame.ref)
        if failure:
            _fail(frame, failure)


def _fail(frame: Judged, failure: str) -> None:
    frame.request, frame.failure = None, failure
    frame.judging.close()


def _step(frame: Judged) -> None:
    try:
        frame.request = frame.judging.send(frame.answer)
    except StopIteration as end:
        frame.request, frame.verdict = None, end.value
    frame.answer = None


def _sum(asking: Sequence[Judged], attempt_to: Attempts) -> None:
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


def _label(analysis: Analysis, asking: Sequence[Judged], attempt_to: Attempts) -> None:
    """Classify all patterns at once, or each of them."""
    patterns = [f.request.pattern for f in asking if isinstance(f.request, ToLabel)]
    if len(patterns) > 1 and analysis.labels.many:
        label_all = partial(analysis.labels.of_all, patterns)
        if _together(asking, "classify_ms", attempt_to, label_all):
            return
    for frame, pattern in zip(asking, patterns, strict=True):
        with frame.watch("classify_ms"):
            frame.answer, failure = attempt_to(
                partial(analysis.label, pattern), frame.ref
            )
        if failure:
            _fail(frame, failure)


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
        frame.answer = each
    return True
