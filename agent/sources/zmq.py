"""Documents over 0MQ: a subscriber that bounds what it holds and counts what it lost.

It replaces ``bluesky.callbacks.zmq.RemoteDispatcher``, which reads ahead without bound,
ends at an unknown document name, and loses documents without a word.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import zmq

from ringwatch.agent.sources.audit import FEED_ERRORS, Audit, Gap
from ringwatch.agent.sources.subscriber_socket import (
    SubscriberCounters,
    SubscriberSocket,
    ZmqSourceError,
)
from ringwatch.agent.sources.waiting import Waiting
from ringwatch.agent.wire.connections import Connections, SocketWatch
from ringwatch.agent.wire.messages import DOCUMENT_NAMES, Limits, WireError, decode
from ringwatch.agent.wire.security import Curve

__all__ = ["SubscriberCounters", "ZmqSource", "ZmqSourceError"]

logger = logging.getLogger(__name__)

_POLL_MS = 50
_AT_ONCE = 500
_COMPILES = b"ringwatch start \x80"


class ZmqSource:
    """Subscribes to documents and feeds them, in order, from a thread of its own.

    What arrives waits in a queue bounded in bytes. While that is full nothing is
    received: the publisher keeps up to its own bound for us, and then drops. Whatever
    gets lost, there or underway, is noticed by the numbers in the documents that come
    after it, and told to ``gap``.

    Parameters
    ----------
    addresses : str or sequence of str
        ``tcp://host:port`` or ``ipc://path``, of publishers or of proxies.
    feed : callable
        Given name and document, one by one; it may block, and may raise
        ``RingwatchError``. It must not change the document.
    prefix : bytes
        Documents of this prefix only; empty for all.
    gap : callable, optional
        Given uid of the raw run, empty where it is not known, and reason. Called from
        the thread that feeds, before the document that showed the gap is fed; for a
        lost connection from the thread that receives.
    bind : bool
        Whether publishers connect to us.
    high_water_mark : int
        Messages that 0MQ holds for us before they reach our queue.
    max_waiting_bytes : int
        Bound of our queue.
    limits : Limits
        Of each message. A larger one closes the connection, which is then made again.
    curve : Curve, optional
        ``CurveClient``, or ``CurveServer`` where we bind.
    allow_remote : bool
        Whether other machines may be talked to without CURVE.
    stranger : callable, optional
        Given the uid of the run, or of the descriptor, of each document of a run whose
        start never came. If given, such documents are not fed.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        feed: Callable[[str, dict[str, Any]], None],
        *,
        prefix: bytes = b"",
        gap: Gap | None = None,
        bind: bool = False,
        high_water_mark: int = 100,
        max_waiting_bytes: int = 1 << 28,
        limits: Limits | None = None,
        curve: Curve | None = None,
        allow_remote: bool = False,
        stranger: Callable[[str], None] | None = None,
    ) -> None:
        self._feed, self._stranger = feed, stranger
        self._gap = gap
        self._limits = limits or Limits()
        self._max_bytes = max_waiting_bytes
        self._open = partial(
            SubscriberSocket,
            [addresses] if isinstance(addresses, str) else list(addresses),
            prefix=prefix,
            bind=bind,
            high_water_mark=high_water_mark,
            message_bytes=self._limits.message_bytes,
            curve=curve,
            allow_remote=allow_remote,
        )
        self._audit = Audit(self._tell)
        self._waiting = Waiting(max_waiting_bytes)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._connected = threading.Event()
        self._threads: list[threading.Thread] = []
        self._complained: set[str] = set()
        self.counters = SubscriberCounters()
        self.connections = Connections()
        self.addresses: tuple[str, ...] = ()
        """Where we are, with the ports that were free; once begun."""

    def begin(self) -> None:
        """Bind or connect, and start to feed. After ``close`` it can begin again.

        Raises
        ------
        ZmqSourceError
            If an address is malformed, taken, or too open, or a key unusable, or where
            it runs already.
        """
        if not self._join(0):
            raise ZmqSourceError("it runs already: close it first")
        self._connected.clear()
        self._ending.clear()
        self._waiting = Waiting(self._max_bytes)
        opened = self._open()
        self.addresses = opened.addresses
        self.connections = opened.watch.connections
        receive = partial(self._receive, opened, self._waiting)
        hand_on = partial(self._hand_on, self._waiting)
        self._threads = [
            threading.Thread(target=target, name=f"ringwatch-zmq-{name}", daemon=True)
            for name, target in (("receive", receive), ("feed", hand_on))
        ]
        for thread in self._threads:
            thread.start()

    def wait_connected(self, timeout: float) -> bool:
        """Whether a publisher or a proxy is connected, within ``timeout`` seconds."""
        return self._connected.wait(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Receive no more, feed what has come, and stop; from any thread.

        Whether all was fed within ``timeout`` seconds. What was not is discarded and
        counted. A ``feed`` that blocks for ever keeps its thread, a daemon.
        """
        deadline = time.monotonic() + timeout
        self._ending.set()
        self._join(timeout)
        left = self._waiting.discard()
        if left:
            self.counters.discarded += left
            logger.error("0MQ source closed: %d messages were not fed", left)
        return self._join(max(0.5, deadline - time.monotonic())) and not left

    @property
    def waiting(self) -> int:
        """Messages that wait to be fed."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of them."""
        return self._waiting.nbytes

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Runs whose stop has not come yet, oldest first."""
        return self._audit.open_runs

    @property
    def failed(self) -> bool:
        """Whether it fell silent though nobody closed it: a fault of its own."""
        dead = any(not thread.is_alive() for thread in self._threads)
        return dead and not self._ending.is_set()

    def knows(self, run_uid: str) -> bool:
        """Whether the start of a run came, the last runs that ended included."""
        return self._audit.knows(run_uid)

    def __enter__(self) -> ZmqSource:
        self.begin()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # The thread that receives.

    def _receive(self, opened: SubscriberSocket, waiting: Waiting) -> None:
        poller = zmq.Poller()
        poller.register(opened.socket, zmq.POLLIN)
        poller.register(opened.watch.monitor, zmq.POLLIN)
        try:
            while not self._ending.is_set():
                ready = dict(poller.poll(_POLL_MS))
                if opened.watch.monitor in ready:
                    self._look(opened.watch)
                if opened.socket in ready:
                    self._take(opened.socket, waiting)
        finally:
            opened.close()
            waiting.complete()

    def _look(self, watch: SocketWatch) -> None:
        if watch.look():
            what = "a connection was lost: what was sent meanwhile is missing"
            self._tell("", what, calm=not (self._audit.open_runs or self.waiting))
        if watch.connections.standing:
            self._connected.set()
        else:
            self._connected.clear()

    def _take(self, socket: zmq.Socket[bytes], waiting: Waiting) -> None:
        """Receive while there is something and room for it."""
        if waiting.full:
            self._complain("full", "its queue is full, and receiving waits for it")
            waiting.wait_for_room(_POLL_MS / 1000)
            return
        with contextlib.suppress(zmq.Again):
            for _ in range(_AT_ONCE):
                # A message of several parts is none of ours: its parts are malformed.
                waiting.put(socket.recv(zmq.NOBLOCK))
                self.counters.received += 1
                if waiting.full:
                    break

    # The thread that feeds.

    def _hand_on(self, waiting: Waiting) -> None:
        decode(_COMPILES, self._limits)
        while (message := waiting.take()) is not None:
            self._feed_one(message)

    def _feed_one(self, message: bytes) -> None:
        try:
            _, name, doc = decode(message, self._limits)
        except WireError as error:
            self.counters.undecodable += 1
            self._complain(f"wire {type(error).__name__}", f"left out: {error}")
            return
        if name not in DOCUMENT_NAMES:
            self.counters.unknown += 1
            self._complain("name", f"left out: a document named {name[:32]!r}")
            return
        try:
            self._audit.take(name, doc)
            if self._is_strange(name, doc):
                return
            self._feed(name, doc)
        except FEED_ERRORS as error:
            self.counters.refused += 1
            kind = f"{type(error).__name__} {name}"
            self._complain(kind, f"left out: a {name} document: {error!r:.500}")
        else:
            self.counters.fed += 1

    def _is_strange(self, name: str, doc: dict[str, Any]) -> bool:
        """Whether a document was handed to ``stranger``, and is not to be fed."""
        if self._stranger is None or (uid := self._audit.stranger(name, doc)) is None:
            return False
        self.counters.strange += 1
        if uid:
            self._stranger(uid)
        return True

    def _tell(self, run_uid: str, why: str, *, calm: bool = False) -> None:
        """Tell of a gap; ``calm`` where nobody needs to hear of it."""
        with self._lock:  # both threads count
            self.counters.gaps += 1
        level = logging.INFO if calm else logging.WARNING
        logger.log(level, "0MQ source: run %s: %s", run_uid or "unknown", why)
        if self._gap is not None:
            try:
                self._gap(run_uid, why)
            except FEED_ERRORS as error:
                logger.error("0MQ source: a gap was not taken note of: %s", error)

    def _complain(self, kind: str, what: str) -> None:
        """Log once a kind; the counters have the rest."""
        if kind not in self._complained:
            self._complained.add(kind)
            logger.error("0MQ source: %s; the next are only counted", what)

    def _join(self, timeout: float) -> bool:
        """Wait for the threads, but for the one we are in; whether they ended."""
        deadline = time.monotonic() + timeout
        others = [t for t in self._threads if t is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in others)
