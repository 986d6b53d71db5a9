"""Websockets of a Tiled server, as bells: they say where something may have changed.

What has changed is then read from Tiled itself. So a notice that is lost, comes twice
or is too long costs a little time and never a frame.

They speak what ``tiled.client.stream`` speaks, but not by it (version 0.2.20), nor by
``bluesky_tiled_plugins.subscribe_to_streams``, which is built on it. Of a server that
is down, hangs or offers no streams that waits without limit, holding the lock that its
own ``disconnect`` needs; where a server is away for longer than Tiled's few retries its
threads end, it still says that it is not closed, and nobody is told; a connection that
is made while it is being closed stays open.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgpack
from websockets.exceptions import (
    ConnectionClosedOK,
    InvalidHandshake,
    WebSocketException,
)
from websockets.sync.client import ClientConnection, connect

from ringwatch.agent.sources.tiled_feeder import TiledSourceCounters
from ringwatch.agent.tiled_client import ClientError

# isort: split
import httpx

__all__ = ["Bells"]

logger = logging.getLogger(__name__)

_wire_logger = logging.getLogger(f"{__name__}.wire")
_wire_logger.setLevel(logging.INFO)  # at DEBUG it would write the API key

_WOKEN = "woken"
MOST_BELLS = 64
LONGEST_NOTICE = 1 << 24
"""Bytes; of a longer one the connection is closed, and made again later."""
_POLL_S = 0.2
_OPEN_S = 5.0
_PING_S = 10.0
_CLOSE_S = 1.0
_KEY_S = 60
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_TROUBLE = (
    WebSocketException,
    httpx.HTTPError,
    ClientError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
)


class Bells:
    """Subscriptions to nodes of a catalogue, each in a thread of its own.

    Parameters
    ----------
    counters : TiledSourceCounters
        Notices and gaps are counted there.
    """

    def __init__(self, counters: TiledSourceCounters) -> None:
        self._counters = counters
        self._bells: dict[str, _Bell] = {}
        self._rung: set[str] = set()
        self._changed = threading.Condition()

    def hang(self, node: Any, run_uid: str) -> None:
        """Listen to a node, if nobody does yet."""
        path = "/".join(node.path_parts)
        if path not in self._bells and len(self._bells) < MOST_BELLS:
            self._bells[path] = _Bell(node, run_uid, self._ring, self._lost)

    def take_down(self, run_uid: str | None = None) -> None:
        """Listen no more to the nodes of a run, or to any; waits for nothing."""
        for path, bell in tuple(self._bells.items()):
            if run_uid in (None, bell.run_uid):
                del self._bells[path]
                bell.take_down()

    def wait(self, timeout: float) -> set[str]:
        """Wait until a bell rings: runs that rang, '' for the catalogue; or none."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung, timeout)
            rung, self._rung = self._rung, set()
        return rung - {_WOKEN}

    def wake(self) -> None:
        """End a wait."""
        with self._changed:
            self._rung.add(_WOKEN)
            self._changed.notify_all()

    def retry(self) -> None:
        """The server answers again: connect now."""
        for bell in tuple(self._bells.values()):
            bell.retry()

    @property
    def work(self) -> bool:
        """Whether notices come: all connections stand."""
        bells = tuple(self._bells.values())
        return bool(bells) and all(bell.stands for bell in bells)

    def _ring(self, run_uid: str) -> None:
        with self._changed:
            self._counters.notices += 1
            self._rung.add(run_uid)
            self._changed.notify_all()

    def _lost(self, run_uid: str, why: str) -> None:
        """A gap in the numbers: there may be runs of which we know nothing, too."""
        logger.warning("Tiled source: %s: it is made up for by reading again", why)
        with self._changed:
            self._counters.gaps += 1
            self._rung |= {run_uid, ""}
            self._changed.notify_all()


