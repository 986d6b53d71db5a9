"""Verdicts put together, of what was found and of nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from ringwatch.agent.nouns import (
    FrameRef,
    LostLocator,
    Pattern,
    Quality,
    Verdict,
)
from ringwatch.agent.quality import unread
from ringwatch.agent.timings import Stages, Stopwatch
from ringwatch.models.prediction import Prediction

__all__ = ["unknown_verdict", "verdict_of", "without_pixels"]


def verdict_of(
    ref: FrameRef,
    quality: Quality,
    analysis_id: str,
    arrived: float,
    watch: Stopwatch | None,
    *,
    pattern: Pattern | None = None,
    corrected: Pattern | None = None,
    robust: Pattern | None = None,
    prediction: Prediction | None = None,
    learned: Mapping[str, float | str] | None = None,
    lost: str = "analysed",
    final: bool = True,
) -> Verdict:
    """Verdict of a frame from what the flags and the classifier say of it.

    ``arrived``, when its document came, is on the clock of ``time.monotonic``; ``lost``
    says why the frame's pixels can no longer be had. Without a ``watch`` no stage of
    it was timed.
    """
    now = time.monotonic()
    return Verdict(
        frame=without_pixels(ref, lost),
        word=quality.word,
        reason=quality.reason,
        quality=quality,
        prediction=prediction,
        pattern=pattern,
        corrected=corrected,
        robust=robust,
        analysis_id=analysis_id,
        latency_ms=(now - arrived) * 1e3,
        stages=Stages() if watch is None else watch.stages(now),
        learned=learned or {},
        final=final,
    )


def unknown_verdict(
    ref: FrameRef,
    reason: str,
    analysis_id: str,
    arrived: float,
    watch: Stopwatch | None = None,
) -> Verdict:
    """Verdict of a frame that could not be analysed: ``unknown``, with the reason."""
    quality = unread(reason)
    return verdict_of(ref, quality, analysis_id, arrived, watch, lost=reason)


def without_pixels(ref: FrameRef, why: str = "analysed") -> FrameRef:
    """The reference as it is kept: pixels that came with it would stay in memory."""
    return replace(ref, locator=LostLocator(reason=why))
