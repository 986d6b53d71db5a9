"""Earlier runs, from Tiled: which there are, what was said of them, their pixels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from ringwatch.agent.dashboard.stories import Stories
from ringwatch.agent.dashboard.story import Story
from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import FrameReadError, ReplayError
from ringwatch.agent.frames_seen import Place
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.settings import Settings
from ringwatch.agent.sources.derived import find_pass, whole_documents
from ringwatch.agent.sources.stored_runs import StoredRuns
from ringwatch.agent.sources.tiled_server import kind_of, server
from ringwatch.agent.tiled_client import ClientError, disconnect, public

# isort: split
# After tiled_client, which sets Tiled's retries before Tiled is imported.
import httpx

__all__ = ["Archive"]

PAGE = 20
"""Runs listed at a time."""


class Archive:
    """What the Tiled server of the settings has; one thread at a time.

    Parameters
    ----------
    settings : Settings
        With ``tiled``.
    api_key : str, optional
    """

    def __init__(self, settings: Settings, api_key: str | None) -> None:
        assert settings.tiled is not None
        self._settings, self._uri, self._api_key = settings, settings.tiled, api_key
        self._runs = StoredRuns(
            settings.tiled,
            api_key,
            container=settings.raw_container,
            detector=settings.detector,
            roots=settings.data_roots,
        )

    @contextmanager
    def _root(self) -> Iterator[Any]:
        root = server(self._uri, self._api_key)
        try:
            yield root
        except (httpx.HTTPError, ClientError, OSError) as error:
            raise kind_of(error)(
                f"Tiled at {public(self._uri)} failed ({type(error).__name__}): check "
                "that it is well, and ask again"
            ) from error
        finally:
            disconnect(root)

    def list_runs(self, offset: int) -> list[dict[str, Any]]:
        """A page of analysed runs, the newest first.

        Raises
        ------
        ReplayError
            If the server cannot be reached or fails.
        """
        name = self._settings.tiled_container
        with self._root() as root:
            if name not in root:
                return []
            runs = root[name].sort(("start.time", -1)).values()[offset : offset + PAGE]
            return [_entry(run.metadata) for run in runs]

    def story(self, raw_uid: str, stream: str = "", data_key: str = "") -> Story:
        """The verdicts of a run, from its newest pass that came to its end.

        Raises
        ------
        ReplayError
            If nothing of it is stored, or the server fails.
        """
        stories = Stories(self._settings.dark_stream)
        with self._root() as root:
            into = self._settings.tiled_container
            derived = find_pass(root, into, raw_uid)
            for name, doc in whole_documents(root, into, derived):
                stories.take(name, doc, float(doc.get("time") or time.time()))
        story = stories.find(raw_uid, stream, data_key)
        if story is None:
            raise ReplayError(f"the stored pass over run {raw_uid} holds no verdicts")
        return story

    def frame(self, place: Place) -> FrameRef:
        """Where the pixels of a stored frame are, in memory or in a file.

        Raises
        ------
        FrameReadError, ReplayError
            If the run is not stored, or has no such frame.
        """
        uid, stream, data_key, index = place
        heard = _Heard((stream, data_key, index))
        announcer = Announcer(heard, detector=self._settings.detector)
        with closing(self._runs(uid, whole=False)) as documents:
            for name, doc in documents:
                announcer.feed(name, doc)
                if heard.found is not None:
                    return heard.found
        announcer.release_held()
        if heard.found is None:
            raise FrameReadError(f"run {uid} as it is stored has no frame {index}")
        return heard.found


class _Heard:
    """Listens for one frame."""

    def __init__(self, wanted: tuple[str, str, int]) -> None:
        self._wanted = wanted
        self.found: FrameRef | None = None

    def run_started(self, start: dict[str, Any]) -> None:
        """Nothing to open."""

    def frame_announced(self, ref: FrameRef) -> None:
        """Keep the one that is looked for."""
        if (ref.stream, ref.data_key, ref.index) == self._wanted:
            self.found = ref

    def run_stopped(self, stop: dict[str, Any]) -> None:
        """Nothing to close."""


def _entry(metadata: Any) -> dict[str, Any]:
    start, stop = metadata["start"], metadata.get("stop") or {}
    told = {
        key: start.get(key)
        for key in ("raw_uid", "scan_id", "plan_name", "sample", "sample_name", "time")
    }
    return told | {
        "attempt": start.get("attempt", 1),
        "ended": stop.get("raw_exit_status", ""),
        "verdicts": stop.get("verdicts", {}),
        "summary": stop.get("summary", ""),
    }
