"""Documents of derived runs become the stories that the page tells."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.dashboard.story import Story

__all__ = ["Stories"]

MOST_STORIES = 4
"""Runs kept in memory; older ones come from Tiled."""

_MOST_OPEN = 64


class Stories:
    """The newest runs, folded from derived documents. Not thread-safe.

    Parameters
    ----------
    dark_stream : str
        Stream that is not shown: nobody judges darks.
    """

    def __init__(self, dark_stream: str = "dark") -> None:
        self._dark = dark_stream
        self._stories: OrderedDict[tuple[str, str], Story] = OrderedDict()
        self._starts: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._streams: OrderedDict[str, tuple[str, Story | None]] = OrderedDict()

    @property
    def current(self) -> Story | None:
        """The story to which something was added last."""
        return next(reversed(self._stories.values()), None)

    @property
    def every(self) -> list[Story]:
        """All of them, the newest first."""
        return list(reversed(self._stories.values()))

    def find(self, uid: str, stream: str = "") -> Story | None:
        """A story by its raw run; without a stream the newest of that run."""
        return next(
            (s for s in self.every if s.uid == uid and stream in ("", s.stream)), None
        )

    def take(self, name: str, doc: Mapping[str, Any], handed_over: float) -> None:
        """Take one document of a derived run; others are let by."""
        if name == "start" and "raw_uid" in doc:
            _keep(self._starts, doc["uid"], doc)
        elif name == "descriptor" and doc["run_start"] in self._starts:
            _keep(self._streams, doc["uid"], (doc["run_start"], self._opened(doc)))
        elif name == "event" and doc["descriptor"] in self._streams:
            story = self._streams[doc["descriptor"]][1]
            if story is not None:
                story.take(doc["data"], handed_over)
                key = story.uid, story.stream
                self._stories[key] = story
                self._stories.move_to_end(key)
                while len(self._stories) > MOST_STORIES:
                    self._stories.popitem(last=False)
        elif name == "stop" and doc["run_start"] in self._starts:
            self._stop(doc)

    def _opened(self, descriptor: Mapping[str, Any]) -> Story | None:
        """The story of a stream, a further attempt at a run going on with the same."""
        stream = str(descriptor["name"])
        if stream == self._dark:
            return None
        start = self._starts[descriptor["run_start"]]
        told = descriptor.get("configuration", {}).get("ringwatch", {}).get("data", {})
        q = None if "q" not in told else np.asarray(told["q"])
        known = self._stories.get((start["raw_uid"], stream))
        if known is not None and _points(known.q) == _points(q):
            known.go_on()
            return known
        return Story(start["raw_uid"], stream, start, q)

    def _stop(self, doc: Mapping[str, Any]) -> None:
        uid = doc["run_start"]
        del self._starts[uid]
        ended = [key for key, (start, _) in self._streams.items() if start == uid]
        for key in ended:
            _, story = self._streams.pop(key)
            if story is not None:
                story.stop(doc)


def _points(q: NDArray[Any] | None) -> int:
    return 0 if q is None else q.size


def _keep(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    while len(kept) > _MOST_OPEN:
        kept.popitem(last=False)
