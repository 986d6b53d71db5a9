"""``ringwatch serve`` as a process that can be killed, and what it left in Tiled."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bluesky.callbacks.zmq import Publisher
from tiled.queries import Key

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.wire.messages import encode

__all__ = ["Service", "complete", "finals", "kill_all", "publisher", "wait"]

_begun: list[subprocess.Popen[bytes]] = []
COMMAND = str(Path(sys.executable).with_name("ringwatch"))
PATIENCE_S = 120.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Service:
    """``ringwatch serve`` in a process of its own."""

    def __init__(self, folder: Path, server: EmbeddedTiled, **settings: Any) -> None:
        self.folder, self.server = folder, server
        self.port = free_port()
        lines = {
            "documents": [f"tcp://127.0.0.1:{self.port}"],
            "documents_bind": True,
            "tiled": server.uri,
            "state": str(folder / "state"),
            "classifier": "none",
            **settings,
        }
        # What JSON says of texts, lists and truths TOML reads as well.
        text = [
            f"{key} = {json.dumps(value)}"
            for key, value in lines.items()
            if value is not None
        ]
        self.config = folder / "agent.toml"
        self.config.write_text("\n".join(text) + "\n")
        self.log = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [COMMAND, "serve", "--config", str(self.config)],
                stderr=log,
                env=os.environ | {"TILED_API_KEY": self.server.api_key},
            )
        _begun.append(self.process)
        wait(self._is_up)

    def _is_up(self) -> bool:
        assert self.process is not None
        said = self.log.read_text()
        assert self.process.poll() is None, said
        return "documents from" in said

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def kill_all() -> None:
    """No service outlives its test, however that ended."""
    while _begun:
        process = _begun.pop()
        process.kill()
        process.wait()


@contextmanager
def publisher(port: int) -> Iterator[Publisher]:
    def packed(doc: dict[str, Any]) -> bytes:
        return encode("", doc, b"").split(b" ", 2)[2]

    made = Publisher(f"127.0.0.1:{port}", serializer=packed)
    try:
        time.sleep(0.5)  # the slow joiner: what is lost is found in Tiled
        yield made
    finally:
        made.close()


def finals(tiled: EmbeddedTiled, container: str, uid: str) -> Counter[int]:
    """Final verdicts in Tiled, by frame."""
    found: Counter[int] = Counter()
    analysis = tiled.client()[container]
    for run in analysis.search(Key("raw_uid") == uid).values():
        table = run["primary"].base["internal"].read(["raw_index", "final"])
        found.update(int(i) for i in table["raw_index"][table["final"]])
    return found


def complete(tiled: EmbeddedTiled, container: str, uid: str) -> bool:
    """Whether a derived run of it has stopped."""
    if container not in tiled.client():
        return False
    runs = tiled.client()[container].search(Key("raw_uid") == uid).values()
    return any(run.metadata.get("stop") for run in runs)


def wait(what: Any, *given: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what(*given):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.3)
