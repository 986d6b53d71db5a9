"""One raw run in Tiled, followed from where it stands to its stop document."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.results import NamedDocument, plain
from ringwatch.agent.sources.tiled import replay
from ringwatch.agent.sources.tiled_growth import GrowingStream

__all__ = ["FollowedRun"]


class FollowedRun:
    """Gives the documents of a run as they come to be stored.

    A run that is stored to its end when it is first looked at is replayed: what the
    agent says of it is final at once. Any other is followed.

    Parameters
    ----------
    node : BlueskyRun
        From the catalogue.
    detector : str, optional
        As in ``Settings``.
    roots : tuple of Path
        Files are opened only below these folders; frames in others come through Tiled.

    Attributes
    ----------
    uid : str
    over : bool
        Whether the stop document was given.
    told : int
        Documents given so far.
    looked, heard : float
        When it was looked at, and when there was something new, on the clock of
        ``time.monotonic``.
    failing_since : float or None
        Since when it cannot be read, on that clock.
    """

    def __init__(
        self,
        node: Any,
        *,
        detector: str | None = None,
        roots: tuple[Path, ...] = (Path("/"),),
    ) -> None:
        self._node = node
        self._detector, self._roots = detector, roots
        self._streams: dict[str, GrowingStream] = {}
        self.start: dict[str, Any] = plain(dict(node.metadata["start"]))
        self.uid = str(self.start["uid"])
        self.is_stored = bool(node.metadata.get("stop"))
        self.over = False
        self.told = 0
        self.looked = self.heard = time.monotonic()
        self.failing_since: float | None = None

    @property
    def nodes(self) -> list[Any]:
        """Nodes of which notices are worth while."""
        if self.is_stored or self.over:
            return []
        return [self._node] + [n for s in self._streams.values() for n in s.nodes()]

    def news(self) -> Iterator[NamedDocument]:
        """Documents that were not given yet.

        One counts as given once the next is asked for: who breaks off gets the rest
        next time.

        Raises
        ------
        httpx.HTTPError, KeyError, ReplayError
            If the server or a file fails on the way.
        """
        documents = self._stored() if self.is_stored else self._growing()
        for named in documents:
            yield named
            self.told += 1
            self.over = named[0] == "stop"

    def _stored(self) -> Iterator[NamedDocument]:
        """The rest of a run that is stored to its end: its order stands fast."""
        told = self.told
        for number, named in enumerate(replay(self._node, roots=self._roots)):
            if number >= told:
                yield named

    def _growing(self) -> Iterator[NamedDocument]:
        # Before the streams: what is in them after a stop is all there will be.
        self._node = self._node.include_data_sources()
        self._node.refresh()
        stop = plain(dict(self._node.metadata.get("stop") or {}))
        if not self.told:
            yield "start", self.start
        for name in list(self._node.base.keys()):
            if name not in self._streams:
                self._streams[name] = GrowingStream(
                    name, self._node[name], DataRoots(self._roots), self._detector
                )
        moments = [s.news(complete=bool(stop)) for s in self._streams.values()]
        for _, documents in heapq.merge(*moments, key=lambda moment: moment[0]):
            yield from documents
        if stop:
            yield "stop", stop
