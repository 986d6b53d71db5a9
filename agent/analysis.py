"""One frame, all the way from its reference to its verdict."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.darks import DarkBook
from ringwatch.agent.errors import (
    FrameReadError,
    FrameShapeError,
    GeometryError,
    RingwatchError,
)
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.images import read_image
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
from ringwatch.agent.settings import Settings
from ringwatch.models.inputs import PatternError
from ringwatch.models.prediction import Prediction

__all__ = ["Analysis", "Classifies", "RunAnalysis", "unknown_verdict"]

logger = logging.getLogger(__name__)

_SIGNAL_GONE = (Flag.NO_BEAM, Flag.MISREAD, Flag.INVALID_VALUES)
"""A frame with one of these raised has no rings worth a label."""


class Classifies(Protocol):
    """What the analysis asks of a classifier."""

    @property
    def identity(self) -> str:
        """Hash over weights and prior."""

    def predict(
        self,
        q: NDArray[np.float64],
        intensity: NDArray[np.float64],
        sigma: NDArray[np.float64] | None = None,
    ) -> Prediction:
        """Symmetry of one pattern."""


class Analysis:
    """What stays the same for every frame: geometry, mask, dark file, classifier.

    Parameters
    ----------
    settings : Settings
    classifier : Classifies, optional
        None: verdicts carry no label.

    Raises
    ------
    GeometryError
        Where the geometry, the mask or the dark file cannot be used.
    """

    def __init__(self, settings: Settings, classifier: Classifies | None) -> None:
        self.settings = settings
        self.classifier = classifier
        self._geometry = load_geometry(settings.poni) if settings.poni else None
        self._mask = None
        if settings.mask:
            self._mask = _image_of_settings(settings.mask, "mask") != 0
        self._told_unlabelled = False
        self._dark_frame = None
        if settings.dark:
            self._dark_frame = _image_of_settings(settings.dark, "dark")
        self._reductions: dict[tuple[int, int], Reduction] = {}
        self._dark_file: dict[tuple[int, int], Dark] = {}
        if self._geometry is not None and self._geometry.detector.shape:
            rows, columns = self._geometry.detector.shape
            self.reduction((int(rows), int(columns)))
        self.analysis_id = self._identify()

    @property
    def has_geometry(self) -> bool:
        """Whether frames can become patterns."""
        return self._geometry is not None

    def reduction(self, shape: tuple[int, int]) -> Reduction:
        """Reduction for frames of one (y, x) shape, made once.

        Raises
        ------
        GeometryError
            Where the geometry or the mask is for another shape.
        """
        if shape not in self._reductions:
            settings = self.settings
            if self._geometry is None:
                binning = Binning.without_geometry(shape, mask=self._mask)
            else:
                binning = Binning.from_geometry(
                    self._geometry,
                    shape,
                    mask=self._mask,
                    npt=settings.npt,
                    polarization=settings.polarization,
                )
            self._reductions[shape] = Reduction(
                binning, saturation=settings.quality.saturation
            )
        return self._reductions[shape]

    def dark_of_file(self, shape: tuple[int, int]) -> Dark | None:
        """Dark of the settings, None where none is given."""
        if self._dark_frame is None:
            return None
        if shape not in self._dark_file:
            self._dark_file[shape] = self.reduction(shape).prepare_dark(
                [self._dark_frame]
            )
        return self._dark_file[shape]

    def bins(self, shape: tuple[int, int]) -> NDArray[np.float64] | None:
        """Bin centres for such frames, 1/Angstrom; None where there are none."""
        if self._geometry is None or shape == (0, 0):
            return None
        try:
            return self.reduction(shape).binning.q
        except GeometryError:
            return None

    def label(self, pattern: Pattern) -> Prediction | None:
        """Symmetry of a pattern; None without a classifier or anything to classify."""
        measured = pattern.coverage > 0
        if self.classifier is None or not (pattern.intensity[measured] > 0).any():
            return None
        sigma = pattern.sigma[measured]
        try:
            return self.classifier.predict(
                pattern.q[measured],
                pattern.intensity[measured],
                sigma if np.isfinite(sigma).all() else None,
            )
        except PatternError as error:
            # The flags stand without a label: a camera at small angles has rings too.
            if not self._told_unlabelled:
                self._told_unlabelled = True
                logger.warning("frames stay without a label: %s", error)
            return None

    def judge_pattern(self, ref: FrameRef, pattern: Pattern, arrived: float) -> Verdict:
        """Verdict of a pattern that came without its frame: a label, but never good."""
        prediction = self.label(pattern)
        found = "labelled" if prediction else "nothing to label"
        reason = f"a pattern without its frame: {found}, the flags need pixels"
        return Verdict(
            frame=ref,
            word=Word.UNKNOWN,
            reason=reason,
            quality=set_aside(reason),
            prediction=prediction,
            pattern=pattern,
            analysis_id=self.analysis_id,
            latency_ms=(time.monotonic() - arrived) * 1e3,
        )

    def hashes(self) -> dict[str, str]:
        """Hashes of model, geometry, mask and dark file, for the derived run."""
        settings = self.settings
        return {
            "model_hash": self.classifier.identity if self.classifier else "",
            "geometry_hash": _hash_of(settings.poni),
            "mask_hash": _hash_of(settings.mask),
            "dark_hash": _hash_of(settings.dark),
        }

    def _identify(self) -> str:
        """Hash over all that decides a verdict: the analysis id."""
        paths = {
            "poni",
            "mask",
            "dark",
            "weights",
        }  # the content counts, not the name
        plumbing = {"publish", "tiled", "tiled_container", "data_roots", "detector"}
        chosen = self.settings.model_dump(mode="json", exclude=paths | plumbing)
        state = {"version": version("ringwatch"), **self.hashes(), "settings": chosen}
        text = json.dumps(state, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


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
        start: dict[str, object],
        reader: FrameReader,
        darks: DarkBook,
    ) -> None:
        self._analysis = analysis
        self._reader = reader
        self._darks = darks
        self._folds: dict[tuple[str, str], QualityFold] = {}
        self._is_dark_run = bool(start.get("dark_frame"))
        self._dark_uid = str(start.get("sc_dk_field_uid") or "")

    def judge(self, ref: FrameRef, arrived: float) -> Verdict:
        """Verdict of one frame; ``arrived`` is on the clock of ``time.monotonic``."""
        try:
            frame = self._reader.read(ref)
            if self._is_dark_run or ref.stream == self._analysis.settings.dark_stream:
                quality = self._take_dark(ref, frame)
                return self._verdict(ref, quality, None, None, arrived)
            quality, pattern = self._reduce_and_check(ref, frame)
        except FrameShapeError as error:
            quality = unread(str(error), flag=Flag.MISREAD)
            return self._verdict(ref, quality, None, None, arrived)
        except RingwatchError as error:
            return self._verdict(ref, unread(str(error)), None, None, arrived)
        prediction = self._classify(pattern, quality)
        return self._verdict(ref, quality, pattern, prediction, arrived)

    def _take_dark(self, ref: FrameRef, frame: NDArray[np.generic]) -> Quality:
        self._darks.add(ref.run_uid, frame, alone=self._is_dark_run)
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
        key = (ref.stream, ref.data_key)
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


def _image_of_settings(path: Path, what: str) -> NDArray[np.generic]:
    try:
        return read_image(path, what=what)
    except FrameReadError as error:
        raise GeometryError(str(error)) from error


def _hash_of(path: Path | None) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""
