"""Dark runs that never passed the agent, fetched from Tiled by their uid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.documents import Announcer
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.sources.stored_runs import StoredRuns

__all__ = ["StoredDarkRuns"]


class StoredDarkRuns:
    """Gives the frames of a stored run by its uid: what ``DarkBook`` may call.

    Parameters
    ----------
    runs : StoredRuns
        Where dark runs are stored.
    detector : str, optional
        Data key of the images, or name of their device.
    roots : tuple of Path
        Files are read only below these folders.
    """

    def __init__(
        self,
        runs: StoredRuns,
        *,
        detector: str | None = None,
        roots: tuple[Path, ...] = (Path("/"),),
    ) -> None:
        self._runs = runs
        self._detector = detector
        self._roots = roots

    def __call__(self, uid: str) -> Iterator[tuple[FrameRef, NDArray[np.generic]]]:
        """Frames of the run ``uid`` as they come, each (y, x), with what they are.

        Raises
        ------
        ReplayError
            Where the run cannot be had.
        FrameReadError
            Where a frame of it cannot be read.
        """
        reading = _Reading(self._roots)
        announcer = Announcer(reading, detector=self._detector)
        try:
            for name, doc in self._runs(uid, whole=False):
                announcer.feed(name, doc)
                yield from reading.taken()
        finally:
            reading.reader.close()


class _Reading:
    """A listener that reads every frame."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self.reader = FrameReader(roots=roots)
        self.frames: list[tuple[FrameRef, NDArray[np.generic]]] = []

    def taken(self) -> list[tuple[FrameRef, NDArray[np.generic]]]:
        """What was read since the last call."""
        frames, self.frames = self.frames, []
        return frames

    def run_started(self, start: dict[str, Any]) -> None:
        """Nothing to do."""

    def frame_announced(self, ref: FrameRef) -> None:
        """Read it."""
        self.frames.append((ref, self.reader.read(ref)))

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Nothing to do."""
