"""The page: a sink that shows, in a thread of its own, what it is given."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.dashboard.app import make_app
from ringwatch.agent.dashboard.archive import Archive
from ringwatch.agent.dashboard.browsers import Browsers
from ringwatch.agent.dashboard.desk import Desk
from ringwatch.agent.dashboard.labels import open_store
from ringwatch.agent.dashboard.stories import Stories
from ringwatch.agent.errors import SettingsError, SinkError
from ringwatch.agent.frames_seen import FramesSeen
from ringwatch.agent.metrics_server import host_and_port, url_of
from ringwatch.agent.wire.loopback import is_loopback

__all__ = ["KEY", "Page"]

KEY = "RINGWATCH_PAGE_KEY"
"""Environment variable of the secret with which people may label frames."""

logger = logging.getLogger(__name__)

_MOST_WAITING = 1000  # documents of some 50 kB, should the page's thread stand still
_AGAIN_S = 1.0  # until a task that failed is started again
_START_S = 20.0
_PICTURE_S = 0.2  # between two pictures, at least: drawing them costs browsers most
_LINES_S = 2.0  # between two looks for a cell
_ACCOUNT: dict[str, int] = {}


class Page:
    """Serves the page of one agent; a ``Sink`` of its derived documents.

    Parameters
    ----------
    analysis : Analysis
        Of the agent, whose settings name the address (``page``).
    api_key : str, optional
        Of the Tiled server.

    Attributes
    ----------
    url : str
        Where the page is.

    Raises
    ------
    SettingsError
        If the address is malformed, taken, or remote without ``allow_remote``.
    """

    def __init__(
        self,
        analysis: Analysis,
        *,
        api_key: str | None = None,
    ) -> None:
        settings = analysis.settings
        self._socket, self.url = _bound(str(settings.page), settings.allow_remote)
        local = is_loopback(self._socket.getsockname()[0])
        self._came: deque[tuple[str, dict[str, Any], float]] = deque()
        self._sent = self._failed = 0
        self._told = self._closed = False
        self._account: Callable[[str], dict[str, int]] = lambda _: _ACCOUNT
        self._oldest_s: Callable[[], float] = lambda: 0.0
        self._stories = Stories(settings.dark_stream)
        self._browsers = Browsers(
            lambda: self._stories.current, self._standing, self._look_again
        )
        seen = FramesSeen()
        archive = None
        tiled_key = api_key or os.environ.get("TILED_API_KEY")
        if settings.tiled:
            archive = Archive(settings, tiled_key)
        labels = open_store(settings, tiled_key)
        self._desk = Desk(
            analysis, seen, self._stories, self._browsers, archive, labels
        )
        app = make_app(self._desk, self._live, local=local, key=os.environ.get(KEY, ""))
        self._server = uvicorn.Server(_config(app))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="ringwatch-page", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(_START_S):
            self.close(0.1)
            raise SinkError(f"the page at {self.url} did not start: see the log")
        analysis.frames_seen = seen  # the worker tells of frames from here on

    def watch(
        self, account: Callable[[str], dict[str, int]], oldest_s: Callable[[], float]
    ) -> None:
        """Say where the page learns how the agent is getting on.

        Parameters
        ----------
        account : callable
            Frames ``announced`` and ``final`` of a run, by its uid.
        oldest_s : callable
            Age of the oldest frame on its way to its verdict, seconds.
        """
        self._account, self._oldest_s = account, oldest_s

    @property
    def sent(self) -> int:
        """Documents taken into the page's memory."""
        return self._sent

    @property
    def failed(self) -> int:
        """Documents that found no room, as the page's thread stood still."""
        return self._failed

    @property
    def pending(self) -> int:
        """Documents that wait for the page's thread."""
        return len(self._came)

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Accept a document. Never blocks, never raises; the document is not copied."""
        if self._closed:
            return  # nobody looks any more
        if len(self._came) >= _MOST_WAITING:
            self._failed += 1
            return
        self._came.append((name, doc, time.time()))
        if not self._told and self._loop is not None:
            self._told = True
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._take)

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until nothing is pending; whether it is so."""
        deadline = time.monotonic() + timeout
        while self._came and self._thread.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def close(self, timeout: float) -> bool:
        """Serve no more; closing twice is harmless."""
        self.flush(timeout)
        self._closed = True
        self._server.should_exit = True
        self._thread.join(max(timeout, 2.0))
        self._desk.close()
        self._socket.close()
        return not self._thread.is_alive()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    @asynccontextmanager
    async def _live(self, _: FastAPI) -> AsyncIterator[None]:
        """What runs as long as the server does."""
        self._news = asyncio.Event()
        tasks = [
            asyncio.create_task(_go_on(partial(self._keep_picture, self._news))),
            asyncio.create_task(_go_on(self._keep_lines)),
        ]
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        self._take()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._hang_up()

    def _hang_up(self) -> None:
        """End the links to browsers that read nothing: what they were sent is lost."""
        for link in tuple(self._server.server_state.connections):
            link.transport.abort()

    def _take(self) -> None:
        """Fold what came into the stories, and let the browsers know."""
        self._told = False
        while self._came:
            name, doc, handed_over = self._came.popleft()
            self._sent += 1
            try:
                self._stories.take(name, doc, handed_over)
            except (LookupError, TypeError, ValueError) as error:
                logger.error("the page left out a %s document: %r", name, error)
        self._browsers.wake()
        self._look_again()

    def _look_again(self) -> None:
        if self._news is not None:
            self._news.set()

    async def _keep_picture(self, news: asyncio.Event) -> None:
        """Make a picture of the newest frame, now and then, while somebody looks."""
        while True:
            await news.wait()
            news.clear()
            began = time.monotonic()
            if len(self._browsers):
                picture = await self._desk.newest_picture()
                if picture is not None:
                    self._browsers.picture = picture
                    self._browsers.wake()
            took = time.monotonic() - began
            # A third of one core at most: others have work to do.
            await asyncio.sleep(max(_PICTURE_S - took, 2 * took))

    async def _keep_lines(self) -> None:
        """Look for the cell of the newest label, now and then, while somebody looks."""
        done: tuple[Any, int] | None = None
        while True:
            await asyncio.sleep(_LINES_S / 4)
            story = self._stories.current
            if story is None or not len(self._browsers):
                continue
            now = story, story.newest
            if now != done:
                done = now
                self._browsers.lines = await self._desk.newest_lines(story)
                self._browsers.wake()
                await asyncio.sleep(_LINES_S)

    def _standing(self, uid: str) -> dict[str, Any]:
        told = self._account(uid)
        standing: dict[str, Any] = {"oldest_s": round(self._oldest_s(), 3)}
        return standing | ({"account": told} if told else {})


async def _go_on(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do it until cancelled: what fails is logged, and started again."""
    while True:
        task = asyncio.create_task(work())
        try:
            await asyncio.wait((task,))
        finally:
            task.cancel()
        logger.error("a task of the page failed", exc_info=task.exception())
        await asyncio.sleep(_AGAIN_S)


def _bound(address: str, allow_remote: bool) -> tuple[socket.socket, str]:
    """A socket at the address, and the URL at which this machine finds it."""
    host, port = host_and_port(address, "page")
    if not (allow_remote or is_loopback(host)):
        raise SettingsError(
            f"page address {address!r} is not on the loopback interface; use 127.0.0.1 "
            "(and an SSH tunnel), or set allow_remote on a network you trust: whoever "
            "reaches the port sees the frames"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        raise SettingsError(
            f"the page cannot be served at {address!r}: {error.strerror or error}; "
            "give each agent an address of this machine and a port of its own, or "
            "port 0 for any that is free"
        ) from error
    return bound, url_of(host, bound.getsockname()[1]).removesuffix("metrics")


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=1 << 12,  # browsers say nothing there
        ws_per_message_deflate=False,  # costs more than it saves on one machine
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=128,
        timeout_graceful_shutdown=1,
    )
