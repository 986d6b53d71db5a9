"""Results over 0MQ, as ``bluesky.callbacks.zmq`` sends documents.

A message is ``prefix name payload`` with one space between; the payload is plain
msgpack with arrays as lists, so that a listener needs nothing of ours::

    RemoteDispatcher("127.0.0.1:5578", deserializer=msgpack.unpackb)

The sink binds and listeners connect: no proxy is needed for one agent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import zmq

from ringwatch.agent.errors import SinkError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.queued import QueuedSink
from ringwatch.agent.wire.connections import (
    Connections,
    SocketWatch,
    keep_alive,
)
from ringwatch.agent.wire.messages import encode
from ringwatch.agent.wire.security import (
    Curve,
    ZmqSecurityError,
    refuse_remote,
)

__all__ = ["DEFAULT_ADDRESS", "ZmqSink", "encode"]

DEFAULT_ADDRESS = "tcp://127.0.0.1:5578"
POLL_S = 0.1
_LARGEST_REQUEST = 1024
_PORT_LINGERS_S = 1.0  # 0MQ closes a socket's port in the background, a moment late
_MOST_REQUESTS = 1000  # taken at a time: who floods us waits, and others do not

logger = logging.getLogger(__name__)


class ZmqSink(QueuedSink):
    """Publishes documents on a socket that it binds.

    A late subscriber is not sent what it missed: repeating the start document would
    confuse those who have it. It ignores events of unknown descriptors, or reads start
    and descriptors from Tiled by ``raw_uid``. A subscriber further behind than
    ``high_water_mark`` messages loses messages, which it sees as a gap in ``seq_num``
    and in ``num_events`` of the stop document, and we count.

    Parameters
    ----------
    address : str
        ``tcp://host:port``, ``ipc://path`` or ``inproc://name``. Port 0 or ``*`` takes
        a free one; ``address`` tells which.
    prefix : bytes
        First word of each message; without spaces.
    high_water_mark : int
        Messages that 0MQ keeps for each subscriber. A message with a pattern of 2000
        bins has 40 kB.
    linger_ms : int
        How long closing waits for subscribers to take what was sent, milliseconds.
    allow_remote : bool
        Whether addresses beyond this machine are allowed without ``curve``.
    limit : int
        Most documents waiting in the sink.
    curve : Curve, optional
        A ``CurveServer``: encrypts, and lets only those listen whose keys it knows.
        Not for ``inproc``.

    Attributes
    ----------
    address : str
        Where it is bound.
    connections : Connections
        How many listeners came, went and were refused.
    subscribers : int
        Subscriptions that stand now.
    unheard : int
        Documents sent while nobody was subscribed.
    overrun : int
        Documents that a slow subscriber did not get: one at least.

    Raises
    ------
    SinkError
        If the address is malformed, taken, or remote without ``curve`` or
        ``allow_remote``, or a key unusable.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        prefix: bytes = b"ringwatch",
        high_water_mark: int = 1000,
        linger_ms: int = 1000,
        allow_remote: bool = False,
        limit: int = 2000,
        curve: Curve | None = None,
    ) -> None:
        super().__init__(f"0MQ sink {address}", limit)
        if b" " in prefix:
            raise SinkError(f"0MQ prefix {prefix!r} has a space; the wire forbids it")
        port = address.rpartition(":")[2]
        if address.startswith("tcp://") and port.isdigit() and int(port) > 65535:
            raise SinkError(f"0MQ address {address!r}: ports end at 65535")
        try:
            refuse_remote(address, secured=curve is not None, allowed=allow_remote)
        except ZmqSecurityError as error:
            raise SinkError(str(error)) from error
        self._prefix = prefix
        self._subscribed = threading.Event()
        self.subscribers = self.unheard = self.overrun = 0
        # A context has one CURVE server at most, and inproc needs the common one.
        self._own = None if curve is None else zmq.Context[zmq.Socket[bytes]]()
        context = self._own or zmq.Context.instance()
        # XPUB is PUB that also hands us the subscriptions: see `wait_for_subscriber`.
        self._socket: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, high_water_mark)
        self._socket.setsockopt(zmq.LINGER, linger_ms)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST_REQUEST)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # each comes and goes by itself
        keep_alive(self._socket)
        self._watch = SocketWatch(self._socket, self.name)
        self._take_down_gate: Callable[[], None] = _nothing
        try:
            if curve is not None:
                self._take_down_gate = curve.secure(self._socket)
            self.address = _bind(self._socket, address)
        except (SinkError, ZmqSecurityError) as error:
            self._end()
            raise SinkError(str(error)) from error
        self._begin()

    @property
    def connections(self) -> Connections:
        """Listeners that came, went and were refused."""
        return self._watch.connections

    def wait_for_subscriber(self, timeout: float) -> bool:
        """Whether somebody has subscribed, waiting up to ``timeout`` seconds.

        A subscriber that connects just before a run misses its first documents; who
        starts both can wait here.
        """
        return self._subscribed.wait(timeout)

    def _work(self, taken: list[NamedDocument]) -> float:
        self._watch.look()
        self._note_subscriptions()
        for name, doc in taken:
            try:
                self._send(encode(name, doc, self._prefix))
            except (zmq.ZMQError, TypeError, ValueError, OverflowError) as error:
                logger.error("%s: a %s document failed: %s", self.name, name, error)
                self._settle(failed=1)
            else:
                self._settle(sent=1)
        return POLL_S

    def _note_subscriptions(self) -> None:
        for _ in range(_MOST_REQUESTS):
            if not self._socket.poll(0, zmq.POLLIN):
                return
            request = self._socket.recv(zmq.NOBLOCK)[:1]
            if request == b"\x01":
                self.subscribers += 1
                self._subscribed.set()
            elif request == b"\x00":
                self.subscribers = max(0, self.subscribers - 1)

    def _send(self, message: bytes) -> None:
        """Send to all who have room for it; count where somebody had none."""
        self.unheard += not self.subscribers
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        try:
            self._socket.send(message, zmq.NOBLOCK)
        except zmq.Again:
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._socket.send(message, zmq.NOBLOCK)
            self.overrun += 1
            if self.overrun == 1:
                logger.warning(
                    "%s: a subscriber is too slow and loses documents; the next "
                    "losses are only counted",
                    self.name,
                )

    def _end(self) -> None:
        self._take_down_gate()
        self._watch.close()
        self._socket.close()
        if self._own is not None:
            self._own.term()


def _nothing() -> None:
    """Without CURVE there is no gate to take down."""


def _bind(socket: zmq.Socket[bytes], address: str) -> str:
    free = address
    if address.startswith("tcp://") and address.endswith((":0", ":*")):
        free = address.rpartition(":")[0] + ":*"
    give_up = time.monotonic() + _PORT_LINGERS_S
    while True:
        try:
            socket.bind(free)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE and time.monotonic() < give_up:
                time.sleep(0.02)
                continue
            raise SinkError(
                f"cannot publish at {address!r}: {error}; is another agent running? "
                "Choose a free port, or port 0 for any"
            ) from error
        return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))
