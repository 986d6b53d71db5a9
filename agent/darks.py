"""Dark frames: those of a run's own dark stream, and those of dark runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import MissingFrameError
from ringwatch.agent.reduction import Dark, Reduction

__all__ = ["DarkBook"]

_DARK_RUNS_KEPT = 16


@dataclass(slots=True)
class _Darks:
    """Dark frames of one run, and their mean once it was asked for."""

    frames: list[NDArray[np.generic]] = field(default_factory=list)
    mean: Dark | None = None
    used: bool = False


class DarkBook:
    """Remembers dark frames for the frames that are to be corrected by them.

    A run's own dark stream goes first; darks taken again later in the run replace the
    earlier ones. A run that names a dark run (start key ``sc_dk_field_uid``) gets the
    mean of that run's frames.

    Parameters
    ----------
    fetch : callable, optional
        Called with the uid of a dark run that never passed here; gives its frames, each
        (y, x), or an empty list.
    """

    def __init__(
        self, fetch: Callable[[str], list[NDArray[np.generic]]] | None = None
    ) -> None:
        self._fetch = fetch
        self._own: dict[str, _Darks] = {}
        self._dark_runs: OrderedDict[str, _Darks] = OrderedDict()

    def add(self, run_uid: str, frame: NDArray[np.generic], *, alone: bool) -> None:
        """Keep one dark frame; ``alone``: the whole run consists of darks."""
        darks = self._own.setdefault(run_uid, _Darks())
        if darks.used:
            darks = self._own[run_uid] = _Darks()  # a fresh series of darks
        darks.frames.append(np.array(frame))
        darks.mean = None
        if alone:
            self._keep(run_uid, darks)

    def find(self, run_uid: str, dark_uid: str, reduction: Reduction) -> Dark | None:
        """Mean dark for a frame of ``run_uid``; None where none was ever announced.

        Raises
        ------
        MissingFrameError
            Where the run names a dark run that cannot be found: subtracting nothing in
            silence would be worse.
        """
        darks = self._own.get(run_uid)
        if darks is None and dark_uid:
            darks = self._dark_runs.get(dark_uid) or self._fetched(dark_uid)
        if darks is None:
            return None
        if darks.mean is None:
            darks.mean = reduction.prepare_dark(darks.frames)
        darks.used = True
        return darks.mean

    def close_run(self, run_uid: str) -> None:
        """Forget the darks of a run's own stream."""
        self._own.pop(run_uid, None)

    def _fetched(self, dark_uid: str) -> _Darks:
        frames = self._fetch(dark_uid) if self._fetch else []
        if not frames:
            raise MissingFrameError(
                f"the run names dark run {dark_uid}, which neither passed here nor can "
                "be fetched: take the dark while the agent listens, or give it Tiled"
            )
        darks = _Darks(frames=frames)
        self._keep(dark_uid, darks)
        return darks

    def _keep(self, uid: str, darks: _Darks) -> None:
        self._dark_runs[uid] = darks
        while len(self._dark_runs) > _DARK_RUNS_KEPT:
            self._dark_runs.popitem(last=False)
