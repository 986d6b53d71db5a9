"""Plans and suspenders together, pauses at the wrong moment, runs that began before."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import Msg, RunEngineInterrupted
from ophyd import Signal

from ringwatch.plans.actions import ActionLog
from ringwatch.plans.conditions import verdict_is
from ringwatch.plans.frame_times import FrameTimes
from ringwatch.plans.goals import Labelled, Precise
from ringwatch.plans.next_sample import next_sample
from ringwatch.plans.recenter import recenter
from ringwatch.plans.retake import retake
from ringwatch.plans.retake_list import RetakeList
from ringwatch.plans.skip_bad import skip_bad
from ringwatch.plans.stop_when import stop_when
from ringwatch.plans.suspenders import SuspendOnAlarm
from ringwatch.plans.trend import fit_trend
from ringwatch.plans.verdicts import Verdicts
from ringwatch.plans.waiting import wait_until
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .attached import Documents, attached


def test_two_plans_and_a_suspender_write_into_one_run(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256, faults=[BeamLost(first=5)])
    with attached(beamline) as (engine, verdicts, _, documents):
        engine.install_suspender(SuspendOnAlarm(verdicts, act=True, timeout_s=0.3))
        inner = stop_when(beamline.step_scan(20), verdict_is("bad"), verdicts)
        engine(stop_when(inner, verdict_is("bad", frames=4), verdicts))
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "success"
    whats = [event["action_what"] for event in documents.events("ringwatch")]
    assert whats.count("stop") == 2
    assert whats.count("pause") == 1


def test_an_outer_stop_ends_what_is_inside_it(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256, faults=[BeamLost(first=5)])
    closed: list[int] = []

    def queue(verdicts: Verdicts) -> Any:
        for _ in range(4):
            yield from skip_bad(beamline.step_scan(20), verdicts, frames=15, act=True)

    def close() -> Any:
        closed.append(1)
        yield from bps.checkpoint()  # one of its own must not begin it again
        yield from bps.null()

    with attached(beamline) as (engine, verdicts, _, documents):
        plan = queue(verdicts)
        engine(stop_when(plan, verdict_is("bad"), verdicts, act=True, then=close))
    assert closed == [1]
    assert len(documents.of("stop")) == 1


def test_a_run_that_began_before_is_left_alone(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256)
    engine, documents = RunEngine({}), Documents()
    engine.subscribe(documents)

    def points() -> Any:
        for _ in range(3):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([beamline.detector])

    def both() -> Any:
        yield from points()
        yield from stop_when(points(), verdict_is("bad"), Verdicts(), act=True)

    staged: Any = bpp.stage_wrapper(both(), [beamline.detector])
    engine(bpp.run_wrapper(staged))
    assert documents.of("stop")[0]["exit_status"] == "success"
    assert len(documents.events("primary")) == 6
    times = FrameTimes(lambda: 0.0)
    for name in ("event", "stream_datum", "descriptor", "stop"):
        times(name, {})


def test_a_pause_while_the_source_is_closed_keeps_the_last_good_point(
    tmp_path: Path,
) -> None:
    beamline = powder_beamline(tmp_path, detector=256, faults=[BeamLost(first=5)])
    taken: list[int] = []

    def close() -> Any:
        yield from bps.mv(beamline.shutter, 0)
        taken.append(len(beamline.truths))
        if len(taken) == 1:
            yield from bps.pause()

    with attached(beamline) as (engine, verdicts, _, documents):
        plan = beamline.step_scan(30)
        with pytest.raises(RunEngineInterrupted):
            engine(stop_when(plan, verdict_is("bad"), verdicts, act=True, then=close))
        engine.resume()
    assert len(beamline.truths) == taken[0]  # no point was taken again
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_the_suspension_of_somebody_else_is_not_ended(tmp_path: Path) -> None:
    beamline = powder_beamline(
        tmp_path, detector=256, exposure_time=0.1, faults=[BeamLost(first=3)]
    )
    beam, log = Signal(name="beam_lost", value=0), ActionLog()
    with attached(beamline, late_s=0.5) as (engine, verdicts, _, documents):
        engine.install_suspender(SuspendBoolHigh(beam))
        engine.install_suspender(
            SuspendOnAlarm(verdicts, act=True, timeout_s=0.6, log=log)
        )
        back = time.monotonic() + 3.0
        threading.Timer(0.6, lambda: beam.put(1)).start()
        threading.Timer(3.0, lambda: beam.put(0)).start()
        engine(beamline.step_scan(12))
        assert time.monotonic() > back
    assert documents.of("stop")[0]["exit_status"] == "success"
    assert [action.what for action in log.actions] == ["pause", "resume"]


def test_a_glitch_in_the_past_breaks_no_forecast() -> None:
    times = np.arange(15.0)
    for place in range(15):
        for glitch in (0.51, 5.0, 1e6, 1e-9):
            values = np.linspace(0.010, 0.023, 15)
            values[place] = glitch
            trend = fit_trend(times, values, "exponential")
            if trend is not None:
                assert np.isfinite(trend.at(15.0)).all()


def test_a_motor_goes_back_when_the_plan_fails(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=512, counts=3e6)
    beamline.detector_x.set(0.5)

    def failing(verdicts: Verdicts) -> Any:
        plan = recenter(
            [beamline.detector],
            beamline.detector_x,
            verdicts,
            probe=0.1,
            most=2.0,
            tolerance=0.01,
            act=True,
        )
        moved = 0

        def fail(msg: Msg) -> tuple[Any, Any]:
            nonlocal moved
            moved += msg.command == "set" and msg.obj is beamline.detector_x
            return (broken() if msg.command == "trigger" and moved == 1 else None), None

        def broken() -> Any:
            yield from bps.null()
            raise RuntimeError("the detector failed")

        yield from bpp.plan_mutator(plan, fail)

    with (
        attached(beamline) as (engine, verdicts, _, documents),
        pytest.raises(RuntimeError, match="the detector failed"),
    ):
        engine(failing(verdicts))
    assert beamline.detector_x.position == 0.5
    assert documents.of("stop")[0]["exit_status"] in ("fail", "abort")
    assert len(documents.events("primary")) == 1


def test_frames_go_round_where_nobody_judges(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256, pace=0.0)
    engine, documents = RunEngine({}), Documents()
    engine.subscribe(documents)
    samples = {name: {beamline.sample_y: 0.0} for name in "ab"}
    engine(next_sample(samples, [beamline.detector], Verdicts(), frames=20, act=True))
    names = [event["sample"] for event in documents.events("primary")]
    assert names == ["a", "b"] * 10
    (said,) = documents.events("ringwatch")
    assert "goes round without verdicts" in said["action_because"]


def test_a_retake_waits_for_a_late_agent(tmp_path: Path) -> None:
    faults = [BeamLost(first=8, last=8)]
    beamline = powder_beamline(tmp_path, detector=256, faults=faults)
    with attached(beamline, late_s=2.0) as (engine, verdicts, _, documents):
        retakes = RetakeList(verdicts)
        engine.subscribe(retakes)

        def both() -> Any:
            yield from beamline.step_scan(12)
            yield from retake(retakes, [beamline.detector], act=True)

        engine(both())
        retakes.close()
    starts = documents.of("start")
    assert starts[-1]["retake_points"] == [9]


def test_a_verdict_of_another_run_is_not_the_latest_run() -> None:
    verdicts = Verdicts()
    retakes = RetakeList(verdicts)
    retakes("start", {"uid": "mine"})
    verdicts.put("start", {"uid": "d", "raw_uid": "other"})
    assert retakes.latest_run == "mine"


def test_a_pause_does_not_use_up_the_patience() -> None:
    engine = RunEngine({})
    found: list[bool] = []
    ready = threading.Event()

    def plan() -> Any:
        yield from bps.checkpoint()
        found.append((yield from wait_until(ready.is_set, 1.0)))

    threading.Timer(0.3, engine.request_pause).start()
    with pytest.raises(RunEngineInterrupted):
        engine(plan())
    time.sleep(1.2)
    threading.Timer(0.4, ready.set).start()
    engine.resume()
    assert found == [True]


def test_goals_that_would_never_end() -> None:
    for make in (
        lambda: Labelled(longer=1.0),
        lambda: Labelled(same=1),
        lambda: Precise(precision=0.0),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()
