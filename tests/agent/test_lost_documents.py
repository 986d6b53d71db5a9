"""Documents lost on the way, agents that come late, agents that died: no frame is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .derived_documents import wait_until
from .test_backfill import final, same, told

FRAMES = 10


@pytest.fixture(scope="module", params=["stream", "inline"])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A run as it went by, stored in Tiled, and what an agent says that saw it all."""
    folder = tmp_path_factory.mktemp("run")
    beamline = powder_beamline(folder, detector=256, style=request.param)
    documents: list[NamedDocument] = []
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        engine, calm = RunEngine({}), MemorySink()
        writer = TiledWriter(tiled.catalog("raw"), batch_size=1)
        given = {
            "poni": beamline.poni_path,
            "mask": beamline.mask_path,
            "classifier": "none",
        }
        agent = Agent(**given, sinks=(calm,))
        for each in (writer, agent, lambda name, doc: documents.append((name, doc))):
            engine.subscribe(each)
        engine(beamline.step_scan(FRAMES))
        assert agent.close()
        given |= {"tiled": tiled.uri, "api_key": tiled.api_key}
        yield {
            "documents": documents,
            "given": given,
            "calm": final(calm),
            "tiled": tiled,
        }


def split(documents: list[NamedDocument], part: float) -> int:
    """Where that part of the events has gone by."""
    events = [i for i, (name, _) in enumerate(documents) if name == "event"]
    return events[int(part * len(events))]


def check(sink: MemorySink, recorded: dict[str, Any], agent: Agent) -> None:
    counters = agent.counters
    assert counters.analysed + counters.unknown == counters.announced == FRAMES
    assert sorted(told(sink)) == list(range(FRAMES))
    assert same(final(sink), recorded["calm"])


def test_a_gap_is_filled(recorded: dict[str, Any]) -> None:
    documents, sink = recorded["documents"], MemorySink()
    uid = documents[0][1]["uid"]
    first, second = split(documents, 0.3), split(documents, 0.6)
    agent = Agent(**recorded["given"], sinks=(sink,))
    for name, doc in documents[:first]:
        agent(name, doc)
    agent.documents_lost(uid, "a burst")
    for name, doc in documents[second:]:
        agent(name, doc)
    assert agent.wait_idle(60)
    assert agent.close()
    check(sink, recorded, agent)
    said = [event for event in sink.events("primary") if not event["final"]]
    # Not counted on from the gap; the pixels of frame 3 had been announced before it.
    assert {event["raw_index"] for event in said} <= {3, *range(6, FRAMES)}
    assert said[-1]["raw_index"] == FRAMES - 1


def test_events_that_come_late_make_no_verdict_final(recorded: dict[str, Any]) -> None:
    """Without their numbers live would say other things than a replay."""
    documents, sink = recorded["documents"], MemorySink()
    agent = Agent(**recorded["given"], sinks=(sink,), hold_s=0.05)
    agent.wait_idle(120)
    late = split(documents, 0.4)
    for name, doc in documents[:late]:
        agent(name, doc)
    time.sleep(0.5)
    for name, doc in documents[late:]:
        agent(name, doc)
    assert agent.wait_idle(60)
    assert agent.close()
    check(sink, recorded, agent)
    if any(name == "stream_datum" for name, _ in documents):
        said = [event for event in sink.events("primary") if not event["final"]]
        assert {event["raw_index"] for event in said} == set(range(4, FRAMES))


def test_who_joins_late_says_everything_in_the_end(recorded: dict[str, Any]) -> None:
    documents, sink = recorded["documents"], MemorySink()
    agent = Agent(**recorded["given"], sinks=(sink,))
    agent.documents_lost(documents[0][1]["uid"], "joined late")
    for name, doc in documents[split(documents, 0.5) :]:
        agent(name, doc)
    assert agent.wait_idle(60)
    assert agent.close()
    check(sink, recorded, agent)


def test_a_gap_told_after_the_end_says_nothing_new(recorded: dict[str, Any]) -> None:
    documents, sink = recorded["documents"], MemorySink()
    agent = Agent(**recorded["given"], sinks=(sink,))
    for name, doc in documents:
        agent(name, doc)
    agent.documents_lost(documents[0][1]["uid"], "the connection was lost")
    assert agent.wait_idle(60)
    assert agent.close()
    check(sink, recorded, agent)
    names = [name for name, _ in sink.documents]
    assert (names.count("start"), names.count("stop")) == (1, 1)


def test_a_run_that_does_not_end_holds_nobody_up(recorded: dict[str, Any]) -> None:
    documents, sink = recorded["documents"], MemorySink()
    agent = Agent(**recorded["given"], sinks=(sink,))
    agent.documents_lost("somewhere-else", "joined late")
    for name, doc in documents:
        agent(name, doc)
    assert agent.wait_idle(60)
    began = time.monotonic()
    assert agent.close(30)
    assert time.monotonic() - began < 5
    check(sink, recorded, agent)


def test_events_of_a_stranger_are_complained_of_once(
    recorded: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    documents = recorded["documents"]
    agent = Agent(**recorded["given"])
    for name, doc in documents:
        if name not in {"start", "descriptor"}:
            agent(name, doc)
    assert agent.close()
    said = [r.message for r in caplog.records if "never came" in r.message]
    assert len(said) == len(set(said)) <= 3


def test_the_end_that_was_lost_is_found_in_tiled(recorded: dict[str, Any]) -> None:
    """Neither the last frames came nor the stop: nothing says that they are missing."""
    documents, sink = recorded["documents"], MemorySink()
    agent = Agent(**recorded["given"], sinks=(sink,), abandon_after_s=1.0)
    assert agent.wait_idle(120)
    for name, doc in documents[: split(documents, 0.4) + 1]:
        agent(name, doc)
    assert wait_until(lambda: "stop" in dict(sink.documents), 60)
    assert sink.documents[-1][1]["raw_exit_status"] == "success"
    assert agent.close()
    check(sink, recorded, agent)


def test_a_run_that_goes_on_after_it_was_abandoned(
    recorded: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    documents, sink, tiled = recorded["documents"], MemorySink(), recorded["tiled"]
    half = split(documents, 0.5) + 1
    raw = f"paused_{request.node.callspec.id}"
    writer = TiledWriter(tiled.catalog(raw), batch_size=1)
    given = recorded["given"] | {"raw_container": raw, "backfill_patience_s": 0.5}
    agent = Agent(**given, sinks=(sink,), abandon_after_s=1.0)
    assert agent.wait_idle(120)

    def stops() -> list[str]:
        return [d["raw_exit_status"] for n, d in sink.documents if n == "stop"]

    for name, doc in documents[:half]:
        writer(name, doc)
        agent(name, doc)
    assert wait_until(lambda: stops() == ["abandoned"], 60)
    for name, doc in documents[half:]:
        writer(name, doc)
        agent(name, doc)
    assert wait_until(lambda: stops() == ["abandoned", "success"], 60)
    assert agent.close()
    check(sink, recorded, agent)
    starts = [doc for name, doc in sink.documents if name == "start"]
    assert [doc["attempt"] for doc in starts] == [1, 2]
