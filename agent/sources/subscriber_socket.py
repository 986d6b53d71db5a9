"""The socket of a subscriber: bounds, keys, addresses; and what came through it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import zmq

from ringwatch.agent.errors import RingwatchError
from ringwatch.agent.wire.connections import SocketWatch, keep_alive
from ringwatch.agent.wire.security import (
    Curve,
    ZmqSecurityError,
    refuse_remote,
)

__all__ = ["SubscriberCounters", "SubscriberSocket", "ZmqSourceError"]


class ZmqSourceError(RingwatchError):
    """Documents cannot be subscribed to."""


@dataclass(slots=True)
class SubscriberCounters:
    """What came so far.

    Attributes
    ----------
    received : int
        Messages that came; the next six add up to it once nothing waits.
    fed : int
        Documents handed on.
    undecodable, unknown : int
        Messages left out: malformed ones, and documents of unknown names.
    refused : int
        Documents left out that were malformed or that the taker did not take.
    strange : int
        Documents left out because the start of their run never came.
    discarded : int
        Messages that still waited when ``close`` ran out of time.
    gaps : int
        Gaps told, lost connections included.
    """

    received: int = 0
    fed: int = 0
    undecodable: int = 0
    unknown: int = 0
    refused: int = 0
    strange: int = 0
    discarded: int = 0
    gaps: int = 0


class SubscriberSocket:
    """A SUB socket in a context of its own, watched, connected or bound.

    Parameters
    ----------
    addresses : sequence of str
    prefix : bytes
        Subscribed to in the socket: others are not even sent.
    bind : bool
    high_water_mark : int
        Messages.
    message_bytes : int
        Largest message; a larger one closes its connection before it is read.
    curve : Curve, optional
    allow_remote : bool

    Attributes
    ----------
    socket : zmq.Socket
    watch : SocketWatch
    addresses : tuple of str
        With the ports that were free.

    Raises
    ------
    ZmqSourceError
        If an address is malformed, taken, or too open, or a key unusable.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        prefix: bytes,
        bind: bool,
        high_water_mark: int,
        message_bytes: int,
        curve: Curve | None,
        allow_remote: bool,
    ) -> None:
        if not addresses:
            raise ZmqSourceError("no 0MQ address to listen at: give tcp://host:port")
        if b" " in prefix:
            raise ZmqSourceError(f"prefix {prefix!r} has a space; the wire forbids it")
        self.addresses: tuple[str, ...] = ()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        with ExitStack() as undo:
            undo.callback(context.term)
            self.socket = context.socket(zmq.SUB)
            undo.callback(self.socket.close, 0)
            self.socket.setsockopt(zmq.RCVHWM, high_water_mark)
            self.socket.setsockopt(zmq.MAXMSGSIZE, message_bytes)
            self.socket.setsockopt(zmq.SUBSCRIBE, prefix + b" " if prefix else b"")
            keep_alive(self.socket)
            self.watch = SocketWatch(self.socket, "0MQ source")
            undo.callback(self.watch.close)
            try:
                for address in addresses:
                    refuse_remote(
                        address, secured=curve is not None, allowed=allow_remote
                    )
                if curve is not None:
                    undo.callback(curve.secure(self.socket))
            except ZmqSecurityError as error:
                raise ZmqSourceError(str(error)) from error
            for address in addresses:
                self._open(address, bind)
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Take it down; in the thread that uses it."""
        self._undo.close()

    def _open(self, address: str, bind: bool) -> None:
        try:
            (self.socket.bind if bind else self.socket.connect)(address)
        except zmq.ZMQError as error:
            raise ZmqSourceError(
                f"cannot listen at {address!r}: {error}; give tcp://host:port, and to "
                "bind a port that is free"
            ) from error
        endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.addresses = (*self.addresses, endpoint)
