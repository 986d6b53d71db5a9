"""What happens to the connections of a 0MQ socket, told in the log.

Polled by the thread that owns the socket: no thread of its own.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import parse_monitor_message

__all__ = ["Connections", "SocketWatch", "keep_alive"]

logger = logging.getLogger(__name__)

_WATCHED = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.DISCONNECTED
)
_REFUSALS = {
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "the connection ended in the handshake",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: (
        "the other end speaks no CURVE or has another key of this end"
    ),
    zmq.Event.HANDSHAKE_FAILED_AUTH: "the other end does not allow our key",
}
_MOST_REMEMBERED = 1000


@dataclass(slots=True)
class Connections:
    """Counts of what happened to connections.

    Attributes
    ----------
    made, lost, refused : int
        Handshakes that succeeded; connections that ended after one; handshakes that
        failed, on either side.
    """

    made: int = 0
    lost: int = 0
    refused: int = 0

    @property
    def standing(self) -> int:
        """Connections that stand now."""
        return max(0, self.made - self.lost)


class SocketWatch:
    """Watches a socket: make it before the socket binds or connects.

    Parameters
    ----------
    socket : zmq.Socket
    name : str
        For the log.

    Attributes
    ----------
    connections : Connections
    """

    def __init__(self, socket: zmq.Socket[bytes], name: str) -> None:
        self.connections = Connections()
        self._socket = socket
        self._name = name
        self._told: set[tuple[int, str]] = set()
        self._failing: Counter[str] = Counter()
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(_WATCHED)
        self.monitor.setsockopt(zmq.LINGER, 0)

    def look(self) -> int:
        """Take note of what happened, without waiting; how many connections were lost.

        A refusal is logged once an address, until a connection to it succeeds.
        """
        lost = 0
        while self.monitor.poll(0, zmq.POLLIN):
            event = parse_monitor_message(self.monitor.recv_multipart())
            where = event["endpoint"].decode("ascii", "replace")
            lost += self._note(event["event"], where)
        return lost

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        self._socket.disable_monitor()
        self.monitor.close(0)

    def _note(self, event: int, where: str) -> int:
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self.connections.made += 1
            self._told = {told for told in self._told if told[1] != where}
            logger.info("%s: connected at %s", self._name, where)
        elif event == zmq.Event.DISCONNECTED:
            if self._failing[where]:  # a failed handshake ends with one too
                self._failing[where] -= 1
            else:
                self.connections.lost += 1
                logger.info("%s: a connection at %s ended", self._name, where)
                return 1
        elif event in _REFUSALS:
            self.connections.refused += 1
            self._failing[where] += 1
            told = (event, where)
            if told not in self._told and len(self._told) < _MOST_REMEMBERED:
                self._told.add(told)
                logger.error(
                    "%s: no connection at %s: %s",
                    self._name,
                    where,
                    _REFUSALS[zmq.Event(event)],
                )
        return 0


def keep_alive(socket: zmq.Socket[bytes]) -> None:
    """Let the kernel find dead connections, within half a minute; set reconnection.

    ZMTP heartbeats would do that too, but libzmq (4.3.5 tried) drops a peer that is
    merely busy, whose queue is full, and where the full queue is its own it aborts the
    process (assertion ``_input_stopped``).
    """
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
