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
EVENT: dict[str, Any] = dict.fromkeys(
    ("verdict", "reason", "primary_flag", "alarm", "label"), ""
)
EVENT |= {"verdict": "good", "label_set": "", "raw_data_key": "a", "final": True}
EVENT |= dict.fromkeys(("raw_index", "raw_seq_num", "raw_time", "revision"), 0)
EVENT |= {"unsure": True, "label_prob": math.nan, "novelty": math.nan}
EVENT |= {"latency_ms": 5.0}


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
    assert soon(lambda: signals.why_not.get() == "the agent was closed")
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
        ("event", {"descriptor": 1, "data": EVENT | {"raw_index": math.inf}}),
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


def stream(shape: list[int | None], name: str = "primary") -> Any:
    """Descriptor of a stream with one array, and the events of it."""
    run = compose_run()
    keys = {"cam": {"source": "s", "dtype": "array", "shape": shape}}
    return run, run.compose_descriptor(
        name=name, data_keys=keys, object_keys={"camera": ["cam"]}, validate=False
    )


def told(verdicts: Verdicts, descriptor: str, raw_uid: str, seq_num: int) -> None:
    verdicts.put("start", {"uid": "d", "raw_uid": raw_uid})
    verdicts.put("descriptor", {"uid": "s", "run_start": "d", "name": descriptor})
    verdicts.put("event", {"descriptor": "s", "data": EVENT | {"raw_seq_num": seq_num}})


def test_a_verdict_may_be_sooner_than_its_announcement(verdicts: Verdicts) -> None:
    verdicts.patience_s = 1e-6
    run, bundle = stream([4, 4])
    verdicts.announce("descriptor", bundle.descriptor_doc)
    told(verdicts, "primary", run.start_doc["uid"], 1)
    event = {"descriptor": bundle.descriptor_doc["uid"], "seq_num": 1}
    verdicts.announce("event", event)
    assert verdicts.trouble == ""
    verdicts.announce("event", event | {"seq_num": 2})
    assert "point 2" in verdicts.trouble


def test_a_frame_told_by_its_datum_is_not_told_again_by_its_event(
    verdicts: Verdicts,
) -> None:
    verdicts.patience_s = 1e-6
    run, bundle = stream([4, 4])
    uid = bundle.descriptor_doc["uid"]
    verdicts.announce("descriptor", bundle.descriptor_doc)
    datum = {"descriptor": uid, "seq_nums": {"start": 1, "stop": 2}}
    verdicts.announce("stream_datum", datum)
    told(verdicts, "primary", run.start_doc["uid"], 1)
    verdicts.announce("stream_datum", datum)  # of a second camera
    verdicts.announce("event", {"descriptor": uid, "seq_num": 1})
    assert verdicts.trouble == ""


@pytest.mark.parametrize(
    ("shape", "detector", "expected"),
    [
        ([4, 4], None, True),
        ([None, 4, 4], None, True),
        ([1, 2048], None, False),
        ([4, 4], "cam", True),
        ([4, 4], "camera", True),
        ([4, 4], "pilatus_image", False),
    ],
)
def test_what_the_agent_judges_is_expected(
    shape: list[int | None], detector: str | None, expected: bool
) -> None:
    verdicts = Verdicts(patience_s=1e-6, detector=detector)
    verdicts.note_link("")
    _, bundle = stream(shape)
    verdicts.announce("descriptor", bundle.descriptor_doc)
    event = {"descriptor": bundle.descriptor_doc["uid"], "seq_num": 1}
    verdicts.announce("event", event)
    assert bool(verdicts.trouble) == expected


def test_signals_say_each_verdict_and_do_not_go_back(verdicts: Verdicts) -> None:
    signals, said = AgentSignals(verdicts), list[int]()
    signals.index.subscribe(lambda value, **_: said.append(value), run=False)
    for raw_uid, revision in (("a", 0), ("b", 0), ("b", 1)):
        verdicts.put("start", {"uid": raw_uid, "raw_uid": raw_uid})
        descriptor = {"uid": raw_uid + "s", "run_start": raw_uid, "name": "primary"}
        verdicts.put("descriptor", descriptor)
        data = EVENT | {"revision": revision, "raw_index": 3 - 3 * revision}
        verdicts.put("event", {"descriptor": raw_uid + "s", "data": data})
        time.sleep(0.3)
    assert said == [3, 3]
    signals.close()
