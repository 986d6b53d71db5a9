"""``ringwatch serve`` as a process, and a run of frames to send to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from event_model import compose_run

from ringwatch.agent.results import NamedDocument

from .derived_documents import wait_until

COMMAND = str(Path(sys.executable).with_name("ringwatch"))


class Service:
    """A service with its settings and its log; ends with the ``with`` block."""

    command: ClassVar[tuple[str, ...]] = (COMMAND,)

    def __init__(self, config: Path, *options: str, **environment: str) -> None:
        self._log = config.with_suffix(".log")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*self.command, "serve", "--config", str(config), *options],
                stderr=log,
                env=os.environ | environment,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, text: str, seconds: float = 60.0) -> bool:
        """Whether it comes to say that, without ending before."""
        return wait_until(
            lambda: text in self.log or self.process.poll() is not None, seconds
        ) and (text in self.log)

    def address(self, of: str) -> str:
        """Where its ``documents`` come from or its ``verdicts`` go."""
        assert self.says("documents from"), self.log
        found = re.search(of + r" (?:from|at) (tcp://[\w.:]+)", self.log)
        assert found is not None, self.log
        return found[1]

    def end(self, seconds: float = 60.0) -> int:
        """SIGTERM; with what it ends."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def inline_run(frames: Iterable[Any]) -> list[NamedDocument]:
    """Documents of a run whose events hold their frames."""
    run = compose_run()
    frames = list(frames)
    key = {"source": "test", "dtype": "array", "shape": list(frames[0].shape)}
    stream = run.compose_descriptor(name="primary", data_keys={"image": key})
    events = [
        stream.compose_event(
            data={"image": frame}, timestamps={"image": 0.0}, validate=False
        )
        for frame in frames
    ]
    return [
        ("start", dict(run.start_doc)),
        ("descriptor", dict(stream.descriptor_doc)),
        *(("event", dict(event)) for event in events),
        ("stop", dict(run.compose_stop())),
    ]
