"""Verdicts of one raw run, frame by frame in the order of their index."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.errors import FrameShapeError, RingwatchError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import (
    Flag,
    FrameRef,
    LostLocator,
    Pattern,
    Quality,
    Verdict,
    Word,
)
from ringwatch.agent.quality import FrameFacts, QualityFold, set_aside, unread
from ringwatch.agent.reduction import Dark, Reduction
from ringwatch.models.prediction import Prediction

__all__ = ["RunAnalysis", "unknown_verdict"]

_SIGNAL_GONE = (Flag.NO_BEAM, Flag.MISREAD, Flag.INVALID_VALUES)
"""A frame with one of these raised has no rings worth a label."""


class RunAnalysis:
    """Verdicts of one raw run, in the order in which its frames are announced.

    Parameters
    ----------
    analysis : Analysis
    start : dict
        Start document of the raw run.
    reader : FrameReader
    darks : DarkBook
        Dark frames of this and earlier runs.
    """

    def __init__(
        self,
        analysis: Analysis,
        start: dict[str, Any],
        reader: FrameReader,
        darks: DarkBook,
    ) -> None:
        self._analysis = analysis
        self._reader = reader
        self._darks = darks
        self._folds: dict[tuple[str, str, tuple[int, int]], QualityFold] = {}
        self._is_dark_run = bool(start.get("dark_frame"))
        self._dark_uid = str(start.get("sc_dk_field_uid") or "")

    def judge(self, ref: FrameRef, arrived: float) -> Verdict:
        """Verdict of one frame; ``arrived`` is on the clock of ``time.monotonic``."""
        if self._is_dark_run or ref.stream == self._analysis.settings.dark_stream:
            return self._verdict(ref, self._take_dark(ref), None, None, arrived)
        try:
            frame = self._reader.read(ref)
            quality, pattern = self._reduce_and_check(ref, frame)
        except FrameShapeError as error:
            quality = unread(str(error), flag=Flag.MISREAD)
            return self._verdict(ref, quality, None, None, arrived)
        except RingwatchError as error:
            return self._verdict(ref, unread(str(error)), None, None, arrived)
        prediction = self._classify(pattern, quality)
        return self._verdict(ref, quality, pattern, prediction, arrived)

    def _take_dark(self, ref: FrameRef) -> Quality:
        try:
            self._darks.add(
                ref.run_uid, self._reader.read(ref), alone=self._is_dark_run
            )
        except RingwatchError as error:
            self._darks.fail(ref.run_uid, str(error), alone=self._is_dark_run)
            return unread(f"dark frame that cannot be read: {error}")
        return set_aside("dark frame: kept to be subtracted, not judged")

    def _reduce_and_check(
        self, ref: FrameRef, frame: NDArray[np.generic]
    ) -> tuple[Quality, Pattern | None]:
        shape = (int(frame.shape[0]), int(frame.shape[1]))
        reduction = self._analysis.reduction(shape)
        dark = self._dark_for(ref, reduction)
        cake = reduction.cake(frame, dark)
        has_geometry = reduction.binning.has_geometry
        pattern = reduction.pattern(cake, dark) if has_geometry else None
        key = (ref.stream, ref.data_key, shape)
        if key not in self._folds:
            settings = self._analysis.settings
            self._folds[key] = QualityFold(settings.quality, reduction.binning)
        facts = FrameFacts(
            ref=ref,
            cake=cake,
            pattern=pattern,
            dtype=frame.dtype,
            dark_frames=dark.frames if dark else 0,
        )
        return self._folds[key].judge(facts), pattern

    def _dark_for(self, ref: FrameRef, reduction: Reduction) -> Dark | None:
        """Find the dark: the run's own, its dark run's, or that of the settings."""
        dark = self._darks.find(ref.run_uid, self._dark_uid, reduction)
        if dark is not None:
            return dark
        return self._analysis.dark_of_file(reduction.binning.shape)

    def _classify(self, pattern: Pattern | None, quality: Quality) -> Prediction | None:
        if pattern is None or any(flag in quality.raised for flag in _SIGNAL_GONE):
            return None
        return self._analysis.label(pattern)

    def _verdict(
        self,
        ref: FrameRef,
        quality: Quality,
        pattern: Pattern | None,
        prediction: Prediction | None,
        arrived: float,
    ) -> Verdict:
        return Verdict(
            frame=replace(ref, locator=LostLocator(reason="analysed")),
            word=quality.word,
            reason=quality.reason,
            quality=quality,
            prediction=prediction,
            pattern=pattern,
            analysis_id=self._analysis.analysis_id,
            latency_ms=(time.monotonic() - arrived) * 1e3,
        )


def unknown_verdict(
    ref: FrameRef, reason: str, analysis_id: str, arrived: float
) -> Verdict:
    """Verdict of a frame that could not be analysed: ``unknown``, with the reason."""
    quality = unread(reason)
    return Verdict(
        frame=replace(ref, locator=LostLocator(reason=reason)),
        word=Word.UNKNOWN,
        reason=reason,
        quality=quality,
        prediction=None,
        pattern=None,
        analysis_id=analysis_id,
        latency_ms=(time.monotonic() - arrived) * 1e3,
    )
