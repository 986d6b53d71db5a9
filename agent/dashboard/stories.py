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
_QUIET_S = 3.0  # after so long without an event the page leaves a story for another
_Key = tuple[str, str, str]  # run, stream, data key
_Q = NDArray[np.floating] | None


class Stories:
    """The newest runs, folded from derived documents. Not thread-safe.

    Parameters
    ----------
    dark_stream : str
        Stream that is not shown: nobody judges darks.
    """

    def __init__(self, dark_stream: str = "dark") -> None:
        self._dark = dark_stream
        self._stories: OrderedDict[_Key, Story] = OrderedDict()
        self._starts: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._streams: OrderedDict[str, tuple[str, str, _Q]] = OrderedDict()
        self._current: Story | None = None
        self._heard_at = 0.0  # of the current one

    @property
    def current(self) -> Story | None:
        """The story that goes on; another once it ended, or was quiet for long."""
        return self._current

    @property
    def every(self) -> list[Story]:
        """All of them, the newest first."""
        return list(reversed(self._stories.values()))

    def find(self, uid: str, stream: str = "", data_key: str = "") -> Story | None:
        """A story by its raw run; without a stream or data key the newest of them."""
        for story in self.every:
            fits = stream in ("", story.stream) and data_key in ("", story.data_key)
            if story.uid == uid and fits:
                return story
        return None

    def take(self, name: str, doc: Mapping[str, Any], handed_over: float) -> None:
        """Take one document of a derived run; others are let by."""
        if name == "start" and "raw_uid" in doc:
            _keep(self._starts, doc["uid"], doc)
        elif name == "descriptor" and doc["run_start"] in self._starts:
            if doc["name"] != self._dark:
                _keep(self._streams, doc["uid"], self._opened(doc))
        elif name == "event" and doc["descriptor"] in self._streams:
            self._event(doc, handed_over)
        elif name == "stop" and doc["run_start"] in self._starts:
            self._stop(doc)

    def _opened(self, descriptor: Mapping[str, Any]) -> tuple[str, str, _Q]:
        """What its events need, a further attempt at a run going on with the same."""
        stream, run = str(descriptor["name"]), descriptor["run_start"]
        told = descriptor.get("configuration", {}).get("ringwatch", {}).get("data", {})
        q = None if "q" not in told else np.asarray(told["q"])
        raw_uid = self._starts[run]["raw_uid"]
        for story in self.every:
            if (story.uid, story.stream) == (raw_uid, stream):
                story.go_on()
        return run, stream, q

    def _event(self, doc: Mapping[str, Any], handed_over: float) -> None:
        run, stream, q = self._streams[doc["descriptor"]]
        start, data = self._starts[run], doc["data"]
        key = start["raw_uid"], stream, str(data.get("raw_data_key", ""))
        story = self._stories.get(key)
        if story is None or _points(story.q) != _points(q):
            story = Story(*key, start, q)
        story.take(data, handed_over)
        self._stories[key] = story
        self._stories.move_to_end(key)
        now = self._current
        if now is None or now.ended or handed_over - self._heard_at > _QUIET_S:
            self._current = now = story
        if (now.uid, now.stream, now.data_key) == key:
            self._current, self._heard_at = story, handed_over
        while len(self._stories) > MOST_STORIES:
            self._stories.popitem(last=False)

    def _stop(self, doc: Mapping[str, Any]) -> None:
        run = doc["run_start"]
        raw_uid = self._starts.pop(run)["raw_uid"]
        ended = [key for key, (start, _, _) in self._streams.items() if start == run]
        streams = {self._streams.pop(key)[1] for key in ended}
        for story in self.every:
            if story.uid == raw_uid and story.stream in streams:
                story.stop(doc)


def _points(q: NDArray[Any] | None) -> int:
    return 0 if q is None else q.size


def _keep(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    while len(kept) > _MOST_OPEN:
        kept.popitem(last=False)
