"""Keys of CURVE in files, as the two ends of a connection have them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

from ringwatch.agent.wire.security import (
    CurveClient,
    CurveServer,
    KeyPair,
    make_keys,
)


class Keys(NamedTuple):
    """A server, one client that it knows and one that it does not."""

    server: CurveServer
    public: Path
    known: KeyPair
    unknown: KeyPair
    folder: Path

    def client(self, pair: KeyPair, server: Path | None = None) -> CurveClient:
        return CurveClient(secret_key=pair.secret, server_key=server or self.public)


def make_world(folder: Path) -> Keys:
    """Files of all of them."""
    server = make_keys(folder / "server", "server")
    known = make_keys(folder / "known", "known")
    unknown = make_keys(folder / "unknown", "unknown")
    allowed = folder / "allowed"
    allowed.mkdir(mode=0o700)
    shutil.copy(known.public, allowed)
    curve = CurveServer(secret_key=server.secret, allowed_keys=allowed)
    return Keys(curve, server.public, known, unknown, allowed)


def wait_until(condition: Any, timeout: float = 10) -> bool:
    until = time.monotonic() + timeout
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return bool(condition())


class Heard(list[Any]):
    """Remembers names and documents."""

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.append((name, doc))
