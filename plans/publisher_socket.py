"""Options of a publisher's socket, and the addresses that it may have."""

from __future__ import annotations

import contextlib
import ipaddress
from urllib.parse import urlsplit

import zmq

__all__ = ["open_address", "refuse_remote", "socket_options"]


def socket_options(high_water_mark: int, linger_ms: int) -> dict[int, int]:
    """Give the options: bounds, subscriptions one by one, no silent loss."""
    return {
        zmq.SNDHWM: high_water_mark,
        zmq.LINGER: linger_ms,
        zmq.MAXMSGSIZE: 1024,  # what comes in are subscriptions
        zmq.XPUB_VERBOSER: 1,  # each comes and goes by itself
        zmq.XPUB_NODROP: 1,
        zmq.RECONNECT_IVL: 100,
        zmq.RECONNECT_IVL_MAX: 2000,
        # No ZMTP heartbeats: libzmq drops a listener that is merely busy for them.
        zmq.TCP_KEEPALIVE: 1,
        zmq.TCP_KEEPALIVE_IDLE: 10,
        zmq.TCP_KEEPALIVE_INTVL: 5,
        zmq.TCP_KEEPALIVE_CNT: 3,
    }


def open_address(socket: zmq.Socket[bytes], address: str, *, bind: bool) -> None:
    """Bind or connect; ``ValueError`` with the remedy where that fails."""
    try:
        (socket.bind if bind else socket.connect)(address)
    except zmq.ZMQError as error:
        raise ValueError(
            f"cannot publish at {address!r}: {error}; give tcp://host:port, and to "
            "bind a port that is free"
        ) from error


def refuse_remote(address: str) -> None:
    """Raise ``ValueError`` for an address beyond this machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    local = parts.scheme in {"ipc", "inproc"} or host == "localhost"
    with contextlib.suppress(ValueError):
        local = local or ipaddress.ip_address(host).is_loopback
    if not local:
        raise ValueError(
            f"0MQ address {address!r} is not on the loopback interface; use "
            "tcp://127.0.0.1, give CURVE keys, or set allow_remote on a network you "
            "trust"
        )
