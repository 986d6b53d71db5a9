"""What is taught takes effect as a run starts: no frame lost, one id a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from event_model import DocumentNames, schema_validators

from ringwatch.agent import Agent
from ringwatch.agent.analysis import Analysis
from ringwatch.agent.inbox import Inbox
from ringwatch.agent.learned.registry import Registry
from ringwatch.agent.results import DerivedRun
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.unfinished_runs import Unfinished
from ringwatch.agent.worker import Worker
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

from .taught_heads import ceo2_flag

FRAMES = 6


def runs_of(sink: MemorySink) -> list[tuple[dict[str, Any], dict[str, Any], list[Any]]]:
    """Start, data keys and events of each derived run."""
    found: list[tuple[dict[str, Any], dict[str, Any], list[Any]]] = []
    for name, doc in sink.documents:
        schema_validators[DocumentNames[name]].validate(_plain(doc))
        if name == "start":
            found.append((doc, {}, []))
        elif name == "descriptor":
            found[-1][1].update(doc["data_keys"])
        elif name == "event":
            found[-1][2].append(doc["data"])
    return found


def _plain(doc: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in doc.items() if k not in {"data", "configuration"}} | (
        {"data": dict(doc["data"])} if "data" in doc else {}
    )


def test_promotion_waits_for_the_next_run(
    run_engine: RunEngine, ring_source: ListedFrames, poni: Path, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "heads")
    detector = StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.005
    )
    sink = MemorySink()
    agent = Agent(poni=poni, classifier="none", heads=registry.folder, sinks=(sink,))
    run_engine.subscribe(agent)
    seen = 0

    def promote_in_the_middle(name: str, _: dict[str, Any]) -> None:
        nonlocal seen
        seen += name == "event"
        if name == "event" and seen == 2 * FRAMES + FRAMES // 2:
            assert agent.wait_idle(60)
            registry.promote("ceria", "ada", although_unsure=True)

    run_engine.subscribe(promote_in_the_middle)
    with agent:
        run_engine(step_scan(detector, FRAMES))
        assert agent.wait_idle(60)
        head, card = ceo2_flag()
        # Raised wherever it is evaluated: which frames it tells is tested elsewhere.
        always = replace(head, threshold=-1e3)
        registry.shadow("ceria", always, card, "ada")
        run_engine(step_scan(detector, FRAMES))
        run_engine(step_scan(detector, FRAMES))
        run_engine(step_scan(detector, FRAMES))
        assert agent.wait_idle(60)
        registry.roll_back("ceria", "ada")
        run_engine(step_scan(detector, FRAMES))
        assert agent.wait_idle(60)
    before, shadow, through, force, after = runs_of(sink)
    for _, keys, events in (before, shadow, through, force, after):
        assert [each["raw_index"] for each in events] == list(range(FRAMES))
        assert all(each["final"] for each in events)
        assert {k for k in keys if k.startswith("taught")} == {
            k for k in events[0] if k.startswith("taught")
        }
    assert not any(key.startswith("taught") for key in before[1])
    for _, keys, events in (shadow, through):
        assert "taught" not in keys
        assert all(each["taught_shadow"] == "ceria" for each in events)
        assert all(each["taught_shadow_score_ceria"] >= 0.0 for each in events)
    assert all(each["taught"] == "ceria" for each in force[2])
    assert "taught_shadow" not in force[1]
    # A taught flag is information: the words are those of the run before it.
    words = [each["verdict"] for each in before[2]]
    assert [each["verdict"] for each in force[2]] == words
    ids = [
        start["analysis_id"] for start, _, _ in (before, shadow, through, force, after)
    ]
    assert ids[0] == ids[4]
    assert ids[1] == ids[2]
    assert len(set(ids)) == 3
    assert "heads_hash" in force[0]
    assert "heads_hash" not in before[0]


def test_a_damaged_head_ends_no_scan(
    run_engine: RunEngine, ring_source: ListedFrames, poni: Path, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "heads")
    detector = StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.005
    )
    sink = MemorySink()
    with Agent(
        poni=poni, classifier="none", heads=registry.folder, sinks=(sink,)
    ) as agent:
        run_engine.subscribe(agent)
        kept = registry.shadow("ceria", *ceo2_flag(), "ada")
        (registry.folder / f"{kept.digest}.safetensors").write_bytes(b"torn")
        run_engine(step_scan(detector, FRAMES))
        assert agent.wait_idle(60)
    ((_, keys, events),) = runs_of(sink)
    assert len(events) == FRAMES
    assert not any(key.startswith("taught") for key in keys)


def test_a_resumed_run_keeps_its_heads_when_its_start_comes_again(
    run_engine: RunEngine, ring_source: ListedFrames, poni: Path, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "heads")
    head, card = ceo2_flag()
    registry.shadow("ceria", replace(head, threshold=-1e3), card, "ada")
    detector = StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.005
    )
    raw: list[tuple[str, dict[str, Any]]] = []
    run_engine(step_scan(detector, FRAMES), lambda *each: raw.append(each))
    settings = Settings(poni=poni, classifier="none", heads=registry.folder)
    analysis = Analysis(settings, None)
    derived = DerivedRun(
        raw[0][1],
        analysis_id=analysis.analysis_id,
        attempt=1,
        metadata=analysis.hashes,
        q=analysis.bins,
        learned=analysis.heads.fields,
    )
    derived.precede(derived.start())
    inbox, sink = Inbox(max_bytes=1 << 30, max_items=1000), MemorySink()
    worker = Worker(analysis, inbox, [sink])
    worker.resume(Unfinished(raw[0][1]["uid"], frozenset(), derived, 1))
    registry.promote("ceria", "ada", although_unsure=True)
    worker.begin()
    for name, doc in raw:
        inbox.put(name, doc)
    inbox.close()
    assert worker.join(60)
    ((start, keys, events),) = runs_of(sink)
    assert start["analysis_id"] == analysis.analysis_id
    assert "taught" not in keys
    assert {each["raw_index"] for each in events if each["final"]} == set(range(FRAMES))
    assert all(each["taught_shadow"] == "ceria" for each in events)
