"""Dark frames: those of a run's own dark stream, and those of dark runs."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.dark import Dark
from ringwatch.agent.errors import (
    FrameShapeError,
    GeometryError,
    MissingDarkError,
    MissingFrameError,
    RingwatchError,
    TiledAwayError,
)
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.pixel_values import usable_counts
from ringwatch.agent.reduction import Reduction

__all__ = ["DarkBook"]

_DARK_RUNS_KEPT = 16
HANGING_S = 5.0
"""So long a frame waits for a dark run of which nothing comes."""
RETRY_S = 30.0
"""After which a dark run that could not be had is asked for again."""
COMES_S = 45.0
"""So long after it was first asked for, a dark run may still be on its way to Tiled."""

Frame = NDArray[np.generic]
Fetch = Callable[[str], Iterable[Frame | tuple[FrameRef, Frame]]]
"""Gives the frames (y, x) of a dark run by its uid, or none; called in a thread.

With their references it is known how old they are, and how long they were exposed.
"""

logger = logging.getLogger(__name__)


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
    may_come : bool
        Whether it may be had later.
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
    may_come: bool = False
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
            missing = MissingDarkError if self.may_come else MissingFrameError
            raise missing(
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


class _Fetching:
    """A dark run on its way here, in a thread of its own.

    Parameters
    ----------
    fetch : callable
    uid : str
        Of the dark run.
    before : _Fetching, optional
        A try that was in vain. Only the first one is waited for, and tells its failure.
    """

    def __init__(self, fetch: Fetch, uid: str, before: _Fetching | None) -> None:
        self._fetch, self._uid = fetch, uid
        self._held = held = before is None
        self._since: float = before._since if before else time.monotonic()
        self._away = False
        self._series = _Series()
        self._whole = False
        self._moved = time.monotonic() if held else -math.inf
        self._ended = threading.Event()
        self._retry_at = math.inf
        self._failure = "its fetch failed, see the log"
        name = f"dark run {uid}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def vain(self) -> bool:
        """Whether it failed, so long ago that it may be had now."""
        if not self._ended.is_set() or self._has_come:
            return False
        return time.monotonic() > self._retry_at

    @property
    def _has_come(self) -> bool:
        """Once it ended: whether all its frames are here."""
        return self._whole and self._series.frames > 0

    @property
    def _left(self) -> float:
        """Seconds that are left until it counts as hanging."""
        return self._moved + HANGING_S - time.monotonic()

    def wait(self) -> _Series:
        """The whole run, or why there is none; waits while its frames come."""
        while not self._ended.wait(max(0.0, self._left)):
            if self._left < 0:
                return self._failed("has not come yet")
        if self._has_come:
            return self._series
        return self._failed(
            f"neither passed here nor can be fetched from Tiled: {self._failure}"
        )

    def _failed(self, why: str) -> _Series:
        may_come = self._away or time.monotonic() < self._since + COMES_S
        return _Series(failure=f"dark run {self._uid} {why}", may_come=may_come)

    def _work(self) -> None:
        try:
            for given in self._fetch(self._uid):
                ref, frame = given if isinstance(given, tuple) else (None, given)
                self._series.add(frame, ref)
                self._moved = time.monotonic()
            self._whole, self._failure = True, "it has no frames"
        except RingwatchError as error:
            self._failure = str(error)
            self._away = isinstance(error, TiledAwayError)
            if self._held:
                logger.error("dark run %s cannot be fetched: %s", self._uid, error)
        finally:
            self._retry_at = time.monotonic() + RETRY_S
            self._ended.set()


class DarkBook:
    """Remembers dark frames for the frames that are to be corrected by them.

    A run's own dark stream goes first; darks taken again later in the run replace the
    earlier ones. A run that names a dark run (start key ``sc_dk_field_uid``) gets the
    mean of that run's frames.

    Parameters
    ----------
    fetch : callable, optional
        Called in a thread of its own with the uid of a dark run that never passed here;
        gives its frames, each (y, x), or none; see ``Fetch``. Whoever needs the run
        waits while its frames come, and five seconds for the next one; if it cannot be
        had it is asked for again half a minute later.
    passed : DarkBook, optional
        Whose dark runs are taken where they cannot be fetched.
    """

    def __init__(
        self, fetch: Fetch | None = None, passed: DarkBook | None = None
    ) -> None:
        self._fetch, self._passed = fetch, passed
        self._own: dict[str, _Series] = {}
        self._dark_runs: OrderedDict[str, _Series] = OrderedDict()
        self._fetching: dict[str, _Fetching] = passed._fetching if passed else {}

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
            silence would be worse. ``MissingDarkError`` where it may come yet.
        GeometryError
            Where the dark has another shape than the frames.
        """
        series = self._own.get(run_uid)
        if series is None and dark_uid:
            series = self._run_of_darks(dark_uid)
        return None if series is None else series.mean_for(reduction)

    def awaits(self, run_uid: str, dark_uid: str) -> bool:
        """Whether the dark for a run is not there, but may come yet."""
        if run_uid in self._own or not dark_uid:
            return False
        return self._run_of_darks(dark_uid).may_come

    def taken(self, run_uid: str, dark_uid: str) -> tuple[float, dict[str, float]]:
        """When the dark that ``find`` gives was taken, and with which readbacks.

        Seconds since the epoch; NaN and nothing where nobody told.
        """
        series = self._own.get(run_uid) or self._dark_runs.get(dark_uid)
        if series is None and self._passed is not None:
            series = self._passed._dark_runs.get(dark_uid)
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

    def _run_of_darks(self, uid: str) -> _Series:
        known = self._dark_runs.get(uid)
        if known is not None:
            return known
        series = self._fetched(uid)
        if series.failure and self._passed is not None:
            return self._passed._dark_runs.get(uid, series)
        return series

    def _fetched(self, dark_uid: str) -> _Series:
        """The dark run from elsewhere; kept where it comes."""
        if self._fetch is None:
            return _Series(
                failure=f"dark run {dark_uid} neither passed here nor can be fetched "
                "from Tiled"
            )
        fetching = self._fetching.get(dark_uid)
        if fetching is None or fetching.vain:
            fetching = _Fetching(self._fetch, dark_uid, fetching)
            self._fetching[dark_uid] = fetching
            if len(self._fetching) > _DARK_RUNS_KEPT:
                del self._fetching[next(iter(self._fetching))]
        series = fetching.wait()
        if not series.failure:
            del self._fetching[dark_uid]
            self._keep(dark_uid, series)
        return series

    def _keep(self, uid: str, series: _Series) -> None:
        self._dark_runs[uid] = series
        while len(self._dark_runs) > _DARK_RUNS_KEPT:
            self._dark_runs.popitem(last=False)
