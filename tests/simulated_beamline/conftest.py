"""A RunEngine whose documents are all checked against event-model's schemas."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine, RunEngineInterrupted
from event_model import DocumentNames, schema_validators

from ringwatch.simulated_beamline.area_detector import AreaDetector
from ringwatch.simulated_beamline.readout import ListedFrames


class Recorded:
    """Run plans and keep their documents."""

    def __init__(self) -> None:
        self.engine = RunEngine({}, call_returns_result=False)
        self.documents: list[tuple[str, dict[str, Any]]] = []
        self.engine.subscribe(self._record)

    def _record(self, name: str, doc: dict[str, Any]) -> None:
        schema_validators[DocumentNames[name]].validate(doc)
        self.documents.append((name, doc))

    def run(self, plan: Any) -> str:
        (uid,) = self.engine(plan)
        return uid

    def all(self, name: str) -> list[dict[str, Any]]:
        return [doc for kind, doc in self.documents if kind == name]

    def events(self, stream: str) -> list[dict[str, Any]]:
        ours = {d["uid"] for d in self.all("descriptor") if d["name"] == stream}
        return [doc for doc in self.all("event") if doc["descriptor"] in ours]

    def data(self, stream: str, key: str) -> list[Any]:
        return [event["data"][key] for event in self.events(stream)]

    def stream_datums(self, stream: str) -> list[dict[str, Any]]:
        ours = {d["uid"] for d in self.all("descriptor") if d["name"] == stream}
        return [doc for doc in self.all("stream_datum") if doc["descriptor"] in ours]

    @property
    def counts(self) -> Counter[str]:
        return Counter(name for name, _ in self.documents)

    @property
    def path(self) -> str:
        (resource,) = self.all("stream_resource") + self.all("resource")
        if "uri" in resource:
            return str(resource["uri"]).removeprefix("file://localhost")
        return str(resource["root"]) + str(resource["resource_path"])


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


class PausesAt:
    """A source that asks the RunEngine for a pause while it exposes its n-th frame."""

    def __init__(self, source: Any, engine: RunEngine, frame: int) -> None:
        self._source, self._engine = source, engine
        self._frame, self._taken = frame, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read_out(self, exposure_time: float) -> Any:
        self._taken += 1
        if self._taken == self._frame:
            pausing = threading.Event()
            self._engine.state_hook = lambda *_: pausing.set()
            threading.Thread(target=self._engine.request_pause).start()
            assert pausing.wait(10)
            self._engine.state_hook = None
        return self._source.read_out(exposure_time)


@pytest.fixture
def interrupted(recorded: Recorded) -> Callable[[Any, Any, int], None]:
    """Run a plan, pause while the detector exposes its n-th frame, resume."""

    def run(plan: Any, detector: Any, frame: int) -> None:
        detector.source = PausesAt(detector.source, recorded.engine, frame)
        with pytest.raises(RunEngineInterrupted):
            recorded.engine(plan)
        assert recorded.engine.state == "paused"
        recorded.engine.resume()

    return run


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., AreaDetector]:
    def build(kind: type[AreaDetector], source: Any = None) -> AreaDetector:
        frames = [np.full((16, 12), value, np.uint16) for value in range(50)]
        return kind(
            name="det",
            source=source or ListedFrames(frames),
            folder=tmp_path / "frames",
            exposure_time=0.01,
        )

    return build
