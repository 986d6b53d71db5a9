"""What stays the same for every frame: geometry, mask, dark file, classifier."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.dark import Dark
from ringwatch.agent.errors import FrameReadError, FrameShapeError, GeometryError
from ringwatch.agent.files.images import read_image
from ringwatch.agent.frames_seen import FramesSeen
from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.labelling import Classifies, Labels
from ringwatch.agent.learned.current import CurrentHeads
from ringwatch.agent.learned.heads import Heads
from ringwatch.agent.nouns import FrameRef, Pattern, Verdict, Word
from ringwatch.agent.pixel_splitting import PixelSplitting
from ringwatch.agent.quality import FrameFacts, set_aside, warm_up_flags
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.reference_file import load_reference
from ringwatch.agent.settings import Settings
from ringwatch.agent.sums import SumsMany
from ringwatch.agent.timings import Stopwatch
from ringwatch.models.prediction import Prediction

__all__ = ["Analysis"]

_DECISIVE = frozenset({"npt", "polarization", "split", "dark_stream", "quality"})
"""Settings that decide a verdict; what files hold counts by its hash."""


class Analysis:
    """What stays the same for every frame: geometry, mask, dark file, classifier.

    Parameters
    ----------
    settings : Settings
    classifier : Classifies, optional
        None: verdicts carry no label.

    Attributes
    ----------
    labels : Labels
        What the classifier says of patterns.
    frames_seen : FramesSeen or None
        Told of each frame that is reduced, where somebody looks at frames.
    distance_m, energy_kev : float
        From the sample to the detector along the beam, m, and energy of the photons,
        keV, as the geometry has them; NaN without one.

    Raises
    ------
    GeometryError
        Where the geometry, the mask or the dark file cannot be used.
    SettingsError
        Where there is no such device.
    LearnedError
        Where a head in force cannot be read.
    """

    def __init__(self, settings: Settings, classifier: Classifies | None) -> None:
        self.settings = settings
        self.classifier = classifier
        self.labels = Labels(classifier)
        self.frames_seen: FramesSeen | None = None
        # Hashed when they are read: the files may change while the agent runs.
        self.hashes = {
            "model_hash": classifier.identity if classifier else "",
            "geometry_hash": _hash_of(settings.poni, "geometry"),
            "mask_hash": _hash_of(settings.mask, "mask"),
            "dark_hash": _hash_of(settings.dark, "dark"),
            "reference_hash": _hash_of(settings.reference, "reference"),
        }
        self._sums_on: Callable[[Binning, float | None], SumsMany] | None = None
        if settings.device:
            # torch takes seconds to load, which a machine without a GPU need not pay.
            from ringwatch.agent.device_sums import (  # noqa: PLC0415
                DeviceSummation,
                find_device,
            )

            device = find_device(settings.device)
            self._sums_on = partial(DeviceSummation, device=device)
        self._geometry = load_geometry(settings.poni) if settings.poni else None
        self._mask = None
        if settings.mask:
            self._mask = _image_of_settings(settings.mask, "mask") != 0
        self.distance_m, self.energy_kev = _scale_of(self._geometry)
        self._dark_frame = None
        if settings.dark:
            self._dark_frame = _image_of_settings(settings.dark, "dark")
        self._reductions: dict[tuple[int, int], Reduction] = {}
        self._splittings: dict[tuple[int, int], PixelSplitting] = {}
        self._dark_file: dict[tuple[int, int], Dark] = {}
        self._reference: dict[tuple[int, int], list[FrameFacts]] = {}
        if self._geometry is not None and self._geometry.detector.shape:
            rows, columns = self._geometry.detector.shape
            self.reduction((int(rows), int(columns)))
            self.dark_of_file((int(rows), int(columns)))
            self.reference((int(rows), int(columns)))
        self._current = CurrentHeads.of(settings)
        self._take_identity()

    @property
    def heads(self) -> Heads:
        """What people taught, as it stood when this was made or ``renewed``."""
        return self._current.heads

    def renewed(self) -> Analysis:
        """The same with the heads that stand now, for the next run; shares all else."""
        current = self._current.renewed()
        if current is self._current:
            return self
        other = copy.copy(self)
        other._current = current
        other._take_identity()
        return other

    @property
    def has_geometry(self) -> bool:
        """Whether frames can become patterns."""
        return self._geometry is not None

    @property
    def geometry(self) -> AzimuthalIntegrator | None:
        """Geometry of the settings, for who only reads it."""
        return self._geometry

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
            saturation, many = settings.quality.saturation, None
            if self._sums_on is not None:
                many = self._sums_on(binning, saturation)
            self._reductions[shape] = Reduction(
                binning, saturation=saturation, many=many
            )
        return self._reductions[shape]

    def splitting(self, shape: tuple[int, int]) -> PixelSplitting:
        """Integration with split pixels for frames of one (y, x) shape, made once.

        Raises
        ------
        GeometryError
            Without a geometry.
        """
        if self._geometry is None:
            raise GeometryError("no pattern without a geometry: give a .poni file")
        if shape not in self._splittings:
            self._splittings[shape] = PixelSplitting(
                self._geometry,
                self.reduction(shape).binning,
                polarization=self.settings.polarization,
            )
        return self._splittings[shape]

    def dark_of_file(self, shape: tuple[int, int]) -> Dark | None:
        """Dark of the settings, None where none is given."""
        if self._dark_frame is None:
            return None
        if shape not in self._dark_file:
            reduction = self.reduction(shape)
            try:
                self._dark_file[shape] = reduction.prepare_dark([self._dark_frame])
            except FrameShapeError as error:
                raise GeometryError(
                    f"the dark {self.settings.dark} has {self._dark_frame.shape} "
                    f"pixels (y, x) but the frames have {shape}: give a dark of this "
                    "detector"
                ) from error
        return self._dark_file[shape]

    def reference(self, shape: tuple[int, int]) -> list[FrameFacts]:
        """Frames of the stored reference for frames of one shape; none without one.

        Raises
        ------
        GeometryError
            Where it was made with another geometry.
        """
        path = self.settings.reference
        if path is None:
            return []
        if shape not in self._reference:
            binning = self.reduction(shape).binning
            self._reference[shape] = load_reference(path, binning)
        return self._reference[shape]

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
        return self.labels.of(pattern)

    def judge_pattern(
        self, ref: FrameRef, pattern: Pattern, arrived: float, watch: Stopwatch
    ) -> Verdict:
        """Verdict of a pattern that came without its frame: a label, but never good."""
        with watch("classify_ms"):
            prediction = self.label(pattern)
        found = "labelled" if prediction else "nothing to label"
        reason = f"a pattern without its frame: {found}, the flags need pixels"
        now = time.monotonic()
        return Verdict(
            frame=ref,
            word=Word.UNKNOWN,
            reason=reason,
            quality=set_aside(reason),
            prediction=prediction,
            pattern=pattern,
            analysis_id=self.analysis_id,
            latency_ms=(now - arrived) * 1e3,
            stages=watch.stages(now),
        )

    def warm_up(self) -> None:
        """Load compiled code ahead of the first frame, which would pay for it."""
        warm_up_flags()
        if self.classifier is not None and self._geometry is not None:
            q = np.linspace(1.0, 5.0, 500)
            line = 1.0 + 1e3 * np.exp(-(((q - 3.0) / 0.02) ** 2))
            flat = np.ones_like(q)
            self.label(Pattern(q=q, intensity=line, sigma=flat, coverage=flat))

    def _take_identity(self) -> None:
        """The analysis id: a hash over all that decides a verdict."""
        self.hashes = {k: v for k, v in self.hashes.items() if k != "heads_hash"}
        if self.heads.identity:
            self.hashes["heads_hash"] = self.heads.identity
        chosen = self.settings.model_dump(mode="json", include=set(_DECISIVE))
        state = {
            "version": version("ringwatch"),
            "backend": getattr(self.classifier, "backend", ""),
            "device": getattr(self.classifier, "device", ""),
            "settings": chosen,
            **self.hashes,
        }
        text = json.dumps(state, sort_keys=True)
        self.analysis_id = hashlib.sha256(text.encode()).hexdigest()[:32]


def _scale_of(geometry: AzimuthalIntegrator | None) -> tuple[float, float]:
    """Distance along the beam, m, and energy, keV; NaN without a geometry."""
    if geometry is None:
        return math.nan, math.nan
    return float(geometry.getFit2D()["directDist"]) * 1e-3, float(geometry.energy)


def _image_of_settings(path: Path, what: str) -> NDArray[np.generic]:
    try:
        return read_image(path, what=what)
    except FrameReadError as error:
        raise GeometryError(str(error)) from error


def _hash_of(path: Path | None, what: str) -> str:
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise GeometryError(f"no {what} at {path}: {error.strerror}") from error
