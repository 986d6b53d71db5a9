"""Keys for CURVE in files, as ``zmq.auth`` writes them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.auth import load_certificate
from zmq.utils import z85

from ringwatch.agent.errors import RingwatchError

__all__ = ["KeyPair", "ZmqSecurityError", "make_keys", "own_keys", "public_key"]

_LARGEST_KEY_FILE = 10_000


class ZmqSecurityError(RingwatchError):
    """Keys are missing, malformed or open to others, or an address is too open."""


class KeyPair(NamedTuple):
    """Where a pair of keys lies: the file to give away and the one to keep."""

    public: Path
    secret: Path


def make_keys(folder: Path, name: str = "ringwatch") -> KeyPair:
    """Make a pair of keys in ``folder``, which is made where it is not there.

    Raises
    ------
    ZmqSecurityError
        Where there are keys of that name, or they cannot be written.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise ZmqSecurityError(f"{name!r} is no name for keys; take a plain word")
    pair = KeyPair(folder / f"{name}.key", folder / f"{name}.key_secret")
    public, secret = zmq.curve_keypair()
    note = "# A CURVE key of 0MQ, made by Ringwatch.\nmetadata\ncurve\n"
    both = f'    public-key = "{public.decode()}"\n'
    kept = f'{both}    secret-key = "{secret.decode()}"\n'
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(pair.secret, note + kept, 0o600)
        _write(pair.public, note + both, 0o644)
    except FileExistsError as error:
        raise ZmqSecurityError(
            f"{folder} has keys named {name!r} already: choose another name, or delete "
            "them (whoever knows them must get the new ones)"
        ) from error
    except OSError as error:
        raise ZmqSecurityError(f"cannot write keys to {folder}: {error}") from error
    return pair


def _write(path: Path, text: str, mode: int) -> None:
    # Opened with its final permissions: at no moment can others read a secret.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def own_keys(path: Path) -> tuple[bytes, bytes]:
    """Read public and secret key from a file that is nobody else's.

    Raises
    ------
    ZmqSecurityError
        Where it is missing, malformed, or others can read it.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise ZmqSecurityError(f"cannot read the secret key {path}: {error}") from error
    if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or facts.st_uid != os.geteuid():
        raise ZmqSecurityError(
            f"the secret key {path} must belong to who runs this, and to nobody else: "
            f"chmod 600 {path}"
        )
    public, secret = _keys(path)
    if secret is None:
        raise ZmqSecurityError(f"{path} holds no secret key: take *.key_secret")
    return public, secret


def public_key(path: Path) -> bytes:
    """Read a public key; raises as ``own_keys`` does."""
    return _keys(path)[0]


def _keys(path: Path) -> tuple[bytes, bytes | None]:
    try:
        if path.stat().st_size > _LARGEST_KEY_FILE:
            raise ZmqSecurityError(f"{path} is too large for a key")
        public, secret = load_certificate(path)
        for key in (public, secret):
            if key is not None and len(z85.decode(key)) != 32:
                raise ZmqSecurityError(f"{path} holds a key of a wrong length")
    except (OSError, ValueError, UnicodeDecodeError, LookupError) as error:
        # Not the text of the error: it could quote the file.
        raise ZmqSecurityError(
            f"{path} is no key file ({type(error).__name__}); ringwatch makes them"
        ) from None
    return public, secret
