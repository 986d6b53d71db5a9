"""Verdicts of an agent in another process, by a small thread beside the RunEngine."""

from __future__ import annotations

import logging
import threading
from typing import Any

import msgpack
import zmq
from zmq.utils.monitor import parse_monitor_message

from ringwatch.plans.publisher import Curve
from ringwatch.plans.publisher_socket import refuse_remote
from ringwatch.plans.verdicts import Verdicts

__all__ = ["RemoteVerdicts"]

logger = logging.getLogger(__name__)

_POLL_MS = 100
_JOIN_S = 5.0
_MOST_BYTES = 1 << 24  # of a message; one with patterns of 2000 bins has 0.1 MB
_NAMES = frozenset({"start", "descriptor", "event", "stop"})
_DROPS = zmq.Event.DISCONNECTED | zmq.Event.CLOSED
_EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | _DROPS


class RemoteVerdicts:
    """Subscribes to what an agent publishes and puts it into ``Verdicts``.

    A connection that is closed is known at once, one that was cut within half a minute;
    it is made again when the agent is back. An agent that hangs is known by its frames
    without a verdict. What was published while nobody was connected is not sent again.

    Parameters
    ----------
    address : str
        Where the agent publishes: ``tcp://host:port`` or ``ipc://path``.
    verdicts : Verdicts, optional
        By default new ones.
    prefix : bytes
        First word of the agent's messages; others are left.
    curve : Curve, optional
        A ``CurveClient`` where the agent asks for keys.
    allow_remote : bool
        Whether addresses beyond this machine are allowed without ``curve``.

    Attributes
    ----------
    verdicts : Verdicts
    unread : int
        Messages that were no documents.

    Raises
    ------
    ValueError
        If the address is remote without ``curve`` or ``allow_remote``, or malformed.
    """

    def __init__(
        self,
        address: str,
        verdicts: Verdicts | None = None,
        *,
        prefix: bytes = b"ringwatch",
        curve: Curve | None = None,
        allow_remote: bool = False,
    ) -> None:
        if curve is None and not allow_remote:
            refuse_remote(address)
        self.address = address
        self.verdicts = verdicts or Verdicts()
        self.unread = 0
        self._prefix = prefix
        self._ended = threading.Event()
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, _MOST_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
        socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
        socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
        self._take_down = None if curve is None else curve.secure(socket)
        self._monitor = socket.get_monitor_socket(int(_EVENTS))
        self._socket = socket
        self.verdicts.note_link(self._away)
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            self._release()
            raise ValueError(
                f"cannot listen at {address!r}: {error}; give tcp://host:port"
            ) from error
        socket.subscribe(prefix + b" ")
        self._thread = threading.Thread(
            target=self._work, name="ringwatch-verdicts", daemon=True
        )
        self._thread.start()

    @property
    def _away(self) -> str:
        return f"no agent answers at {self.address}"

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._thread.join(_JOIN_S)

    def __enter__(self) -> RemoteVerdicts:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _work(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        try:
            while not self._ended.is_set():
                self._look(dict(poller.poll(_POLL_MS)))
        finally:  # whatever ends this thread: who does not listen must not look well
            self.verdicts.close()
            self._release()

    def _look(self, ready: dict[Any, int]) -> None:
        # What was sent before a connection was lost comes before its loss.
        if self._socket in ready:
            self._take(self._socket.recv())
        elif self._monitor in ready:
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            self.verdicts.note_link(self._away if event & _DROPS else "")

    def _take(self, message: bytes) -> None:
        try:
            _, name, payload = message.split(b" ", 2)
            if name.decode() not in _NAMES:
                return
            doc = msgpack.unpackb(payload)
        except (ValueError, msgpack.UnpackException) as error:
            self.unread += 1
            if self.unread == 1:
                logger.error("no document came from %s: %r", self.address, error)
            return
        self.verdicts.put(name.decode(), doc)

    def _release(self) -> None:
        if self._take_down is not None:
            self._take_down()
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()