class _Bell:
    """One subscription, made again and again until it is taken down."""

    def __init__(
        self,
        node: Any,
        run_uid: str,
        ring: Callable[[str], None],
        lost: Callable[[str, str], None],
    ) -> None:
        self.run_uid = run_uid
        self.stands = False
        self._context, self._path = node.context, "/".join(node.path_parts)
        self._ring, self._lost = ring, lost
        self._down, self._again = threading.Event(), threading.Event()
        self._said: set[str] = set()
        self._last: int | None = None
        self._wait_s = _FIRST_WAIT_S
        threading.Thread(
            target=self._listen, name=f"ringwatch-bell-{self._path[-24:]}", daemon=True
        ).start()

    def take_down(self) -> None:
        """End it before long."""
        self._down.set()
        self._again.set()

    def retry(self) -> None:
        """Connect now, where it waits to do so."""
        if not self.stands:
            self._wait_s = _FIRST_WAIT_S
            self._again.set()

    def _listen(self) -> None:
        while not self._down.is_set():
            try:
                with self._connected() as websocket:
                    self._hear(websocket)
            except ConnectionClosedOK:  # by the writer, or a server that shuts down
                self._ring(self.run_uid)
            except _TROUBLE as error:
                if not self._down.is_set():
                    self._complain(error)
            self.stands = False
            self._again.wait(self._wait_s)
            self._again.clear()
            self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)

    def _connected(self) -> ClientConnection:
        context = self._context
        scheme = "wss" if context.api_uri.scheme == "https" else "ws"
        path = f"{context.api_uri.path.rstrip('/')}/stream/single/{self._path}"
        params: dict[str, Any] = {"envelope_format": "msgpack"}
        if self._last is not None:  # what came meanwhile, as far as it is kept
            params["start"] = self._last + 1
        uri = context.api_uri.copy_with(scheme=scheme, path=path, params=params)
        fresh: dict[str, Any] = {}
        if context.server_info.authentication.providers:
            # A login must not travel: a key of its own, for a minute.
            fresh = context.create_api_key(expires_in=_KEY_S, note="ringwatch")
        key = fresh.get("secret") or context.api_key
        try:
            return connect(
                str(uri),
                additional_headers={"Authorization": f"Apikey {key}"} if key else None,
                logger=_wire_logger,
                open_timeout=_OPEN_S,
                ping_interval=_PING_S,
                ping_timeout=_PING_S,
                close_timeout=_CLOSE_S,
                max_size=LONGEST_NOTICE,
                max_queue=2,
            )
        finally:
            if fresh:
                context.revoke_api_key(fresh["first_eight"])

    def _hear(self, websocket: ClientConnection) -> None:
        """Ring at each notice until the connection ends."""
        websocket.recv(timeout=_OPEN_S)  # the schema
        if self._said and not self.run_uid:
            logger.warning("Tiled source: notices of %s come again", self._path)
        self._said.clear()
        self.stands, self._wait_s = True, _FIRST_WAIT_S
        self._ring(self.run_uid)  # for what came before we listened
        while not self._down.is_set():
            try:
                notice = websocket.recv(timeout=_POLL_S)
            except TimeoutError:
                continue
            self._count(int(msgpack.unpackb(notice)["sequence"]))
            self._ring(self.run_uid)

    def _count(self, number: int) -> None:
        """Compare the number of a notice with the one before."""
        before, self._last = self._last, number
        if before is not None and number != before + 1:
            why = f"notice {number} of {self._path} came after {before}"
            self._lost(self.run_uid, why)

    def _complain(self, error: Exception) -> None:
        """Log once a kind, until notices come again; for a run only for the curious."""
        kind, why = type(error).__name__, f"{type(error).__name__}: {error}"
        if isinstance(error, InvalidHandshake):
            why = f"the server offers no streams here: {error}"
        if kind not in self._said:
            self._said.add(kind)
            logger.log(
                logging.INFO if self.run_uid else logging.WARNING,
                "Tiled source: no notices of %s (%s): Tiled is asked at intervals "
                "instead",
                self._path,
                why,
            )
