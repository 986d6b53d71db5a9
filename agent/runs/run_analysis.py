"""Verdicts of one raw run, frame by frame in the order of their index."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.dark import Dark
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.errors import (
    FrameShapeError,
    MissingDarkError,
    RingwatchError,
)
from ringwatch.agent.flags import SIGNAL_GONE
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import (
    Flag,
    FrameRef,
    Pattern,
    Quality,
    Verdict,
)
from ringwatch.agent.quality import (
    Alarms,
    FrameFacts,
    QualityFold,
    exposure,
    set_aside,
    turn_image,
    unread,
    with_label,
)
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.runs.judging import (
    Judging,
    Request,
    ToLabel,
    ToRead,
    ToSum,
    Turn,
    judge_alone,
)
from ringwatch.agent.runs.verdicts import verdict_of, without_pixels
from ringwatch.agent.sums import Sums
from ringwatch.agent.timings import Stopwatch
from ringwatch.models.prediction import Prediction

__all__ = ["RunAnalysis"]

_SPOTTED = (Flag.SPOTS, Flag.ZINGERS, Flag.HOT_PIXELS)
"""With one of these raised the label is of the robust pattern."""


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
    keep : callable, optional
        Called with what was reduced of each frame, and what the flags say of it.

    Attributes
    ----------
    analysis : Analysis
        As given: one run, one analysis id.
    """

    def __init__(
        self,
        analysis: Analysis,
        start: dict[str, Any],
        reader: FrameReader,
        darks: DarkBook,
        keep: Callable[[FrameFacts, Quality], None] | None = None,
    ) -> None:
        self._keep = keep
        self.analysis = self._analysis = analysis
        self._reader = reader
        self._darks = darks
        self._folds: dict[tuple[str, str, tuple[int, int]], QualityFold] = {}
        self._alarms: dict[tuple[str, str], Alarms] = {}
        dark = start.get("dark_frame")
        self._is_dark_run = isinstance(dark, bool | int | str) and bool(dark)
        motors = start.get("motors")
        self._motors = tuple(
            map(str, motors if isinstance(motors, list | tuple) else ())
        )
        self._dark_uid = str(start.get("sc_dk_field_uid") or "")

    def judge(
        self,
        ref: FrameRef,
        arrived: float,
        *,
        without_label: str = "",
        watch: Stopwatch | None = None,
    ) -> Verdict:
        """Verdict of one frame; not final where its dark may come yet.

        Parameters
        ----------
        ref : FrameRef
        arrived : float
            When its document came, on the clock of ``time.monotonic``.
        without_label : str
            Why the classifier is not to be asked; empty: it is.
        watch : Stopwatch, optional
            Which has taken the time of what came before; by default a new one.
        """
        watch = watch or Stopwatch(arrived)
        judging = self.judging(ref, arrived, watch, without_label=without_label)
        return judge_alone(judging, self._analysis, watch)

    def judging(
        self,
        ref: FrameRef,
        arrived: float,
        watch: Stopwatch,
        *,
        without_label: str = "",
    ) -> Judging:
        """The way of one frame, which asks for sums, a label, and its turn."""
        identity = self._analysis.analysis_id
        if self._is_dark_run or ref.stream == self._analysis.settings.dark_stream:
            quality = yield from self._take_dark(ref)
            return verdict_of(ref, quality, identity, arrived, watch)
        pattern = corrected = robust = prediction = None
        learned: dict[str, float | str] = {}
        final = True
        try:
            fold, facts, without_spots = yield from self._reduce(ref, watch)
        except FrameShapeError as error:
            quality = unread(str(error), flag=Flag.MISREAD)
        except RingwatchError as error:
            quality = unread(str(error))
            final = not isinstance(error, MissingDarkError)
        else:
            pattern = facts.pattern
            with watch("flags_ms"):
                quality, corrected = fold.examine(facts)
            if self._keep is not None:
                self._keep(replace(facts, turned=None), quality)  # lets the pixels go
            if pattern is not None and any(f in quality.raised for f in _SPOTTED):
                with watch("reduce_ms"):
                    robust = without_spots()
            why_not = without_label or self._no_label(pattern, quality)
            if pattern is not None and not why_not:
                prediction = yield ToLabel(robust or pattern)
                why_not = "nothing in the pattern that could be classified"
            quality = with_label(quality, prediction, why_not)
            if self._analysis.heads.identity:
                with watch("classify_ms"):
                    learned = self._learned(robust or pattern, quality, prediction)
        yield Turn()
        return verdict_of(
            ref,
            self._alarmed(ref, quality),
            identity,
            arrived,
            watch,
            pattern=pattern,
            corrected=corrected,
            robust=robust,
            prediction=prediction,
            learned=learned,
            final=final,
        )

    def awaits_dark(self, ref: FrameRef) -> bool:
        """Whether the dark that a frame needs is not there, but may come yet."""
        if self._is_dark_run or ref.stream == self._analysis.settings.dark_stream:
            return False
        return self._darks.awaits(ref.run_uid, self._dark_uid)

    def _alarmed(self, ref: FrameRef, quality: Quality) -> Quality:
        """With the alarm in force: one fold for all frames of a data key.

        Frames of any shape go through it, and those that could not be read.
        """
        key = (ref.stream, ref.data_key)
        if key not in self._alarms:
            self._alarms[key] = Alarms(self._analysis.settings.quality.threshold)
        return replace(quality, alarm=self._alarms[key].take(ref.index, quality))

    def _take_dark(
        self, ref: FrameRef
    ) -> Generator[Request, NDArray[np.generic], Quality]:
        try:
            frame = yield ToRead(partial(self._reader.read, ref))
            self._darks.add(ref, frame, alone=self._is_dark_run)
        except RingwatchError as error:
            self._darks.fail(ref.run_uid, str(error), alone=self._is_dark_run)
            return unread(f"dark frame that cannot be read: {error}")
        return set_aside("dark frame: kept to be subtracted, not judged")

    def _reduce(
        self, ref: FrameRef, watch: Stopwatch
    ) -> Generator[Request, Any, tuple[QualityFold, FrameFacts, Callable[[], Pattern]]]:
        """The fold it belongs to, what was reduced, and how to do without spots."""
        frame: NDArray[np.generic] = yield ToRead(partial(self._reader.read, ref))
        analysis = self._analysis
        settings = analysis.settings.quality
        shape = (int(frame.shape[0]), int(frame.shape[1]))
        reduction = analysis.reduction(shape)
        with watch("read_ms"):
            dark = self._dark_for(ref, reduction)
        sums: Sums | None = yield ToSum(reduction, frame)
        with watch("reduce_ms"):
            cake = reduction.cake(frame, dark, sums=sums)
            has_geometry = reduction.binning.has_geometry
            pattern = reduction.pattern(cake, dark) if has_geometry else None
            if has_geometry and analysis.settings.split == "full":
                pattern = analysis.splitting(shape).pattern(frame, dark)
        if analysis.frames_seen is not None:
            analysis.frames_seen.take(ref, frame, cake)
        key = (ref.stream, ref.data_key, shape)
        if key not in self._folds:
            self._folds[key] = QualityFold(
                settings, reduction.binning, analysis.reference(shape)
            )
        dark_time, dark_readbacks = self._darks.taken(ref.run_uid, self._dark_uid)
        facts = FrameFacts(
            ref=without_pixels(ref),
            cake=cake,
            pattern=pattern,
            dtype=frame.dtype,
            dark_frames=dark.frames if dark else 0,
            dark_age_s=ref.time - dark_time,
            dark_exposure_s=exposure(dark_readbacks, settings) or math.nan,
            distance_m=analysis.distance_m,
            energy_kev=analysis.energy_kev,
            scanned=self._scanned(ref),
            turned=lambda turn: reduction.cake(
                turn_image(frame, turn), look_again=False
            ),
        )
        return self._folds[key], facts, partial(reduction.robust_pattern, cake, dark)

    def _scanned(self, ref: FrameRef) -> tuple[str, ...]:
        """Readbacks of the motors that the plan said it would move."""
        return tuple(
            key
            for key in sorted(ref.readbacks)
            if any(key == m or key.startswith(f"{m}_") for m in self._motors)
        )

    def _dark_for(self, ref: FrameRef, reduction: Reduction) -> Dark | None:
        """Find the dark: the run's own, its dark run's, or that of the settings."""
        dark = self._darks.find(ref.run_uid, self._dark_uid, reduction)
        if dark is not None:
            return dark
        return self._analysis.dark_of_file(reduction.binning.shape)

    def _learned(
        self,
        pattern: Pattern | None,
        quality: Quality,
        prediction: Prediction | None,
    ) -> dict[str, float | str]:
        """What taught heads say; of a frame without rings nothing."""
        dark = any(flag in quality.raised for flag in SIGNAL_GONE)
        return self._analysis.heads.judge(
            None if dark else pattern,
            None if prediction is None else prediction.embedding,
            self._analysis.hashes["model_hash"],
        )

    def _no_label(self, pattern: Pattern | None, quality: Quality) -> str:
        """Why the classifier is not asked; empty where it is."""
        if pattern is None:
            return "no pattern without a geometry"
        gone = next((flag for flag in SIGNAL_GONE if flag in quality.raised), None)
        if gone is not None:
            return f"no rings worth a label: {gone.label}"
        return "" if self._analysis.classifier else "no classifier"
