"""Verdicts beside a real RunEngine: what came, and whether the agent is well."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from bluesky import RunEngine
from event_model import compose_run

from ringwatch.agent import Agent
from ringwatch.agent.nouns import Word
from ringwatch.plans.heard import Heard
from ringwatch.plans.signals import AgentSignals
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

FRAMES = 8
LOST = 5


@pytest.fixture(scope="module", params=["stream", "inline"])
def beamline(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Beamline:
    return powder_beamline(
        tmp_path_factory.mktemp("verdicts"),
        detector=256,
        style=request.param,
        faults=[BeamLost(first=LOST, last=LOST)],
    )


@pytest.fixture
def verdicts() -> Verdicts:
    return Verdicts(patience_s=5.0)


@pytest.fixture
def agent(beamline: Beamline, verdicts: Verdicts) -> Iterator[Agent]:
    with Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        classifier="none",
        sinks=(verdicts,),
    ) as agent:
        yield agent


def soon(condition: Any, timeout: float = 10.0) -> bool:
    until = time.monotonic() + timeout
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())


def test_each_frame_is_heard_and_the_signals_show_the_last(
    beamline: Beamline, verdicts: Verdicts, agent: Agent
) -> None:
    signals = AgentSignals(verdicts, name="watcher")
    assert not signals.agent_ok.get()
    assert signals.why_not.get() == "no agent was heard yet"
    verdicts.watch(agent)
    assert soon(signals.agent_ok.get)
    engine, told = RunEngine({}), list[Heard]()
    end = verdicts.listen(told.append)
    engine.subscribe(agent)
    engine.subscribe(verdicts.announce)
    (uid,) = engine(beamline.step_scan(FRAMES))
    assert agent.wait_idle(60)
    assert [h.index for h in told] == list(range(FRAMES))
    assert list(verdicts) == told
    assert {h.run_uid for h in told} == {uid}
    assert {h.stream for h in told} == {"primary"}
    assert [h.word for h in told].count(Word.GOOD) == FRAMES - 1
    assert (told[LOST].word, told[LOST].primary_flag) == (Word.BAD, "no_beam")
    assert "beam_center_dx_px" not in told[LOST].values
    assert abs(told[-1].values["beam_center_dx_px"]) < 0.5
    assert verdicts.trouble == ""
    assert soon(lambda: signals.index.get() == FRAMES - 1)
    assert signals.run_uid.get() == uid
    assert signals.verdict.get() == "good"
    shown = signals.values.beam_center_dx_px.get()
    assert shown == told[-1].values["beam_center_dx_px"]
    assert math.isnan(signals.label_prob.get())
    assert signals.read()["watcher_verdict"]["value"] == "good"
    end()
    agent.close()
    assert soon(lambda: not signals.agent_ok.get())
    assert signals.why_not.get() == "the agent was closed"
    signals.close()


def test_a_frame_without_a_verdict_is_trouble_until_a_later_one_has_it(
    beamline: Beamline, verdicts: Verdicts, agent: Agent
) -> None:
    verdicts.patience_s = 0.3
    verdicts.watch(agent)
    engine = RunEngine({})
    engine.subscribe(verdicts.announce)  # and not the agent: it hears nothing
    engine(beamline.step_scan(3))
    assert soon(lambda: "no verdict of point 1 (primary)" in verdicts.trouble)
    signals = AgentSignals(verdicts)
    assert not signals.agent_ok.get()
    engine.subscribe(agent)
    engine(beamline.step_scan(3))
    assert agent.wait_idle(60)
    assert verdicts.trouble == ""
    assert soon(signals.agent_ok.get)
    signals.close()


def test_streams_without_images_are_not_waited_for(verdicts: Verdicts) -> None:
    verdicts.note_link("")
    verdicts.patience_s = 1e-3
    run = compose_run()
    keys = {"x": {"source": "s", "dtype": "number", "shape": []}}
    stream = run.compose_descriptor(name="baseline", data_keys=keys)
    verdicts.announce("start", run.start_doc)
    verdicts.announce("descriptor", stream.descriptor_doc)
    event = stream.compose_event(data={"x": 1.0}, timestamps={"x": 0.0})
    verdicts.announce("event", event)
    time.sleep(0.01)
    assert verdicts.trouble == ""


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        ("event", {}),
        ("event", {"descriptor": "unknown", "data": {"raw_index": "x"}}),
        ("descriptor", {"uid": "a"}),
        ("start", {"uid": "a"}),
        ("event", None),
    ],
)
def test_what_cannot_be_read_is_left(
    verdicts: Verdicts, name: str, doc: Any, caplog: pytest.LogCaptureFixture
) -> None:
    verdicts.put(name, doc)
    verdicts.announce(name, doc)
    assert verdicts.latest is None
    assert "cannot be read" in caplog.text


def test_patience_must_be_some() -> None:
    with pytest.raises(ValueError, match="patience_s is 0"):
        Verdicts(patience_s=0)
