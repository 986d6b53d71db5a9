"""A RunEngine with an agent beside it, as a user attaches one; and what a run says."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.beamline import Beamline


class Documents:
    """All documents of a RunEngine."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.all.append((name, doc))

    def of(self, name: str) -> list[Any]:
        return [doc for known, doc in self.all if known == name]

    def events(self, stream: str) -> list[dict[str, Any]]:
        streams = {doc["uid"] for doc in self.of("descriptor") if doc["name"] == stream}
        return [doc["data"] for doc in self.of("event") if doc["descriptor"] in streams]


class Late:
    """A sink that hands each document on so many seconds later, in its own thread."""

    def __init__(self, verdicts: Verdicts, seconds: float) -> None:
        self.verdicts, self.seconds = verdicts, seconds
        self.sent = self.failed = self.pending = 0
        self._waiting: list[tuple[float, str, dict[str, Any]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def put(self, name: str, doc: dict[str, Any]) -> None:
        self._waiting.append((time.monotonic() + self.seconds, name, doc))

    def _work(self) -> None:
        while not self._ended.wait(0.005):
            while self._waiting and self._waiting[0][0] < time.monotonic():
                self.verdicts.put(*self._waiting.pop(0)[1:])

    def flush(self, timeout: float) -> bool:
        return True

    def close(self, timeout: float = 0.0) -> bool:
        self._ended.set()
        self._thread.join()
        return True


@contextlib.contextmanager
def attached(
    beamline: Beamline,
    *,
    late_s: float = 0.0,
    patience_s: float = 10.0,
    **options: Any,
) -> Iterator[tuple[Any, Verdicts, Agent, Documents]]:
    """RunEngine, verdicts, agent and the documents of the former."""
    verdicts = Verdicts(patience_s=patience_s)
    engine, documents = RunEngine({}, **options), Documents()
    with Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        classifier="none",
        sinks=(Late(verdicts, late_s) if late_s else verdicts,),
    ) as agent:
        verdicts.watch(agent)
        assert agent.wait_idle(120)
        engine.subscribe(agent)
        engine.subscribe(verdicts.announce)
        engine.subscribe(documents)
        yield engine, verdicts, agent, documents
