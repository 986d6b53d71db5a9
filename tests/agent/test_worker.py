"""Nothing stops the worker, and nothing is lost by it: cases that once went wrong."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from event_model import compose_run
from numpy.typing import NDArray

from ringwatch.agent import Agent
from ringwatch.agent.agent import Agent as RealAgent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import AgentClosedError, GeometryError, SinkError
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import step_scan
from ringwatch.simulated_beamline.scenarios import powder_beamline
from ringwatch.simulated_beamline.stream_detector import StreamDetector


def record(engine: RunEngine, plan: Any) -> list[tuple[str, dict[str, Any]]]:
    documents: list[tuple[str, dict[str, Any]]] = []
    token = engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(plan)
    engine.unsubscribe(token)
    return documents


@pytest.fixture
def detector(ring_source: ListedFrames, tmp_path: Path) -> StreamDetector:
    return StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.001
    )


@pytest.fixture
def agent(poni: Path, memory_sink: MemorySink) -> RealAgent:
    return Agent(
        poni=poni, classifier="none", sinks=(memory_sink,), read_timeout_s=0.05
    )


def inline_run(frames: list[Any], key: dict[str, Any]) -> list[tuple[str, Any]]:
    run = compose_run()
    stream = run.compose_descriptor(
        name="primary",
        data_keys={"det_image": {"source": "test", "dtype": "array", **key}},
    )
    events = [
        stream.compose_event(
            data={} if f is None else {"det_image": f},
            timestamps={} if f is None else {"det_image": 0.0},
            validate=False,
        )
        for f in frames
    ]
    return [
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
        *(("event", event) for event in events),
        ("stop", run.compose_stop()),
    ]


def feed(agent: RealAgent, documents: list[tuple[str, Any]]) -> None:
    for name, doc in documents:
        agent(name, doc)


def test_files_may_change_while_the_agent_runs(
    run_engine: RunEngine, detector: Any, poni: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.poni"
    mine.write_text(poni.read_text())
    sink = MemorySink()
    agent = Agent(poni=mine, classifier="none", sinks=(sink,))
    mine.unlink()
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 3))
    assert agent.close()
    assert len(sink.events()) == 3
    with Agent(poni=poni, classifier="none") as other:
        assert (
            sink.documents[0][1]["geometry_hash"]
            == (other.analysis.hashes["geometry_hash"])
        )


def test_frames_of_an_unannounced_resource_are_unknown(
    run_engine: RunEngine, detector: Any, agent: RealAgent, memory_sink: MemorySink
) -> None:
    documents = record(run_engine, step_scan(detector, 3))
    feed(agent, [pair for pair in documents if pair[0] != "stream_resource"])
    assert agent.close()
    assert [v["verdict"] for v in memory_sink.events()] == ["unknown"] * 3
    assert all("never announced" in v["reason"] for v in memory_sink.events())


def test_open_lengths_and_missing_images_lose_no_frame(
    agent: RealAgent, memory_sink: MemorySink, ring_frames: list[NDArray[Any]]
) -> None:
    feed(agent, inline_run([ring_frames[0], None], {"shape": [None, 176]}))
    assert agent.close()
    words = [v["verdict"] for v in memory_sink.events()]
    assert words == ["good", "unknown"], [v["reason"] for v in memory_sink.events()]


def test_shedding_another_array_costs_the_frame_nothing(
    run_engine: RunEngine, detector: Any, poni: Path
) -> None:
    """A waveform beside it is dropped; the frame is in its file all the same."""
    documents = []
    for name, doc in record(run_engine, step_scan(detector, 5)):
        changed = dict(doc)
        if name == "event" and "det_frame_number" in doc["data"]:
            changed["data"] = {**doc["data"], "scope": np.zeros(1000)}
        documents.append((name, changed))
    sink = MemorySink()
    agent = Agent(poni=poni, classifier="none", sinks=(sink,), max_pending_bytes=1)
    feed(agent, documents)
    assert agent.close()
    assert Counter(v["raw_index"] for v in sink.events()) == dict.fromkeys(range(5), 1)
    assert {v["verdict"] for v in sink.events()} == {"good"}


def test_waiting_in_our_own_queue_loses_no_readbacks(
    run_engine: RunEngine, detector: Any, poni: Path
) -> None:
    """The event came at once; that the worker was slow to look does not count."""

    class Slow:
        identity = "slow"

        def predict(self, *_: Any) -> Any:
            time.sleep(0.1)
            raise ValueError

    documents = record(run_engine, step_scan(detector, 6))
    sink = MemorySink()
    agent = Agent(poni=poni, classifier=Slow(), sinks=(sink,), hold_s=0.05)
    feed(agent, documents)
    assert agent.close()
    assert not any(np.isnan(v["raw_time"]) for v in sink.events())


class Refuses(MemorySink):
    """A sink with a defect."""

    def put(self, name: str, doc: dict[str, Any]) -> None:
        raise RuntimeError("this sink is broken")


def test_a_broken_sink_costs_the_others_nothing(
    run_engine: RunEngine, detector: Any, poni: Path, memory_sink: MemorySink
) -> None:
    agent = Agent(poni=poni, classifier="none", sinks=(Refuses(), memory_sink))
    run_engine.subscribe(agent)
    run_engine(step_scan(detector, 4))
    assert agent.close()
    assert [v["raw_index"] for v in memory_sink.events()] == [0, 1, 2, 3]
    assert agent.counters.lost == 0


def test_runs_without_a_stop_are_closed(
    run_engine: RunEngine, detector: Any, agent: RealAgent, memory_sink: MemorySink
) -> None:
    documents = record(run_engine, step_scan(detector, 2))
    feed(agent, documents[:-1])
    assert agent.close()
    name, stop = memory_sink.documents[-1]
    assert name == "stop"
    assert stop["raw_exit_status"] == "abandoned"
    assert stop["exit_status"] == "success"


def test_many_abandoned_runs_do_not_pile_up(agent: RealAgent) -> None:
    for _ in range(100):
        feed(agent, inline_run([np.ones((192, 176))], {"shape": [192, 176]})[:-1])
    assert agent.wait_idle(60)
    assert len(agent._worker._runs) <= 64
    assert agent.close()
    assert not agent._worker._runs


def test_unreadable_dark_is_not_passed_over(
    run_engine: RunEngine, tmp_path: Path, memory_sink: MemorySink
) -> None:
    beamline = powder_beamline(tmp_path, detector=256)
    agent = Agent(
        poni=beamline.poni_path,
        classifier="none",
        sinks=(memory_sink,),
        read_timeout_s=0.05,
    )
    documents = []
    for name, doc in record(run_engine, beamline.step_scan(3, darks=2)):
        changed = dict(doc)
        if name == "stream_resource" and not any(n == name for n, _ in documents):
            changed["uri"] = doc["uri"].replace(".h5", "-gone.h5")
        documents.append((name, changed))
    feed(agent, documents)
    assert agent.close()
    assert [v["verdict"] for v in memory_sink.events("dark")] == ["unknown"] * 2
    assert [v["verdict"] for v in memory_sink.events("primary")] == ["unknown"] * 3
    reasons = [v["reason"] for v in memory_sink.events("primary")]
    assert all("dark frame could not be read" in reason for reason in reasons)


def test_dark_run_that_never_passed_is_fetched_from_tiled(
    server: EmbeddedTiled, run_engine: RunEngine, tmp_path: Path
) -> None:
    beamline = powder_beamline(tmp_path, detector=256)
    token = run_engine.subscribe(TiledWriter(server.catalog("raw"), batch_size=10))
    (dark_uid,) = run_engine(beamline.dark_run(2))
    run_engine.unsubscribe(token)
    scan = beamline.step_scan(3, md={"sc_dk_field_uid": dark_uid})
    documents = record(run_engine, scan)
    sinks = MemorySink(), MemorySink()
    for sink, tiled in zip(sinks, (server.uri, None), strict=True):
        agent = Agent(
            poni=beamline.poni_path,
            classifier="none",
            sinks=(sink,),
            tiled=tiled,
            api_key=server.api_key,
        )
        feed(agent, documents)
        assert agent.close()
    with_tiled, without = sinks
    assert [v["verdict"] for v in with_tiled.events()] == ["good"] * 3
    assert [v["verdict"] for v in without.events()] == ["unknown"] * 3
    assert all(dark_uid in v["reason"] for v in without.events())


def test_dark_of_another_shape_is_an_error_at_start(poni: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dark.npy", np.zeros((50, 60)))
    with pytest.raises(GeometryError, match=r"dark\.npy"):
        Agent(poni=poni, dark=tmp_path / "dark.npy", classifier="none")


def test_failed_construction_frees_the_port(poni: Path) -> None:
    with Agent(poni=poni, classifier="none", publish="tcp://127.0.0.1:*") as first:
        address = first.address
    with pytest.raises(SinkError):
        Agent(poni=poni, classifier="none", publish=address, tiled="no address")
    Agent(poni=poni, classifier="none", publish=address).close()


def test_wait_idle_waits_for_held_frames(
    run_engine: RunEngine, detector: Any, poni: Path, memory_sink: MemorySink
) -> None:
    documents = record(run_engine, step_scan(detector, 3))
    agent = Agent(poni=poni, classifier="none", sinks=(memory_sink,), hold_s=0.3)
    feed(agent, [pair for pair in documents if pair[0] not in ("event", "stop")])
    assert agent.wait_idle(10)
    assert len(memory_sink.events()) == 3
    agent.close()


def test_feed_waits_for_room_and_sheds_nothing(
    poni: Path, ring_frames: list[NDArray[Any]], memory_sink: MemorySink
) -> None:
    agent = Agent(
        poni=poni, classifier="none", sinks=(memory_sink,), max_pending_bytes=1
    )
    for name, doc in inline_run(ring_frames[:10], {"shape": [192, 176]}):
        agent.feed(name, doc)
    assert agent.close()
    assert {v["verdict"] for v in memory_sink.events()} == {"good"}
    with pytest.raises(AgentClosedError):
        agent.feed("start", {})
