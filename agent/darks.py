"""Dark frames: those of a run's own dark stream, and those of dark runs."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameShapeError, GeometryError, MissingFrameError
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.reduction import Dark, Reduction, usable_counts

__all__ = ["DarkBook"]

_DARK_RUNS_KEPT = 16

Fetch = Callable[[str], Iterable[NDArray[np.generic]]]


@dataclass(slots=True)
class _Series:
    """Dark frames taken one after the other: their sum, and their mean when needed.

    Attributes
    ----------
    total : (y, x) float64 or None
        Sum of the counts.
    frames : int
    failure : str
        Why a frame of the series could not be read.
    mean : Dark or None
        Made for the frames of one shape: that of the darks.
    time : float
        Of the latest of them, seconds since the epoch; NaN where nobody told.
    readbacks : dict
        Of the latest of them.
    """

    total: NDArray[np.float64] | None = None
    frames: int = 0
    failure: str = ""
    mean: Dark | None = None
    time: float = math.nan
    readbacks: dict[str, float] = field(default_factory=dict)

    def add(self, frame: NDArray[np.generic], ref: FrameRef | None = None) -> None:
        if ref is not None:
            self.time, self.readbacks = ref.time, dict(ref.readbacks)
        counts = usable_counts(frame)
        if self.total is None or self.total.shape != counts.shape:
            self.total, self.frames = np.zeros(counts.shape), 0
        self.total += counts
        self.frames += 1

    def mean_for(self, reduction: Reduction) -> Dark:
        if self.total is None:
            raise MissingFrameError(
                f"the dark frame could not be read ({self.failure}): nothing was "
                "subtracted, take the dark again"
            )
        if self.mean is None:
            try:
                mean = reduction.prepare_dark([self.total / self.frames])
            except FrameShapeError as error:
                raise GeometryError(
                    f"the dark has {self.total.shape} pixels (y, x) but the frames "
                    f"have {reduction.binning.shape}: take the dark with this detector"
                ) from error
            self.mean = replace(mean, frames=self.frames)
        return self.mean


class DarkBook:
    """Remembers dark frames for the frames that are to be corrected by them.

    A run's own dark stream goes first; darks taken again later in the run replace the
    earlier ones. A run that names a dark run (start key ``sc_dk_field_uid``) gets the
    mean of that run's frames.

    Parameters
    ----------
    fetch : callable, optional
        Called once with the uid of a dark run that never passed here; gives its frames,
        each (y, x), or none.
    """

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._fetch = fetch
        self._own: dict[str, _Series] = {}
        self._dark_runs: OrderedDict[str, _Series] = OrderedDict()

    def add(self, ref: FrameRef, frame: NDArray[np.generic], *, alone: bool) -> None:
        """Take one dark frame; ``alone``: the whole run consists of darks."""
        self._series(ref.run_uid, alone).add(frame, ref)

    def fail(self, run_uid: str, reason: str, *, alone: bool) -> None:
        """Note that a dark frame could not be read."""
        self._series(run_uid, alone).failure = reason

    def find(self, run_uid: str, dark_uid: str, reduction: Reduction) -> Dark | None:
        """Mean dark for a frame of ``run_uid``; None where none was ever announced.

        Raises
        ------
        MissingFrameError
            Where the run has or names a dark that cannot be had: subtracting nothing in
            silence would be worse.
        GeometryError
            Where the dark has another shape than the frames.
        """
        series = self._own.get(run_uid)
        if series is None and dark_uid:
            series = self._dark_runs.get(dark_uid) or self._fetched(dark_uid)
        return None if series is None else series.mean_for(reduction)

    def taken(self, run_uid: str, dark_uid: str) -> tuple[float, dict[str, float]]:
        """When the dark that ``find`` gives was taken, and with which readbacks.

        Seconds since the epoch; NaN and nothing where nobody told.
        """
        series = self._own.get(run_uid) or self._dark_runs.get(dark_uid)
        return (math.nan, {}) if series is None else (series.time, series.readbacks)

    def close_run(self, run_uid: str) -> None:
        """Forget the darks of a run's own stream."""
        self._own.pop(run_uid, None)

    def _series(self, run_uid: str, alone: bool) -> _Series:
        series = self._own.get(run_uid)
        if series is None or series.mean is not None:  # used already: a fresh series
            series = self._own[run_uid] = _Series()
            if alone:
                self._keep(run_uid, series)
        return series

    def _fetched(self, dark_uid: str) -> _Series:
        series = _Series(
            failure=f"dark run {dark_uid} neither passed here nor can be fetched from "
            "Tiled"
        )
        for frame in self._fetch(dark_uid) if self._fetch else ():
            series.add(frame)
        self._keep(dark_uid, series)  # a failure too: it is not asked for again
        return series

    def _keep(self, uid: str, series: _Series) -> None:
        self._dark_runs[uid] = series
        while len(self._dark_runs) > _DARK_RUNS_KEPT:
            self._dark_runs.popitem(last=False)
