"""Who looks at the page, and what each of them has not been told yet.

Each browser has a mailbox of one slot: not a message but the note that there is news.
What it is told is put together when it can take it, so that a slow one misses no frame
of the strip, sees the newest verdict, and delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from ringwatch.agent.dashboard.cards import FLAGS, ROW, WORDS
from ringwatch.agent.dashboard.lines import Lines
from ringwatch.agent.dashboard.message import pack
from ringwatch.agent.dashboard.pictures import Picture
from ringwatch.agent.dashboard.story import Story

__all__ = ["Browser", "Browsers", "story_message"]

logger = logging.getLogger(__name__)

MOST_BROWSERS = 32
_TICK_S = 1.0  # something is told at least so often: else the link is gone


class Browser:
    """One browser: what it knows."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.news.set()
        self.story: Story | None = None
        self.version = 0
        self.references = -1
        self.picture: Picture | None = None
        self.lines: Lines | None = None


class Browsers:
    """All browsers, and what there is to tell.

    Parameters
    ----------
    current : callable
        The story that goes on, None before the first verdict.
    standing : callable
        What the agent says of itself, for the run of a uid.
    came : callable
        Called when a browser came.

    Attributes
    ----------
    picture : Picture or None
        Of the newest frame.
    lines : Lines or None
        Of the newest label.
    """

    def __init__(
        self,
        current: Callable[[], Story | None],
        standing: Callable[[str], dict[str, Any]],
        came: Callable[[], None],
    ) -> None:
        self._current, self._standing, self._came = current, standing, came
        self._every: set[Browser] = set()
        self.picture: Picture | None = None
        self.lines: Lines | None = None

    def __len__(self) -> int:
        return len(self._every)

    def wake(self) -> None:
        """Let all of them know that there is news."""
        for browser in self._every:
            browser.news.set()

    async def serve(self, socket: WebSocket) -> None:
        """Tell one browser, until it goes."""
        if len(self._every) >= MOST_BROWSERS:
            await socket.close(1013, f"more than {MOST_BROWSERS} browsers")
            return
        await socket.accept()
        browser = Browser()
        self._every.add(browser)
        self._came()
        gone = asyncio.create_task(_until_gone(socket))
        telling = asyncio.create_task(self._tell(browser, socket))
        try:
            await asyncio.wait((gone, telling), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._every.discard(browser)
            for task in (gone, telling):
                task.cancel()
            await asyncio.gather(gone, telling, return_exceptions=True)
            _log(telling)

    async def _tell(self, browser: Browser, socket: WebSocket) -> None:
        while True:
            with suppress(TimeoutError):  # then it is a sign of life
                await asyncio.wait_for(browser.news.wait(), _TICK_S)
            browser.news.clear()
            await socket.send_bytes(self._message(browser))

    def _message(self, browser: Browser) -> bytes:
        """What a browser does not know yet."""
        story = self._current()
        if story is None:
            return pack({"kind": "tick", "now": time.time()} | self._standing(""), {})
        header: dict[str, Any] = {"kind": "news", "now": time.time()}
        header |= self._standing(story.uid)
        parts: dict[str, Any] = {}
        if browser.story is not story:
            browser.story, browser.version, browser.references = story, 0, -1
            header["info"] = info_of(story)
            if story.q is not None:
                parts["q"] = story.q
        _add_news(header, parts, story, browser.version)
        browser.version = story.version
        if len(story.reference_of) != browser.references:
            browser.references = len(story.reference_of)
            header["reference_of"] = story.reference_of
            parts |= story.reference()
        if self.picture is not None and self.picture is not browser.picture:
            browser.picture = self.picture
            if self.picture.place[:3] == (story.uid, story.stream, story.data_key):
                header["picture"] = self.picture.header
                parts |= self.picture.parts
        if self.lines is not None and self.lines is not browser.lines:
            browser.lines = self.lines
            header["lines"] = self.lines.told
        return pack(header, parts)


def info_of(story: Story) -> dict[str, Any]:
    """What stays the same while a run goes on."""
    told = {"run": story.uid, "stream": story.stream, "start": story.start}
    told["data_key"] = story.data_key
    return told | {"row": ROW, "words": WORDS, "flags": FLAGS}


def story_message(story: Story, **further: Any) -> bytes:
    """All of a run in one message, as a browser gets it that comes new."""
    header = {"kind": "story", "now": time.time(), "info": info_of(story)} | further
    parts: dict[str, Any] = {} if story.q is None else {"q": story.q}
    _add_news(header, parts, story, 0)
    header["reference_of"] = story.reference_of
    return pack(header, parts | dict(story.reference()))


def _add_news(
    header: dict[str, Any], parts: dict[str, Any], story: Story, version: int
) -> None:
    rows, films = story.since(version)
    header |= {"run": story.uid, "stream": story.stream, "rows": rows}
    header |= {"newest": story.newest, "newest_at": story.newest_at}
    header |= {"ended": story.ended, "counts": story.frames}
    parts |= films
    if rows and story.newest >= 0:
        header["card"] = story.card(story.newest)
        parts |= story.pattern(story.newest)


def _log(telling: asyncio.Task[None]) -> None:
    """Log why a browser was told no more, where it did not just go."""
    error = None if telling.cancelled() else telling.exception()
    if error is not None and not isinstance(error, (WebSocketDisconnect, OSError)):
        logger.error("a browser was told no more", exc_info=error)


async def _until_gone(socket: WebSocket) -> None:
    """Read what a browser says, which is nothing, until it goes."""
    try:
        while True:
            await socket.receive_bytes()
    except (WebSocketDisconnect, KeyError, RuntimeError):
        return
