"""``stop_when`` on a real RunEngine: shadow, acting, and agents that are not there."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted

from ringwatch.agent.nouns import Word
from ringwatch.plans.actions import ActionLog
from ringwatch.plans.conditions import flag_is, verdict_is
from ringwatch.plans.stop_when import stop_when
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .attached import Documents, attached

FRAMES = 30
LOST = 6


def lost_beam(folder: Path, **given: Any) -> Beamline:
    """The beam is gone from a frame on."""
    faults = [BeamLost(first=LOST)]
    return powder_beamline(folder, detector=256, faults=faults, **given)


def test_by_default_it_only_says_so(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)
    with attached(beamline) as (engine, verdicts, _, documents):
        (uid,) = engine(
            stop_when(beamline.step_scan(FRAMES), verdict_is("bad"), verdicts)
        )
    assert len(documents.events("primary")) == FRAMES
    (said,) = documents.events("ringwatch")
    assert not said["action_acted"]
    assert said["action_what"] == "stop"
    assert said["action_because"].startswith("would have stopped at frame ")
    assert said["action_index"] >= LOST + 2
    assert said["action_verdict"] == "bad"
    assert said["action_primary_flag"] == "no_beam"
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "success"
    assert stop["reason"] == ""
    assert stop["run_start"] == uid


@pytest.mark.parametrize("style", ["stream", "inline", "datum"])
def test_it_stops_in_good_order_and_the_queue_goes_on(
    tmp_path: Path, style: str
) -> None:
    beamline = lost_beam(tmp_path, style=style)

    def queue(verdicts: Verdicts, log: ActionLog) -> Any:
        stopped = yield from stop_when(
            beamline.step_scan(FRAMES),
            verdict_is("bad"),
            verdicts,
            act=True,
            then=lambda: bps.mv(beamline.shutter, 0),
            log=log,
        )
        assert stopped is None
        assert beamline.experiment.shutter_open is False
        yield from bps.mv(beamline.shutter, 1)
        yield from beamline.step_scan(2)

    log = ActionLog()
    with attached(beamline) as (engine, verdicts, _, documents):
        engine(queue(verdicts, log))
    first, second = documents.of("stop")
    taken = first["num_events"]["primary"]
    assert LOST + 3 <= taken < FRAMES
    assert first["exit_status"] == "success"
    assert first["reason"].startswith("stopped at frame ")
    assert second["num_events"]["primary"] == 2
    (said,) = documents.events("ringwatch")
    assert said["action_acted"]
    assert said["action_because"] == first["reason"]
    (action,) = log.actions
    assert action.heard is not None
    assert action.heard.word is Word.BAD


def test_a_flight_is_ended_and_what_it_took_is_announced(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)
    with attached(beamline) as (engine, verdicts, agent, documents):
        plan = beamline.fly(400)
        engine(stop_when(plan, flag_is("no_beam", frames=3), verdicts, act=True))
        assert agent.wait_idle(60)
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "success"
    assert "no_beam" in stop["reason"]
    taken = len(beamline.truths)
    assert LOST + 3 <= taken < 400
    announced = max(doc["indices"]["stop"] for doc in documents.of("stream_datum"))
    assert announced == taken


def test_without_an_agent_the_plan_runs_to_its_end(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)
    engine, documents = RunEngine({}), Documents()
    engine.subscribe(documents)
    began = time.monotonic()
    plan = beamline.step_scan(5)
    engine(stop_when(plan, verdict_is("bad"), Verdicts(), act=True, max_behind=0))
    assert time.monotonic() - began < 10.0
    assert len(documents.events("primary")) == 5
    (said,) = documents.events("ringwatch")
    assert said["action_because"] == (
        "goes on without verdicts: no agent was heard yet"
    )
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_an_agent_that_dies_in_the_middle_ends_no_scan(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)
    with attached(beamline) as (engine, verdicts, agent, documents):
        engine(stop_when(beamline.step_scan(3), verdict_is("bad"), verdicts, act=True))
        threading.Timer(0.15, agent.close).start()
        plan = beamline.step_scan(FRAMES)
        engine(stop_when(plan, verdict_is("bad", frames=20), verdicts, act=True))
    assert [d["exit_status"] for d in documents.of("stop")] == ["success", "success"]
    assert documents.of("stop")[1]["num_events"]["primary"] == FRAMES
    told = [said["action_because"] for said in documents.events("ringwatch")]
    assert told[0].startswith("not met: whether the verdict is 'bad': frame ")
    (last,) = told[1:]  # it ends before it says so
    assert re.match("goes on without verdicts: the agent (was closed|has ended)", last)


def test_verdicts_that_are_late_stop_it_late(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path, exposure_time=0.2)
    with attached(beamline, late_s=5.0) as (engine, verdicts, _, documents):
        plan = beamline.step_scan(60)
        engine(stop_when(plan, verdict_is("bad"), verdicts, act=True))
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "success"
    assert stop["reason"].startswith(f"stopped at frame {LOST + 2}")
    assert LOST + 3 + 15 < stop["num_events"]["primary"] < 60


def test_the_scan_may_be_held_for_verdicts(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)
    with attached(beamline, late_s=0.3) as (engine, verdicts, _, documents):
        plan = beamline.step_scan(FRAMES)
        engine(stop_when(plan, verdict_is("bad"), verdicts, act=True, max_behind=1))
    (stop,) = documents.of("stop")
    # Before the first verdict nobody knows how far behind the agent is.
    assert stop["num_events"]["primary"] <= LOST + 3 + 1 + 10


def test_a_pause_in_the_middle_writes_nothing_twice(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)
    with attached(beamline) as (engine, verdicts, _, documents):
        threading.Timer(0.5, engine.request_pause).start()
        with pytest.raises(RunEngineInterrupted):
            engine(stop_when(beamline.step_scan(FRAMES), verdict_is("bad"), verdicts))
        engine.resume()
    points = {event["seq_num"] for event in documents.of("event")}
    assert points >= set(range(1, FRAMES + 1))
    seen = {
        (e["action_index"], e["action_because"]) for e in documents.events("ringwatch")
    }
    assert len(seen) == 1
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_a_queue_server_may_run_it_in_a_thread(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)
    ended: list[Any] = []
    with attached(beamline, context_managers=[]) as (engine, verdicts, _, documents):
        plan = stop_when(beamline.step_scan(20), verdict_is("bad"), verdicts, act=True)
        worker = threading.Thread(target=lambda: ended.append(engine(plan)))
        worker.start()
        worker.join(60)
    assert ended
    assert documents.of("stop")[0]["reason"].startswith("stopped at frame")


def test_an_error_of_the_plan_stays_its_own(tmp_path: Path) -> None:
    beamline = lost_beam(tmp_path)

    def broken() -> Any:
        yield from bps.null()
        raise RuntimeError("a motor stalled")

    engine = RunEngine({})
    with pytest.raises(RuntimeError, match="a motor stalled"):
        engine(stop_when(broken(), verdict_is("bad"), Verdicts(), act=True))
    del beamline
