"""Documents out of a RunEngine over 0MQ, none lost at the beginning.

``bluesky.callbacks.zmq.Publisher`` loses what is published before anybody is connected,
pickles by default, and drops in silence. This one waits for a listener, in a thread::

    publisher = DocumentPublisher("tcp://127.0.0.1:5567")  # a Proxy, or the agent
    RE.subscribe(publisher)
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import zmq

from ringwatch.plans.listeners import Listeners
from ringwatch.plans.messages import UNSENDABLE, large_bytes, pack, shallow
from ringwatch.plans.publisher_socket import open_address, refuse_remote, socket_options

__all__ = ["Curve", "DocumentPublisher", "PublisherCounters"]

logger = logging.getLogger(__name__)

_POLL_S = 0.05
_AT_EXIT_S = 2.0


class Curve(Protocol):
    """One end of an encrypted connection: see ``ringwatch.agent.wire.security``."""

    def secure(self, socket: zmq.Socket[bytes]) -> Callable[[], None]:
        """Set up a socket before it binds or connects; how to undo it."""


@dataclass(slots=True)
class PublisherCounters:
    """What became of the documents.

    Attributes
    ----------
    taken : int
        Documents that the RunEngine emitted; the others add up to it at the end.
    sent : int
        Handed to 0MQ for all who listened.
    unheard : int
        Sent while nobody listened, or while somebody was too slow to take them.
    overflowed : int
        Left out because the queue was full or the publisher closed.
    unsendable : int
        Left out because they hold something that no message can.
    """

    taken: int = 0
    sent: int = 0
    unheard: int = 0
    overflowed: int = 0
    unsendable: int = 0


class DocumentPublisher:
    """A callback for the RunEngine: costs microseconds, never blocks, never raises.

    Documents wait in a queue, bounded in bytes, until somebody listens, for ``wait_s``
    at most; then they go out all the same. Behind a ``Proxy`` the listener that is
    waited for is the proxy: an agent that connects to it later is late.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``ipc://path`` of the proxy or of the agent.
    prefix : bytes
        First word of each message; without spaces.
    bind : bool
        Whether listeners connect to us.
    wait_s : float
        How long documents wait for a listener, and for one that is too slow, seconds.
    max_bytes : int
        Bound of the queue. Documents without large arrays may exceed it by a quarter.
    high_water_mark : int
        Messages that 0MQ keeps for each listener, beside the queue: frames too.
    linger_ms : int
        How long closing waits until what was sent has left, milliseconds.
    curve : Curve, optional
        Keys: ``CurveClient`` to connect, ``CurveServer`` to bind.
    allow_remote : bool
        Whether addresses beyond this machine are allowed without ``curve``.

    Raises
    ------
    ValueError
        If the address is malformed, taken, or remote without ``curve`` or
        ``allow_remote``.
    RingwatchError
        If ``curve`` has keys that cannot be used.

    Notes
    -----
    Other callbacks may change a document later, so it is encoded at once. Arrays of 64
    kB and more in an event are encoded by the thread: their pixels must stay as they
    are, as for any callback that works in a thread.
    """

    def __init__(
        self,
        address: str,
        *,
        prefix: bytes = b"",
        bind: bool = False,
        wait_s: float = 10.0,
        max_bytes: int = 1 << 28,
        high_water_mark: int = 50,
        linger_ms: int = 1000,
        curve: Curve | None = None,
        allow_remote: bool = False,
    ) -> None:
        if b" " in prefix:
            raise ValueError(f"prefix {prefix!r} has a space; the wire forbids it")
        if curve is None and not allow_remote:
            refuse_remote(address)
        self._prefix = prefix
        self._wait_s = wait_s
        self._max_bytes = max_bytes
        self._queue: deque[tuple[str, bytes | dict[str, Any], int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = self._gave_up = False
        self._deadline = float("inf")
        self._heard = threading.Event()
        self._complained: set[str] = set()
        self.counters = PublisherCounters()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        with contextlib.ExitStack() as undo:
            undo.callback(self._context.term)
            undo.callback(self._socket.close)
            self._listeners = Listeners(self._socket, bind=bind)
            undo.callback(self._listeners.close)
            for option, value in socket_options(high_water_mark, linger_ms).items():
                self._socket.setsockopt(option, value)
            if curve is not None:
                undo.callback(curve.secure(self._socket))
            open_address(self._socket, address, bind=bind)
            self._release = undo.pop_all()
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """Where it is bound or connected."""
        self._thread = threading.Thread(
            target=self._work, name="ringwatch-publisher", daemon=True
        )
        self._thread.start()
        atexit.register(self.close, _AT_EXIT_S)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document. Never blocks, never raises."""
        self.counters.taken += 1
        try:
            large = large_bytes(doc) if name in ("event", "event_page") else 0
            ready = shallow(doc) if large else self._message(name, doc)
            size = large or len(ready)
        except UNSENDABLE as error:
            self.counters.unsendable += 1
            self._complain(f"a {name} document cannot be sent: {error!r:.300}")
            return
        bound = self._max_bytes + (0 if large else self._max_bytes // 4)
        with self._changed:
            if not self._closed and (not self._queue or self._bytes + size <= bound):
                self._queue.append((name, ready, size))
                self._bytes += size
                self._changed.notify_all()
                return
            self.counters.overflowed += 1
        why = "the publisher is closed" if self._closed else "the queue is full"
        self._complain(f"documents are left out: {why}")

    def wait_ready(self, timeout: float) -> bool:
        """Whether somebody listens, within ``timeout`` seconds."""
        return self._heard.wait(timeout)

    def flush(self, timeout: float) -> bool:
        """Whether all documents so far were sent, within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Send what waits, and stop; whether all was sent. From any thread.

        Done at the end of the process too, within two seconds.
        """
        atexit.unregister(self.close)
        with self._changed:
            self._closed = True
            self._deadline = min(self._deadline, time.monotonic() + timeout)
            self._changed.notify_all()
        self._thread.join(timeout + 2)
        with self._changed:
            left = len(self._queue)
            self.counters.overflowed += left
            self._queue.clear()
        if left:
            logger.error("0MQ publisher closed: %d documents were not sent", left)
        return not left

    # The thread.

    def _work(self) -> None:
        listeners = 0
        patience = float("inf")  # until when documents wait for a listener
        try:
            while True:
                listeners = self._count(listeners)
                with self._changed:
                    if self._closed and (not self._queue or self._late()):
                        return
                    if not self._queue:
                        patience = float("inf")
                        self._changed.wait(_POLL_S)
                        continue
                    name, ready, size = self._queue[0]
                now = time.monotonic()
                patience = min(patience, now + self._wait_s)
                if not listeners and now < patience:
                    self._socket.poll(int(_POLL_S * 1000), zmq.POLLIN)
                    continue
                self._send(name, ready, listeners)
                with self._changed:
                    self._queue.popleft()
                    self._bytes -= size
                    self._changed.notify_all()
        finally:
            self._release.close()

    def _late(self) -> bool:
        return time.monotonic() > self._deadline

    def _count(self, before: int) -> int:
        """Take note of who came and went."""
        listeners = self._listeners.count()
        if listeners and not before:
            logger.info("0MQ publisher: somebody listens at %s", self.address)
            self._heard.set()
        elif before and not listeners:
            logger.warning("0MQ publisher: nobody listens at %s now", self.address)
            self._heard.clear()
        return listeners

    def _send(self, name: str, ready: bytes | dict[str, Any], listeners: int) -> None:
        try:
            message = ready if isinstance(ready, bytes) else self._message(name, ready)
        except UNSENDABLE as error:
            self.counters.unsendable += 1
            self._complain(f"a {name} document cannot be sent: {error!r:.300}")
            return
        if not listeners:
            self._complain(
                f"nobody listens at {self.address}: documents go out unheard; start "
                "the agent or the proxy"
            )
        # Without listeners what is full are the stores of those who went.
        if self._send_to_all(message, self._wait_s if listeners else 0) and listeners:
            self.counters.sent += 1
        else:
            self.counters.unheard += 1

    def _send_to_all(self, message: bytes, wait_s: float) -> bool:
        """Wait for slow listeners, a while; whether all had room for the message."""
        # Who was waited for in vain is not waited for again until it has caught up.
        until = time.monotonic() + (0 if self._gave_up else wait_s)
        while True:
            try:
                self._socket.send(message, zmq.NOBLOCK)
            except zmq.Again:
                if time.monotonic() > until or self._late():
                    break
                time.sleep(0.001)
            else:
                self._gave_up = False
                return True
        if wait_s:
            self._gave_up = True
            self._complain("a listener is too slow and loses documents")
        self._socket.setsockopt(zmq.XPUB_NODROP, 0)
        self._socket.send(message, zmq.NOBLOCK)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        return False

    def _message(self, name: str, doc: dict[str, Any]) -> bytes:
        return b" ".join([self._prefix, name.encode(), pack(doc)])

    def _complain(self, what: str) -> None:
        """Log once; the counters have the rest."""
        if what not in self._complained and len(self._complained) < 100:
            self._complained.add(what)
            logger.warning("0MQ publisher: %s (told once)", what)
