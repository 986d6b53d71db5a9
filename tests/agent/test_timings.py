"""Every verdict says how long each stage took, and no comparison looks at that."""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from event_model import DocumentNames, schema_validators

from ringwatch.agent import Agent
from ringwatch.agent.cli.compare import BOOKKEEPING
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.timings import STAGES, TIMINGS, Stopwatch
from ringwatch.models.prediction import Prediction
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import step_scan
from ringwatch.simulated_beamline.scenarios import powder_beamline
from ringwatch.simulated_beamline.stream_detector import StreamDetector

from .service import inline_run


class Waits:
    """A classifier that takes so long, and then knows nothing."""

    identity = "waits"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def predict(self, *_: Any) -> Prediction:
        time.sleep(self.seconds)
        raise ZeroDivisionError("it knows nothing")


@pytest.fixture
def detector(ring_source: ListedFrames, tmp_path: Path) -> StreamDetector:
    return StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.001
    )


def happened(event: dict[str, Any]) -> set[str]:
    """Stages that an event says took place."""
    return {name for name in STAGES if not math.isnan(event[name])}


def test_a_stopwatch_adds_up_and_outlives_failures() -> None:
    watch = Stopwatch(time.monotonic() - 5.0)
    for _ in range(3):
        with watch("read_ms"):
            time.sleep(0.02)
    with pytest.raises(FileNotFoundError), watch("reduce_ms"):
        Path("/nowhere/gone").read_bytes()
    stages = watch.stages(time.monotonic())
    assert 5000 <= stages.wait_ms < 6000  # the stages are no part of it
    assert 60 <= stages.read_ms < 1000
    assert 0 < stages.reduce_ms < 1000
    assert math.isnan(stages.flags_ms)
    assert math.isnan(stages.classify_ms)


@pytest.mark.alone
def test_the_stopwatch_costs_little_beside_a_frame() -> None:
    costs = []
    for _ in range(2000):
        began = time.perf_counter()
        watch = Stopwatch(began)
        for stage in ("read_ms", "read_ms", "reduce_ms", "flags_ms", "classify_ms"):
            with watch(stage):  # type: ignore[arg-type]
                pass
        _ = watch.stages(time.monotonic())
        costs.append(time.perf_counter() - began)
    assert statistics.median(costs) < 20e-6


def test_every_event_says_how_long_its_stages_took(
    run_engine: RunEngine, detector: Any, poni: Path, memory_sink: MemorySink
) -> None:
    agent = Agent(poni=poni, sinks=(memory_sink,))
    assert agent.wait_idle(120)
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 6))
    assert agent.close()
    for name, doc in memory_sink.documents:
        schema_validators[DocumentNames[name]].validate(doc)
        if name == "descriptor":
            units = {key: doc["data_keys"][key].get("units") for key in TIMINGS}
            assert units == dict.fromkeys(TIMINGS, "ms")
    events = memory_sink.events()
    assert len(events) == 6
    for event in events:
        assert happened(event) == set(STAGES)
        taken = [event[name] for name in STAGES]
        assert all(type(value) is float and value >= 0 for value in taken)
        assert 0.5 * event["latency_ms"] < sum(taken) <= event["latency_ms"] + 0.1


def test_each_stage_gets_its_own_time(
    run_engine: RunEngine, detector: Any, poni: Path, memory_sink: MemorySink
) -> None:
    """A classifier that takes 0.2 s: the next frames wait, and all else stays quick."""
    agent = Agent(poni=poni, classifier=Waits(0.2), sinks=(memory_sink,))
    assert agent.wait_idle(120)
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 4))
    assert agent.close()
    events = memory_sink.events()
    assert all(200 <= e["classify_ms"] < 1000 for e in events)
    assert all(e["read_ms"] + e["reduce_ms"] < 200 for e in events)
    assert events[3]["wait_ms"] > 300 + events[0]["wait_ms"]
    # It failed in the end, and the time that it took is told all the same.
    assert all("ZeroDivisionError" in e["reason"] for e in events)


def test_what_did_not_happen_takes_no_time(
    run_engine: RunEngine, detector: Any, poni: Path, memory_sink: MemorySink
) -> None:
    agent = Agent(
        poni=poni, classifier="none", sinks=(memory_sink,), read_timeout_s=0.3
    )
    documents: list[tuple[str, Any]] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    run_engine(step_scan(detector, 2))
    for name, doc in documents:
        agent(name, doc)
    assert agent.wait_idle(120)
    for path in detector.folder.rglob("*.h5"):
        path.unlink()
    for name, doc in _renamed(documents):
        agent(name, doc)
    assert agent.close()
    found, lost = memory_sink.events()[:2], memory_sink.events()[2:]
    for event in found:
        assert happened(event) == set(STAGES) - {"classify_ms"}
    assert [e["verdict"] for e in lost] == ["unknown", "unknown"]
    assert all(happened(event) == {"wait_ms", "read_ms"} for event in lost)
    assert lost[0]["read_ms"] >= 300  # so long it was waited for


def _renamed(documents: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The same run once more, under other names."""
    names = {doc["uid"]: f"again-{doc['uid']}" for _, doc in documents if "uid" in doc}
    referring = ("uid", "run_start", "descriptor", "stream_resource")
    return [
        (
            name,
            doc | {k: names.get(doc[k], doc[k]) for k in referring if k in doc},
        )
        for name, doc in documents
    ]


def test_a_frame_that_was_left_out_has_waited_only(
    run_engine: RunEngine, tmp_path: Path, memory_sink: MemorySink
) -> None:
    """And what the second pass says of it has not waited, but was read and judged."""
    beamline = powder_beamline(tmp_path, detector=256)
    documents: list[tuple[str, Any]] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    run_engine(beamline.step_scan(6))  # three are on their way when it is late
    agent = Agent(
        poni=beamline.poni_path,
        classifier=Waits(0.3),
        sinks=(memory_sink,),
        shed_labels_after_s=0.1,
        shed_frames_after_s=0.2,
    )
    assert agent.wait_idle(120)
    for name, doc in documents:
        agent(name, doc)
    assert agent.wait_idle(60)
    assert agent.close()
    assert (agent.counters.shed_frames, agent.counters.shed_labels) == (3, 0)
    events = memory_sink.events("primary")
    shed = [e for e in events if "left out for now" in e["reason"] and not e["final"]]
    assert len(shed) == 3
    for event in shed:
        assert happened(event) == {"wait_ms"}
        assert event["wait_ms"] == pytest.approx(event["latency_ms"], abs=50)
    again = [e for e in events if e["final"] and e["revision"] == 1]
    assert len(again) == 3
    for event in again:
        assert happened(event) == set(STAGES)
        assert event["wait_ms"] < 100
        assert event["read_ms"] > 0.01  # it was read ahead of being judged


def test_darks_are_read_and_not_judged(
    poni: Path, memory_sink: MemorySink, ring_frames: list[Any]
) -> None:
    (_, start), *others = inline_run(ring_frames[:2])
    agent = Agent(poni=poni, classifier="none", sinks=(memory_sink,))
    for name, doc in [("start", start | {"dark_frame": True}), *others]:
        agent(name, doc)
    assert agent.close()
    (first, second) = memory_sink.events()
    assert happened(first) == happened(second) == {"wait_ms", "read_ms"}


def test_no_timing_is_ever_compared() -> None:
    assert set(TIMINGS) < BOOKKEEPING
    assert set(TIMINGS) == {"latency_ms", *STAGES}
