"""Who listens to the socket of a publisher."""

from __future__ import annotations

import zmq
from zmq.utils.monitor import parse_monitor_message

__all__ = ["Listeners"]


class Listeners:
    """Counts subscriptions that came and went.

    A socket that connects keeps those of a peer that is gone, for when it comes back:
    libzmq tells its loss to whoever watches the connection, and nobody else.

    Parameters
    ----------
    socket : zmq.Socket
        An XPUB, neither bound nor connected yet. Used in the thread that owns it.
    bind : bool
        Whether it will be bound: then those of a lost peer go by themselves.
    """

    def __init__(self, socket: zmq.Socket[bytes], *, bind: bool) -> None:
        self._socket = socket
        self._subscriptions = 0
        self._away = False
        self._monitor: zmq.Socket[bytes] | None = None
        if not bind:
            watched = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED
            self._monitor = socket.get_monitor_socket(watched)

    def count(self) -> int:
        """Take note of who came and went, without waiting; how many listen now."""
        came = 0
        while self._socket.poll(0, zmq.POLLIN):
            request = self._socket.recv()[:1]
            came += (request == b"\x01") - (request == b"\x00")
        # The connection second: what is subscribed to through a new one may have come
        # already, and that is seen then.
        before = 0 if self._lost() else self._subscriptions
        self._subscriptions = 0 if self._away else max(0, before + came)
        return self._subscriptions

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)

    def _lost(self) -> bool:
        """Whether a connection was lost; notes whether there is one again."""
        lost = False
        while self._monitor is not None and self._monitor.poll(0, zmq.POLLIN):
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            self._away = event == zmq.Event.DISCONNECTED
            lost = lost or self._away
        return lost
