"""Each plan without an agent, with one that dies on the way, and with a late one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringwatch.plans.conditions import verdict_is
from ringwatch.plans.goals import Precise
from ringwatch.plans.maximize import maximize
from ringwatch.plans.next_sample import next_sample
from ringwatch.plans.reaching import reaches
from ringwatch.plans.recenter import recenter
from ringwatch.plans.retake import retake
from ringwatch.plans.retake_list import RetakeList
from ringwatch.plans.signals import AgentSignals
from ringwatch.plans.skip_bad import skip_bad
from ringwatch.plans.stop_when import stop_when
from ringwatch.plans.suspenders import SuspendOnAlarm, SuspendWithoutAgent
from ringwatch.plans.until_confident import until_confident
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .attached import attached

FRAMES = 12
LIMIT_S = 25.0
Make = Callable[[Beamline, Verdicts, Any], Any]


def suspended(suspender: Any, beamline: Beamline, engine: Any) -> Any:
    engine.install_suspender(suspender)
    return beamline.step_scan(FRAMES)


def _without_agent(beamline: Beamline, verdicts: Verdicts, engine: Any) -> Any:
    signals = AgentSignals(verdicts)
    suspender = SuspendWithoutAgent(signals, act=True, timeout_s=1.0)
    return suspended(suspender, beamline, engine)


def _on_alarm(beamline: Beamline, verdicts: Verdicts, engine: Any) -> Any:
    suspender = SuspendOnAlarm(verdicts, act=True, timeout_s=1.0)
    return suspended(suspender, beamline, engine)


def _retake(beamline: Beamline, verdicts: Verdicts, engine: Any) -> Any:
    retakes = RetakeList(verdicts)
    engine.subscribe(retakes)

    def both() -> Any:
        yield from beamline.step_scan(FRAMES)
        yield from retake(retakes, [beamline.detector], act=True, patience_s=0.5)

    return both()


PLANS: dict[str, Make] = {
    "stop_when": lambda b, v, _: stop_when(
        b.step_scan(FRAMES),
        verdict_is("bad"),
        v,
        act=True,
        max_behind=1,
        patience_s=0.5,
    ),
    "reaches": lambda b, v, _: stop_when(
        b.step_scan(FRAMES), reaches("crystalline_fraction", 0.9), v, act=True
    ),
    "skip_bad": lambda b, v, _: skip_bad(b.step_scan(FRAMES), v, act=True),
    "until_confident": lambda b, v, _: until_confident(
        [b.detector],
        b.detector.exposure_time,
        v,
        Precise(precision=0.001),
        first_s=0.02,
        longest_s=0.5,
        act=True,
        patience_s=0.5,
    ),
    "recenter": lambda b, v, _: recenter(
        [b.detector],
        b.detector_x,
        v,
        probe=0.1,
        most=1.0,
        tolerance=0.01,
        act=True,
        patience_s=0.5,
    ),
    "maximize": lambda b, v, _: maximize(
        [b.detector], b.sample_y, v, span=0.4, act=True, patience_s=0.5
    ),
    "next_sample": lambda b, v, _: next_sample(
        {"a": {b.sample_y: 0.0}, "b": {b.sample_y: 0.3}},
        [b.detector],
        v,
        frames=6,
        precision=0.001,
        act=True,
        patience_s=0.5,
    ),
    "retake": _retake,
    "SuspendWithoutAgent": _without_agent,
    "SuspendOnAlarm": _on_alarm,
}


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("how", ["absent", "dying", "late"])
def test_no_plan_hangs_and_no_scan_is_aborted(
    tmp_path: Path, name: str, how: str
) -> None:
    beamline = powder_beamline(
        tmp_path, detector=256, exposure_time=0.05, faults=[BeamLost(first=5)]
    )
    begun = beamline.detector_x.position, beamline.sample_y.position
    late_s = 5.0 if how == "late" else 0.0
    with attached(beamline, late_s=late_s) as (engine, verdicts, agent, documents):
        if how == "absent":
            agent.close()
        heard = Verdicts() if how == "absent" else verdicts
        plan = PLANS[name](beamline, heard, engine)
        if how == "dying":
            killer = threading.Timer(0.3, agent.close)
            killer.start()
        started = time.monotonic()
        engine(plan)
        assert time.monotonic() - started < LIMIT_S
        if how == "dying":
            killer.join()
        engine.clear_suspenders()
    stops = documents.of("stop")
    assert stops
    assert {stop["exit_status"] for stop in stops} == {"success"}
    if name in ("recenter", "maximize"):
        moved = (beamline.detector_x.position, beamline.sample_y.position) != begun
        done = documents.events("ringwatch")[-1]["action_acted"]
        assert moved == (done and how == "dying")  # before it died
    elif name not in ("until_confident", "next_sample"):
        # Whoever stops a scan here was asked to: three bad frames, heard in time.
        taken = len(documents.events("primary"))
        assert taken >= FRAMES or (how == "dying" and "stopped" in stops[0]["reason"])
