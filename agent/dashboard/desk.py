"""Who answers what the page asks: from memory first, then from Tiled."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import numpy as np

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.dashboard.archive import PAGE, Archive
from ringwatch.agent.dashboard.browsers import Browsers, story_message
from ringwatch.agent.dashboard.clerk import Clerk
from ringwatch.agent.dashboard.labels import Said, label_of, told
from ringwatch.agent.dashboard.lines import Lines, find_lines
from ringwatch.agent.dashboard.message import pack
from ringwatch.agent.dashboard.pictures import Picture, Pictures
from ringwatch.agent.dashboard.rings import RingCurves
from ringwatch.agent.dashboard.stories import Stories
from ringwatch.agent.dashboard.story import Story
from ringwatch.agent.errors import (
    FrameReadError,
    LabelError,
    ReplayError,
    RingwatchError,
)
from ringwatch.agent.frames_seen import FramesSeen, Place
from ringwatch.agent.labels import LabelStore
from ringwatch.agent.nouns import FrameRef

__all__ = ["Desk"]

_MOST_LOADED = 4  # names of stories from Tiled that are kept: one or two a story
_NO_TILED = "there is no Tiled server in the agent's settings"


class Desk:
    """Knows runs, frames and labels; everything runs in the page's event loop.

    What takes long is done by two threads: one looks at frames, one asks Tiled.

    Parameters
    ----------
    analysis : Analysis
    seen : FramesSeen
    stories : Stories
    browsers : Browsers
    archive : Archive or None
    labels : LabelStore or None
    """

    def __init__(
        self,
        analysis: Analysis,
        seen: FramesSeen,
        stories: Stories,
        browsers: Browsers,
        archive: Archive | None,
        labels: LabelStore | None,
    ) -> None:
        self.browsers = browsers
        self._analysis, self._stories, self._labels = analysis, stories, labels
        self._archive = archive
        self._loaded: OrderedDict[tuple[str, str, str], Story] = OrderedDict()
        self._pictures = Pictures(analysis, seen)
        self._rings: dict[tuple[int, int], RingCurves] = {}
        self._looker = Clerk("ringwatch-page-frames")
        self._asker = Clerk("ringwatch-page-tiled")
        self._look, self._ask = self._looker.do, self._asker.do

    async def list_runs(self, offset: int) -> dict[str, Any]:
        """Runs by their start, the newest first: those in memory, then those stored."""
        here = [_entry(story) for story in self._stories.every] if not offset else []
        if self._archive is None:
            return {"runs": here, "more": None, "tiled": _NO_TILED}
        try:
            found = await self._ask(partial(self._archive.list_runs, offset))
        except RingwatchError as error:
            return {"runs": here, "more": None, "tiled": str(error)}
        known = {entry["raw_uid"] for entry in here}
        runs = here + [entry for entry in found if entry["raw_uid"] not in known]
        more = offset + PAGE if len(found) == PAGE else None
        return {"runs": runs, "more": more, "tiled": ""}

    async def tell_run(self, uid: str, stream: str) -> bytes:
        """All of a run, as ``story_message`` has it."""
        story = await self._story(uid, stream)
        return story_message(story)

    async def tell_frame(
        self, uid: str, stream: str, data_key: str, index: int
    ) -> bytes:
        """What was said of a frame, its pattern and its picture, as far as they go."""
        story = await self._story(uid, stream, data_key)
        card, pattern = story.card(index), story.pattern(index)
        if card is None:
            raise ReplayError(f"run {uid} has no verdict of frame {index} on the page")
        header: dict[str, Any] = {"kind": "frame", "index": index, "card": card}
        header["run"] = uid
        parts = dict(pattern)
        if not pattern:
            header["no_pattern"] = (
                "The pattern of this frame is no more in memory: it is in Tiled, in "
                "the agent's derived run."
                if story.q is not None
                else "Without a geometry there is no pattern."
            )
        shape = None
        place = story.uid, story.stream, story.data_key, index
        try:
            found = self._pictures.find(place)
            if found is None:
                found = await self._stored(place)
            picture = await self._look(partial(self._pictures.of, place, found))
        except RingwatchError as error:
            header["no_picture"] = str(error)
        else:
            header["picture"], shape = picture.header, picture.header["shape"]
            parts |= picture.parts
        if pattern and story.q is not None:
            lines = await self._look(partial(self.lines_of, story, index, shape))
            header["lines"] = lines.told
        return pack(header, parts)

    @property
    def keeps_labels(self) -> bool:
        """Whether there is a place for labels."""
        return self._labels is not None

    async def labels_of(self, uid: str) -> list[dict[str, Any]]:
        """What people said of the frames of a run."""
        if self._labels is None:
            return []
        labels = await self._look(partial(self._labels.of_run, uid))
        return [told(label) for label in labels]

    async def label(self, said: Said) -> dict[str, Any]:
        """Keep what somebody said, beside the verdict that was meant."""
        if self._labels is None:
            raise LabelError("nobody keeps labels: give the agent a folder (`state`)")
        story = await self._story(said.run, said.stream, said.data_key)
        card = story.card(said.index)
        if card is None:
            raise ReplayError(f"run {said.run} has no verdict of frame {said.index}")
        label = label_of(said, story.start, card)
        await self._look(partial(self._labels.add, label))
        return told(label)

    async def newest_picture(self) -> Picture | None:
        """A picture of the newest frame, if it is another one than before."""
        return await self._look(self._pictures.newest)

    async def newest_lines(self, story: Story) -> Lines:
        """Lines of the newest frame's label."""
        picture = self.browsers.picture
        shape = picture.header["shape"] if picture else None
        return await self._look(partial(self.lines_of, story, story.newest, shape))

    def lines_of(
        self, story: Story, index: int, shape: tuple[int, int] | None
    ) -> Lines:
        """Lines of a frame's label; with curves, where the shape of frames is known."""
        card, pattern = story.card(index) or {}, story.pattern(index)
        classes = card.get("classes") or [{"number": 0}]
        if story.q is None or not pattern:
            return Lines(number=0, said="No pattern, so no lines are marked.")
        lines = find_lines(
            classes[0]["number"],
            np.asarray(story.q, float),
            np.asarray(pattern["intensity"], float),
            pattern["sigma"],
        )
        geometry = self._analysis.geometry
        if geometry is None or shape is None or not lines.q.size:
            return lines
        shape = int(shape[0]), int(shape[1])
        if shape not in self._rings:
            self._rings[shape] = RingCurves(geometry, shape)
        return lines.with_curves(self._rings[shape].at(lines.q))

    def close(self) -> None:
        """End the threads; what they do is not waited for."""
        self._looker.close()
        self._asker.close()
        if self._labels is not None:
            self._labels.close(1.0)

    async def _story(self, uid: str, stream: str, data_key: str = "") -> Story:
        key = uid, stream, data_key
        known = self._stories.find(*key) or self._loaded.get(key)
        if known is not None:
            return known
        if self._archive is None:
            raise ReplayError(f"run {uid[:80]} is not in memory, and {_NO_TILED}")
        story = await self._ask(partial(self._archive.story, *key))
        self._loaded[key] = self._loaded[uid, story.stream, story.data_key] = story
        while len(self._loaded) > _MOST_LOADED:
            self._loaded.popitem(last=False)
        return story

    async def _stored(self, place: Place) -> FrameRef:
        if self._archive is None:
            raise FrameReadError(
                f"the pixels of frame {place[3]} were in memory only, and are gone; "
                "with a Tiled server (`tiled`) that stores the raw runs they could be "
                "shown"
            )
        return await self._ask(partial(self._archive.frame, place))


def _entry(story: Story) -> dict[str, Any]:
    told = {key: story.start.get(key) for key in ("scan_id", "plan_name", "time")}
    sample = story.start.get("sample_name") or story.start.get("sample")
    words = {"raw_uid": story.uid, "stream": story.stream, "sample": sample}
    return told | words | {"ended": story.ended, "in_memory": True}
