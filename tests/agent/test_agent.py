"""The agent beside a real RunEngine: what it costs, and what happens when it fails."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from numpy.typing import NDArray

from ringwatch.agent import Agent
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.models.prediction import Prediction
from ringwatch.simulated_beamline.area_detector import InlineDetector
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

POINTS = 50


class Raises:
    """A classifier that fails on every pattern."""

    identity = "raises"

    def predict(self, *_: Any) -> Prediction:
        raise ZeroDivisionError("the classifier is broken")


class Takes:
    """A classifier that takes its time."""

    identity = "slow"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.released = threading.Event()

    def predict(self, *_: Any) -> Prediction:
        self.released.wait(self.seconds)
        raise ZeroDivisionError("slow, and then broken")


def scan_seconds(engine: RunEngine, detector: Any, points: int = POINTS) -> float:
    began = time.perf_counter()
    engine(step_scan(detector, points))
    return time.perf_counter() - began


@pytest.fixture
def detector(ring_source: ListedFrames, tmp_path: Path) -> StreamDetector:
    return StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.005
    )


def test_every_frame_has_a_verdict(
    run_engine: RunEngine, detector: Any, poni: Path, memory_sink: MemorySink
) -> None:
    agent = Agent(
        poni=poni, detector="det_image", classifier="none", sinks=(memory_sink,)
    )
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 12))
    assert agent.wait_idle(30)
    verdicts = memory_sink.events()
    assert [v["raw_index"] for v in verdicts] == list(range(12))
    assert {v["verdict"] for v in verdicts} == {"good"}, verdicts[0]["reason"]
    assert agent.counters.announced == agent.counters.analysed == 12
    assert agent.pending == 0
    assert agent.close()


@pytest.mark.parametrize("kind", [StreamDetector, InlineDetector])
def test_callback_costs_less_than_a_fifth_of_a_millisecond(
    kind: Any,
    run_engine: RunEngine,
    ring_source: ListedFrames,
    poni: Path,
    tmp_path: Path,
) -> None:
    detector = kind(name="det", source=ring_source, folder=tmp_path, exposure_time=0.01)
    agent = Agent(poni=poni, classifier="none")
    costs: list[float] = []

    def timed(name: str, doc: dict[str, Any]) -> None:
        began = time.perf_counter()
        agent(name, doc)
        costs.append(time.perf_counter() - began)

    run_engine.subscribe(timed)
    run_engine(step_scan(detector, POINTS))
    agent.close()
    assert len(costs) > POINTS
    assert statistics.median(costs) < 0.2e-3


@pytest.mark.parametrize(
    "classifier", [Raises(), Takes(2.0), Takes(1e9)], ids=["raises", "2 s", "hangs"]
)
def test_scan_is_not_delayed_by_a_broken_worker(
    classifier: Any, run_engine: RunEngine, detector: Any, poni: Path
) -> None:
    alone = scan_seconds(run_engine, detector)
    agent = Agent(poni=poni, detector="det_image", classifier=classifier)
    run_engine.subscribe(agent)
    together = scan_seconds(run_engine, detector)
    # Noise of a shared machine; a single 2 s frame would already break this.
    assert together < 1.5 * alone + 0.5
    if isinstance(classifier, Takes):
        classifier.seconds = 0.0
        classifier.released.set()
    assert agent.close(30)
    assert agent.counters.announced == POINTS


def test_failing_frame_is_unknown_with_its_reason(
    run_engine: RunEngine,
    detector: Any,
    poni: Path,
    memory_sink: MemorySink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent(
        poni=poni, detector="det_image", classifier=Raises(), sinks=(memory_sink,)
    )
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 3))
    agent.close()
    verdicts = memory_sink.events()
    assert [v["verdict"] for v in verdicts] == ["unknown"] * 3
    assert all("the classifier is broken" in v["reason"] for v in verdicts)
    assert all(v["primary_flag"] == "pipeline" for v in verdicts)
    assert "ZeroDivisionError" in caplog.text


def test_full_queue_sheds_pixels_but_no_frame(
    poni: Path,
    run_engine: RunEngine,
    ring_source: ListedFrames,
    memory_sink: MemorySink,
) -> None:
    """Three frames fit into the queue; the others are unknown, and say why."""
    slow = Takes(1e9)
    size = int(np.prod(ring_source.shape)) * 2
    agent = Agent(
        poni=poni, classifier=slow, sinks=(memory_sink,), max_pending_bytes=3 * size
    )
    run_engine.subscribe(agent)
    run_engine(step_scan(InlineDetector(name="det", source=ring_source), 20))
    slow.seconds = 0.0
    slow.released.set()
    agent.close()
    verdicts = memory_sink.events()
    assert [v["raw_index"] for v in verdicts] == list(range(20))
    shed = [v for v in verdicts if "queue was full" in v["reason"]]
    assert 10 <= len(shed) <= 17
    assert {v["verdict"] for v in shed} == {"unknown"}


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        ("event", None),
        ("event", {}),
        ("event", {"data": None}),
        ("start", {}),
        ("nonsense", {"a": 1}),
        ("descriptor", {"run_start": "unheard of"}),
        (None, 3),
    ],
)
def test_callback_never_raises(
    name: Any,
    doc: Any,
    poni: Path,
    run_engine: RunEngine,
    detector: Any,
    memory_sink: MemorySink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    agent = Agent(poni=poni, classifier="none", sinks=(memory_sink,))
    agent(name, doc)
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 2))
    agent.close()
    assert caplog.records  # said, not swallowed
    assert len(memory_sink.events()) == 2
    agent("start", {})  # after the end: no exception either


def bad_frames() -> dict[str, tuple[NDArray[Any], str, str]]:
    """Frames with the verdict they deserve and a word of the reason."""
    shape = (192, 176)
    nan = np.full(shape, np.nan, np.float32)
    return {
        "all NaN": (nan, "bad", "invalid_values"),
        "all zeros": (np.zeros(shape, np.uint16), "bad", "no_beam"),
        "other shape": (np.ones((50, 60), np.uint16), "unknown", "(50, 60)"),
    }


@pytest.mark.parametrize("case", bad_frames())
def test_bad_frames_are_named(
    case: str, poni: Path, run_engine: RunEngine, memory_sink: MemorySink
) -> None:
    frame, word, told = bad_frames()[case]
    agent = Agent(poni=poni, classifier="none", sinks=(memory_sink,))
    run_engine.subscribe(agent)
    run_engine(step_scan(InlineDetector(name="det", source=ListedFrames([frame])), 2))
    agent.close()
    for verdict in memory_sink.events():
        assert verdict["verdict"] == word
        assert told in f"{verdict['primary_flag']}: {verdict['reason']}"
    assert len(memory_sink.events()) == 2


def test_missing_file_costs_verdicts_but_no_scan(
    poni: Path, run_engine: RunEngine, detector: Any, memory_sink: MemorySink
) -> None:
    agent = Agent(
        poni=poni, classifier="none", sinks=(memory_sink,), read_timeout_s=0.1
    )

    def elsewhere(name: str, doc: dict[str, Any]) -> None:
        if name == "stream_resource":
            doc = {**doc, "uri": doc["uri"].replace(".h5", "-moved.h5")}
        agent(name, doc)

    run_engine.subscribe(elsewhere)
    run_engine(step_scan(detector, 4))
    agent.close()
    verdicts = memory_sink.events()
    assert [v["verdict"] for v in verdicts] == ["unknown"] * 4
    assert all("is not there" in v["reason"] for v in verdicts)
