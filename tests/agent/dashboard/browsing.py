"""What tests of the page do again and again."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

from ringwatch.agent import Agent

FRAMES = 30
LOST = range(12, 15)
MOVED = 22


@dataclass(frozen=True)
class Recorded:
    """Documents of a run, and the files that an agent needs."""

    poni: Path
    mask: Path
    documents: list[tuple[str, dict[str, Any]]]

    @property
    def files(self) -> dict[str, Any]:
        return {"poni": self.poni, "mask": self.mask, "detector": "detector_image"}

    @property
    def uid(self) -> str:
        return str(self.documents[0][1]["uid"])

    def feed(self, agent: Agent, *, stop: bool = True) -> None:
        """Let an agent have them, and wait for its verdicts."""
        assert agent.wait_idle(120)
        for name, doc in self.documents:
            if stop or name != "stop":
                agent(name, doc)
        assert agent.wait_idle(60)

    def feed_paced(self, agent: Agent, rate_hz: float) -> int:
        """Let an agent have so many frames a second; how many there were."""
        began, fed = time.monotonic(), 0
        for name, doc in self.documents:
            if name == "stream_datum":
                fed += 1
                time.sleep(max(0.0, began + fed / rate_hz - time.monotonic()))
            agent(name, doc)
        assert agent.wait_idle(60)
        return fed


READS = ("Canvas2D: Multiple readback",)
"""What Chromium says of tests that look at the colours of a canvas."""


@dataclass
class Look:
    """A browser that looks at the page."""

    page: Page
    url: str
    console: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def __call__(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def until(self, expression: str, argument: Any = None) -> None:
        """Wait until an expression of JavaScript is true."""
        self.page.wait_for_function(expression, arg=argument, timeout=20_000)

    def until_said(self, testid: str, text: str) -> None:
        """Wait until an element says something."""
        self.until(
            "([id, text]) => document.querySelector(`[data-testid=${id}]`)"
            ".textContent.includes(text)",
            [testid, text],
        )

    def until_drawn(self, index: int) -> None:
        """Wait until the newest verdict that is drawn is of that frame."""
        self.until("(i) => window.ringwatch && window.ringwatch.newest >= i", index)

    def until_word(self, word: str) -> None:
        """Wait for the lamp."""
        self.until("(w) => document.getElementById('lamp').dataset.word === w", word)

    def choose(self, index: int, frames: int = FRAMES) -> None:
        """Click a frame of the strip."""
        wide = self("film").evaluate("e => e.clientWidth")
        place = {"x": (index + 0.5) / max(frames, 40) * wide, "y": 60.0}
        self("film").click(position=place)  # type: ignore[arg-type]
        self.until_said("detail-title", f"Frame {index} (chosen)")

    def check(self) -> None:
        """Nothing but what a test expects was said on the console, or asked outside."""
        said = [m for m in self.console if not any(e in m for e in self.expected)]
        assert said == []
        ours = urlsplit(self.url).netloc
        assert [url for url in self.asked if urlsplit(url).netloc != ours] == []
        assert self.page.context.cookies() == []


def look_at(
    browser: Browser, url: str, *, expected: tuple[str, ...] = (), **options: Any
) -> Look:
    """Open a page in a context of its own."""
    options = {"viewport": {"width": 1440, "height": 1000}} | options
    page = browser.new_context(**options).new_page()
    look = Look(page, url, expected=expected)

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            look.console.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: look.console.append(str(error)))
    page.on("request", lambda request: look.asked.append(request.url))
    page.on("websocket", lambda socket: look.asked.append(socket.url))
    page.goto(url)
    return look


def await_until(
    ready: Callable[[], bool], otherwise: str, timeout: float = 20.0
) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def connect_deaf(agent: Agent) -> socket.socket:
    """A client that asks for news, and reads none of them."""
    place = urlsplit(str(agent.page_url))
    deaf = socket.socket()
    # Before it connects: the other end then keeps little for it as well.
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((place.hostname, place.port))
    deaf.sendall(
        f"GET /live HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    return deaf


def bytes_unsent(agent: Agent) -> int:
    """What the page has for browsers that do not take it: more than sockets hold."""
    page = agent._page
    assert page is not None
    links = tuple(page._server.server_state.connections)
    return sum(link.transport.get_write_buffer_size() for link in links)
