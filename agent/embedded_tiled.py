"""A Tiled server of one's own, for the demo, the tests and a first look.

It listens on the loopback interface only, keeps its data in a folder, and speaks the
documents of stored Bluesky runs. For production, run a real Tiled server.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ringwatch.agent.errors import SinkError
from ringwatch.agent.tiled_client import (
    CATALOG_SPEC,
    connect,
    disconnect,
    find_or_create,
)

__all__ = ["EmbeddedTiled"]

START_S = 60.0
STOP_S = 20.0


class EmbeddedTiled:
    """A Tiled server in a process of its own, while the context lasts.

    A process, because a server in a thread shares the interpreter with the agent and
    the RunEngine and slows all three.

    Parameters
    ----------
    directory : path
        Where the server keeps its databases and arrays; made if it is not there.
    readable_storage : sequence of path
        Folders with detector files that the server may serve.
    api_key : str, optional
        Secret that clients need, letters and digits; by default a fresh one.
    port : int
        0 takes a free one.
    streams : bool
        Whether clients may subscribe to what is being written, by websocket.

    Raises
    ------
    SinkError
        If the key has other signs, or if the server does not come up.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        readable_storage: Sequence[str | Path] = (),
        api_key: str | None = None,
        port: int = 0,
        streams: bool = True,
    ) -> None:
        self.directory = Path(directory)
        self.api_key = api_key or secrets.token_hex(16)
        if not self.api_key.isalnum():
            raise SinkError(
                "the API key of a Tiled server must be of letters and digits only; "
                "make one with secrets.token_hex(16)"
            )
        self._storage = [str(Path(folder).resolve()) for folder in readable_storage]
        self._port = port
        self.streams = streams
        self._process: subprocess.Popen[str] | None = None
        self._client: Any = None
        self.uri = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server and wait until it answers; ``uri`` then holds its address.

        A server that was closed can be started again: same folder, key and port.
        One that does not come up, or whose start is interrupted, is ended.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)  # no `with` holds the server before it is up
            self._start()
            undo.pop_all()

    def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "server.log"
        order = {
            "directory": str(self.directory.resolve()),
            "readable_storage": self._storage,
            "port": self._port,
            "streams": self.streams,
        }
        # The key goes through the environment: other users can read a command line.
        with log.open("a") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ringwatch.agent.tiled_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                env=os.environ | {"TILED_EMBEDDED_KEY": self.api_key},
                # Ctrl-C is for who started it: the server ends when stdin does.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: no answer will tell
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        answer = self._first_line()
        if not answer.startswith("port "):
            raise SinkError(f"the embedded Tiled server did not start; see {log}")
        self._port = int(answer.split()[1])
        self.uri = f"http://127.0.0.1:{self._port}"

    def _first_line(self) -> str:
        """What the server says when it is up; '' when it dies or is not up in time."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        timer = threading.Timer(START_S, process.kill)
        timer.start()
        try:
            return process.stdout.readline()
        finally:
            timer.cancel()

    def client(self) -> Any:
        """The root container, as a Tiled client; closed with the server."""
        if self._client is None:
            self._client = connect(self.uri, self.api_key)
        return self._client

    def catalog(self, name: str) -> Any:
        """The catalogue of Bluesky runs called ``name``, made if it is not there."""
        return find_or_create(self.client(), name, specs=[CATALOG_SPEC])

    def close(self) -> None:
        """Stop the server; harmless when it is not running."""
        if self._client is not None:
            disconnect(self._client)
            self._client = None
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=STOP_S)  # its stdin ends: it stops by itself
        except (subprocess.TimeoutExpired, BrokenPipeError):
            process.kill()
            process.communicate()
