"""Who may talk over 0MQ: CURVE with keys from files, and loopback without.

A pair of keys is two files as ``zmq.auth`` writes them: ``name.key``, which is given
away, and ``name.key_secret``, which only its owner can read. The end that binds is
usually the server: it has a folder of the public keys that it lets in. A client has the
public key of its server. One 0MQ context can have one server: each takes its own.

``bluesky.callbacks.zmq.Proxy`` takes CURVE on one side only: with ``in_curve`` and
``out_curve`` it fails ("Address already in use inproc://zeromq.zap.01"). On the open
side let it bind to loopback.
"""

from __future__ import annotations

import hashlib
import logging
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import zmq
from zmq.utils import z85

from ringwatch.agent.wire.keys import (
    KeyPair,
    ZmqSecurityError,
    make_keys,
    own_keys,
    public_key,
)
from ringwatch.agent.wire.loopback import is_loopback

__all__ = [
    "Curve",
    "CurveClient",
    "CurveServer",
    "KeyPair",
    "ZmqSecurityError",
    "make_keys",
    "refuse_remote",
]

logger = logging.getLogger(__name__)

_DOMAIN = b"ringwatch"
_ZAP = "inproc://zeromq.zap.01"
_POLL_MS = 100


class Curve(Protocol):
    """One end of an encrypted connection."""

    def secure(self, socket: zmq.Socket[bytes]) -> Callable[[], None]:
        """Set up a socket before it binds or connects; how to undo what was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveClient:
    """The end that knows its server.

    Attributes
    ----------
    secret_key : Path
        Own ``name.key_secret``.
    server_key : Path
        The server's public ``name.key``.
    """

    secret_key: Path
    server_key: Path

    def secure(self, socket: zmq.Socket[bytes]) -> Callable[[], None]:
        """Set the keys.

        Raises
        ------
        ZmqSecurityError
            Where they cannot be used.
        """
        public, secret = own_keys(self.secret_key)
        socket.curve_serverkey = public_key(self.server_key)
        socket.curve_publickey, socket.curve_secretkey = public, secret
        return _nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveServer:
    """The end that lets known clients in.

    Attributes
    ----------
    secret_key : Path
        Own ``name.key_secret``.
    allowed_keys : Path
        Folder of the clients' public keys, ``*.key``. Read again when any changes.
    """

    secret_key: Path
    allowed_keys: Path

    def secure(self, socket: zmq.Socket[bytes]) -> Callable[[], None]:
        """Set the keys and begin to ask of each client whether it is allowed.

        The socket needs a context of its own.

        Raises
        ------
        ZmqSecurityError
            Where keys cannot be used or the context has a server already.
        """
        public, secret = own_keys(self.secret_key)
        gate = _Gate(socket.context, self.allowed_keys)
        # With a domain libzmq turns everyone away when the gate cannot be asked.
        socket.zap_domain = _DOMAIN
        socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.curve_server = True
        return gate.close


def refuse_remote(address: str, *, secured: bool, allowed: bool) -> None:
    """Refuse an address beyond this machine without CURVE, unless that is ``allowed``.

    And one whose port there is not: 0MQ would take another.

    Raises
    ------
    ZmqSecurityError
        With the remedy.
    """
    parts = urlsplit(address)
    try:
        _ = address.endswith(":*") or parts.port
    except ValueError as error:
        raise ZmqSecurityError(
            f"0MQ address {address!r}: {error}; a port is a number up to 65535"
        ) from error
    if secured or allowed or parts.scheme in {"ipc", "inproc"}:
        return
    if not is_loopback(parts.hostname or ""):
        raise ZmqSecurityError(
            f"0MQ address {address!r} is not on the loopback interface; use "
            "tcp://127.0.0.1, give CURVE keys, or set allow_remote on a network you "
            "trust"
        )


class _Gate:
    """Answers libzmq's questions who may come in (ZAP, rfc.zeromq.org/spec/27)."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[int, ...]] | None = None
        self._allowed: dict[bytes, str] = {}
        if not self._read_keys(strict=True):
            logger.warning("%s has no *.key of anyone: nobody gets in", folder)
        self._socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(_ZAP)
        except zmq.ZMQError as error:
            self._socket.close(0)
            raise ZmqSecurityError(
                "this 0MQ context has a CURVE server already: give each its own"
            ) from error
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="ringwatch-zap", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering: libzmq then lets nobody in."""
        self._closed.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closed.is_set():
            if self._socket.poll(_POLL_MS):
                request = self._socket.recv_multipart()
                version, number = request[0], request[1] if len(request) > 1 else b""
                who = self._who(request)
                status = [b"200", b"", who] if who else [b"400", b"not allowed", b""]
                self._socket.send_multipart([version, number, *status, b""])
        self._socket.close(0)

    def _who(self, request: list[bytes]) -> bytes:
        """Name of the key of a client; empty where it is not allowed."""
        if len(request) != 7 or request[2] != _DOMAIN or request[5] != b"CURVE":
            return b""
        address, key = request[3].decode("ascii", "replace"), request[6]
        try:
            self._read_keys(strict=False)
        except ZmqSecurityError as error:
            logger.error("keys cannot be read again, those of before hold: %s", error)
        name = self._allowed.get(key, "")
        if name:
            logger.info("0MQ client %r at %s is let in", name, address)
        else:
            logger.error(
                "0MQ client at %s is refused: its key (fingerprint %s) is not in %s",
                address,
                hashlib.sha256(key).hexdigest()[:12],
                self._folder,
            )
        return name.encode()

    def _read_keys(self, *, strict: bool) -> int:
        """Read the keys where any has changed; how many are allowed.

        A file that holds none is an error at start; later the others count without it.
        """
        try:
            mode = self._folder.stat().st_mode
            seen = {path: _facts(path) for path in sorted(self._folder.glob("*.key"))}
        except OSError as error:
            raise ZmqSecurityError(
                f"cannot read the folder of allowed keys {self._folder}: {error}"
            ) from error
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ZmqSecurityError(
                f"others may write to {self._folder}, and so let anyone in: chmod "
                f"go-w {self._folder}"
            )
        if seen != self._seen:
            allowed = {}
            for path in seen:
                try:
                    allowed[z85.decode(public_key(path))] = path.stem
                except ZmqSecurityError as error:
                    if strict:
                        raise
                    logger.error("a key lets nobody in: %s", error)
            self._allowed, self._seen = allowed, seen
        return len(self._allowed)


def _facts(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; nothing where there is no file."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size


def _nothing() -> None:
    """A client has nothing to undo."""
