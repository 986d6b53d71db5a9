"""A subscriber in a process of its own, which notes when messages arrive.

`python -m ringwatch.benchmarks.listener ADDRESS PARENT`: prints a line of JSON a run,
with the index of each frame and the moment of its first message (seconds of the
machine's clock, which all its processes share). Messages are read when the run has
ended, not before.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from typing import IO, Self

import zmq

from ringwatch.agent.wire.messages import decode

__all__ = ["Listener", "listen", "subscribe"]

_POLL_MS = 1000
_GRACE_S = 5.0


def subscribe(address: str) -> zmq.Socket[bytes]:
    """A socket that hears all that is published at an address, however much waits."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(address)
    socket.subscribe(b"")
    return socket


def listen(address: str, parent: int, out: IO[str]) -> None:
    """Subscribe and tell, until the parent process has gone.

    Parameters
    ----------
    address : str
        Of a 0MQ publisher.
    parent : int
        The process that this one must not outlive, also where it has gone already.
    out : text stream
        Takes the lines.
    """
    socket = subscribe(address)
    came: list[tuple[float, bytes]] = []
    while os.getppid() == parent:
        if not socket.poll(_POLL_MS):
            continue
        message = socket.recv()
        came.append((time.perf_counter(), message))
        if message.split(b" ", 2)[1] == b"stop":
            out.write(json.dumps(_first(came)) + "\n")
            out.flush()
            came.clear()


def _first(came: list[tuple[float, bytes]]) -> dict[int, float]:
    """When the first message of each frame arrived, by the frame's index."""
    first: dict[int, float] = {}
    for moment, message in came:
        name, doc = decode(message)[1:]
        if name == "event":
            first.setdefault(int(doc["data"]["raw_index"]), moment)
    return first


class Listener:
    """The process, and what it tells; ends with the context.

    Parameters
    ----------
    address : str
        Of a 0MQ publisher.
    """

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ringwatch.benchmarks.listener"),
                *(address, str(os.getpid())),
            ],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for who started it
        )
        self._told: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def take(self, timeout: float) -> dict[int, float]:
        """When the first message of each frame of the next run arrived, by its index.

        Raises
        ------
        TimeoutError
            If no run ends in that time, seconds.
        """
        try:
            line = self._told.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no run ended within {timeout:g} s") from None
        return {int(index): moment for index, moment in json.loads(line).items()}

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._told.put(line)


if __name__ == "__main__":
    listen(sys.argv[1], int(sys.argv[2]), sys.stdout)
