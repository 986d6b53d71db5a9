"""A simulated IOC in a process of its own, while the context lasts."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ringwatch.simulated_beamline.epics.addresses import (
    claim_port,
    release_port,
    server_environment,
)

__all__ = ["IocProcess", "missing_packages"]

_START_S = 90.0
_STOP_S = 10.0
_LONGEST_FOLDER = 400


def missing_packages() -> list[str]:
    """What of the extra ``epics`` is not installed."""
    names = {"caproto": "caproto", "epics": "pyepics", "epicscorelibs": "epicscorelibs"}
    return [
        package
        for module, package in names.items()
        if importlib.util.find_spec(module) is None
    ]


class IocProcess:
    """An IOC that serves the beamline of a scenario on the loopback interface.

    Parameters
    ----------
    scenario : dataclass of ``scenarios``
        Its fields travel as JSON.
    folder : Path
        Where the IOC writes; its log too.

    Attributes
    ----------
    prefix : str
        Of its process variables; random, so that no other IOC has the same.
    poni_path, mask_path : Path
        Geometry as calibrated, and mask; once it is started.
    channels : int
        How many process variables it serves, once it is started.

    Raises
    ------
    RuntimeError
        If the extra is not installed, no process variable can hold the folder, or the
        IOC does not come up.
    """

    def __init__(self, scenario: Any, folder: Path) -> None:
        if missing := missing_packages():
            msg = (
                f"The simulated IOC needs {', '.join(missing)}: install the extra, "
                "pip install 'ringwatch[epics]'."
            )
            raise RuntimeError(msg)
        place = str(folder.resolve())
        if not place.isascii() or len(place) > _LONGEST_FOLDER:
            msg = (
                f"{place!r:.300}: ophyd gives paths to an IOC in ASCII, and this one "
                f"takes {_LONGEST_FOLDER} letters; choose another folder."
            )
            raise RuntimeError(msg)
        self.folder = folder
        self.prefix = f"RW{secrets.token_hex(3).upper()}:"
        self.poni_path = self.mask_path = Path()
        self.channels = 0
        self._order = {
            "scenario": type(scenario).__name__,
            "options": dataclasses.asdict(scenario),
            "folder": place,
            "prefix": self.prefix,
        }
        self._port: int | None = None
        self._process: subprocess.Popen[str] | None = None

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

    @property
    def pid(self) -> int:
        """Of the process; -1 where none was started."""
        return -1 if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        """Last line of its log."""
        log = self.folder / "ioc.log"
        lines = log.read_text().split("\n") if log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "nothing")

    def start(self) -> None:
        """Start the IOC and wait until it serves."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._port = claim_port()
        with (self.folder / "ioc.log").open("a") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ringwatch.simulated_beamline.epics.ioc"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                env=os.environ | server_environment(self._port),
                # Ctrl-C is for who started it: the IOC ends when stdin does.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: no answer will tell
            self._process.stdin.write(json.dumps(self._order) + "\n")
            self._process.stdin.flush()
        answer = self._first_line()
        if not answer.startswith("{"):
            self.close()  # so that all it said is in the log
            msg = (
                f"The simulated IOC did not start; it said: {self.last_words}. All of "
                f"that is in {self.folder / 'ioc.log'}."
            )
            raise RuntimeError(msg)
        said = json.loads(answer)
        self.poni_path, self.mask_path = Path(said["poni"]), Path(said["mask"])
        self.channels = said["channels"]

    def _first_line(self) -> str:
        """What the IOC says when it serves; '' when it dies or is not up in time."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        timer = threading.Timer(_START_S, process.kill)
        timer.start()
        try:
            return process.stdout.readline()
        finally:
            timer.cancel()

    def close(self) -> None:
        """Stop the IOC; harmless when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            try:
                process.communicate(timeout=_STOP_S)  # its stdin ends: it stops
            except (subprocess.TimeoutExpired, BrokenPipeError):
                process.kill()
                process.communicate()
        port, self._port = self._port, None
        if port is not None:
            release_port(port)
