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
        yield {"documents": documents, "given": given, "calm": final(calm)}


def split(documents: list[NamedDocument], part: float) -> int:
    """Where that part of the events has gone by."""
    events = [i for i, (name, _) in enumerate(documents) if name == "event"]
    return events[int(part * len(events))]


def check(sink: MemorySink, recorded: dict[str, Any]) -> None:
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
    check(sink, recorded)
    said = [event for event in sink.events("primary") if not event["final"]]
    # Not counted on from the gap; the pixels of frame 3 had been announced before it.
    assert {event["raw_index"] for event in said} <= {3, *range(6, FRAMES)}
    assert said[-1]["raw_index"] == FRAMES - 1


def test_who_joins_late_says_everything_in_the_end(recorded: dict[str, Any]) -> None:
    documents, sink = recorded["documents"], MemorySink()
    agent = Agent(**recorded["given"], sinks=(sink,))
    agent.documents_lost(documents[0][1]["uid"], "joined late")
    for name, doc in documents[split(documents, 0.5) :]:
        agent(name, doc)
    assert agent.wait_idle(60)
    assert agent.close()
    check(sink, recorded)
    assert agent.counters.announced == FRAMES
    assert agent.counters.analysed + agent.counters.unknown == FRAMES


def test_a_gap_told_after_the_end_says_nothing_new(recorded: dict[str, Any]) -> None:
    documents, sink = recorded["documents"], MemorySink()
    agent = Agent(**recorded["given"], sinks=(sink,))
    for name, doc in documents:
        agent(name, doc)
    agent.documents_lost(documents[0][1]["uid"], "the connection was lost")
    assert agent.wait_idle(60)
    assert agent.close()
    check(sink, recorded)
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
    check(sink, recorded)


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
