"""Alarms of the agent itself: one start and one stop document an episode."""

from __future__ import annotations

import time

import pytest
from event_model import DocumentNames, schema_validators

from ringwatch.agent.sinks import service_alarms
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sinks.service_alarms import PURPOSE, ServiceAlarms
from ringwatch.agent.sinks.zmq import ZmqSink

WHILE_S = 0.1


@pytest.fixture
def alarms(memory_sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> ServiceAlarms:
    monkeypatch.setattr(service_alarms, "ON_AFTER_S", WHILE_S)
    monkeypatch.setattr(service_alarms, "OFF_AFTER_S", WHILE_S)
    return ServiceAlarms(memory_sink)


def test_an_alarm_is_a_run_from_its_beginning_to_its_end(
    alarms: ServiceAlarms, memory_sink: MemorySink
) -> None:
    assert alarms.look({"spool": "no room"})
    assert memory_sink.documents == []
    time.sleep(WHILE_S)
    assert alarms.look({"spool": "no room at all", "tiled": "away"})
    ((name, start),) = memory_sink.documents
    assert name == "start"
    assert (start["purpose"], start["alarm"]) == (PURPOSE, "spool")
    assert start["reason"] == "no room at all"
    assert alarms.look({})
    time.sleep(WHILE_S)
    assert not alarms.look({})
    (_, (name, stop)) = memory_sink.documents  # none of Tiled: that was too short
    assert (name, stop["run_start"]) == ("stop", start["uid"])
    assert stop["reason"] == "over after 0 s"
    schema_validators[DocumentNames.start].validate(start)
    schema_validators[DocumentNames.stop].validate(stop)


def test_what_comes_and_goes_rings_once(
    alarms: ServiceAlarms, memory_sink: MemorySink
) -> None:
    alarms.look({"tiled": "away"})
    time.sleep(WHILE_S)
    for _ in range(10):
        alarms.look({"tiled": "away"})
        alarms.look({})
    assert [name for name, _ in memory_sink.documents] == ["start"]
    time.sleep(WHILE_S)
    alarms.look({})
    alarms.look({"tiled": "away"})
    time.sleep(WHILE_S)
    alarms.look({"tiled": "away again"})
    names = [name for name, _ in memory_sink.documents]
    assert names == ["start", "stop", "start"]


def test_a_closed_sink_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would count what it refuses, and the agent would seem to end badly."""
    monkeypatch.setattr(service_alarms, "ON_AFTER_S", 0.0)
    sink = ZmqSink("tcp://127.0.0.1:0")
    alarms = ServiceAlarms(sink)
    assert alarms.look({"spool": "no room"})
    assert sink.close(5)
    assert not alarms.look({"spool": "no room", "tiled": "away"})
    assert (sink.sent, sink.failed) == (1, 0)
