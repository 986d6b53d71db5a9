"""Dark runs that never passed the agent, fetched from Tiled by their uid."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.sources.tiled import catalog, find_run, replay
from ringwatch.agent.tiled_client import disconnect

__all__ = ["StoredDarkRuns"]

logger = logging.getLogger(__name__)


class StoredDarkRuns:
    """Gives the frames of a stored run by its uid: what ``DarkBook`` may call.

    Parameters
    ----------
    uri : str
        Tiled server.
    api_key : str, optional
    container : str
        Of the raw runs.
    detector : str, optional
        Data key of the images, or name of their device.
    roots : tuple of Path
        Files are read only below these folders.
    """

    def __init__(
        self,
        uri: str,
        api_key: str | None,
        *,
        container: str,
        detector: str | None = None,
        roots: tuple[Path, ...] = (Path("/"),),
    ) -> None:
        self._uri, self._api_key, self._container = uri, api_key, container
        self._detector = detector
        self._roots = roots

    def __call__(self, uid: str) -> list[NDArray[np.generic]]:
        """Frames of the run ``uid``, each (y, x); none where it cannot be had."""
        reading = _Reading(self._roots)
        announcer = Announcer(reading, detector=self._detector)
        runs = None
        try:
            runs = catalog(self._uri, self._api_key, container=self._container)
            run = find_run(runs, uid)
            for name, doc in replay(run, detector=self._detector, roots=self._roots):
                announcer.feed(name, doc)
        except RingwatchError as error:
            logger.error("dark run %s cannot be fetched: %s", uid, error)
            return []
        finally:
            reading.reader.close()
            if runs is not None:
                disconnect(runs)
        return reading.frames


class _Reading:
    """A listener that reads every frame."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self.reader = FrameReader(roots=roots)
        self.frames: list[NDArray[np.generic]] = []

    def run_started(self, start: dict[str, Any]) -> None:
        """Nothing to do."""

    def frame_announced(self, ref: FrameRef) -> None:
        """Read it."""
        self.frames.append(self.reader.read(ref))

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Nothing to do."""
