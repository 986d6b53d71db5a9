"""Results over 0MQ, as ``bluesky.callbacks.zmq`` sends documents.

A message is ``prefix name payload`` with one space between; the payload is plain
msgpack with arrays as lists, so that a listener needs nothing of ours::

    RemoteDispatcher("127.0.0.1:5578", deserializer=msgpack.unpackb)

The sink binds and listeners connect: no proxy is needed for one agent.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from typing import Any
from urllib.parse import urlsplit

import msgpack
import numpy as np
import zmq

from ringwatch.agent.errors import SinkError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.queued import QueuedSink

__all__ = ["DEFAULT_ADDRESS", "ZmqSink", "encode"]

DEFAULT_ADDRESS = "tcp://127.0.0.1:5578"
POLL_S = 0.1

logger = logging.getLogger(__name__)


class ZmqSink(QueuedSink):
    """Publishes documents on a socket that it binds.

    A late subscriber is not sent what it missed: repeating the start document would
    confuse those who have it. It ignores events of unknown descriptors, or reads start
    and descriptors from Tiled by ``raw_uid``; a handshake comes with a later version.
    A subscriber further behind than ``high_water_mark`` messages loses messages, which
    it sees as a gap in ``seq_num`` and in ``num_events`` of the stop document.

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
        Whether addresses beyond this machine are allowed. Nothing is encrypted.
    limit : int
        Most documents waiting in the sink.

    Raises
    ------
    SinkError
        If the address is malformed, taken, or remote without ``allow_remote``.
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
    ) -> None:
        super().__init__(f"0MQ sink {address}", limit)
        if b" " in prefix:
            raise SinkError(f"0MQ prefix {prefix!r} has a space; the wire forbids it")
        port = address.rpartition(":")[2]
        if address.startswith("tcp://") and port.isdigit() and int(port) > 65535:
            raise SinkError(f"0MQ address {address!r}: ports end at 65535")
        if not allow_remote:
            _refuse_remote(address)
        self._prefix = prefix
        self._subscribed = threading.Event()
        # XPUB is PUB that also hands us the subscriptions: see `wait_for_subscriber`.
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, high_water_mark)
        self._socket.setsockopt(zmq.LINGER, linger_ms)
        self.address = _bind(self._socket, address)
        self._begin()

    def wait_for_subscriber(self, timeout: float) -> bool:
        """Whether somebody has subscribed, waiting up to ``timeout`` seconds.

        A subscriber that connects just before a run misses its first documents; who
        starts both can wait here.
        """
        return self._subscribed.wait(timeout)

    def _work(self, taken: list[NamedDocument]) -> float:
        while self._socket.poll(0, zmq.POLLIN):
            if self._socket.recv(zmq.NOBLOCK)[:1] == b"\x01":
                self._subscribed.set()
        for name, doc in taken:
            try:
                self._socket.send(encode(name, doc, self._prefix), zmq.NOBLOCK)
            except (zmq.ZMQError, TypeError, ValueError, OverflowError) as error:
                logger.error("%s: a %s document failed: %s", self.name, name, error)
                self._settle(failed=1)
            else:
                self._settle(sent=1)
        return POLL_S

    def _end(self) -> None:
        self._socket.close()


def encode(name: str, doc: dict[str, Any], prefix: bytes = b"ringwatch") -> bytes:
    """The message for one document: prefix, name and msgpack, joined by spaces.

    Arrays become lists, numpy scalars plain numbers. NaN stays NaN: msgpack carries
    IEEE doubles.

    Raises
    ------
    TypeError
        If the document holds something that msgpack has no word for.
    """
    return b" ".join([prefix, name.encode(), msgpack.packb(doc, default=_listed)])


def _listed(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot go into a document; use plain data")


def _refuse_remote(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme in {"ipc", "inproc"}:
        return
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise SinkError(
            f"0MQ address {address!r} is not on the loopback interface; use "
            f"{DEFAULT_ADDRESS}, or set allow_remote on a network you trust"
        )


def _bind(socket: zmq.Socket[bytes], address: str) -> str:
    try:
        if address.startswith("tcp://") and address.endswith((":0", ":*")):
            host = address.rpartition(":")[0]
            socket.bind(f"{host}:*")
        else:
            socket.bind(address)
    except zmq.ZMQError as error:
        socket.close(0)
        raise SinkError(
            f"cannot publish at {address!r}: {error}; is another agent running? Choose "
            "a free port, or port 0 for any"
        ) from error
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))
