"""Suspenders on a real RunEngine: one pause a cause, no abort, and what to retake."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky import RunEngine
from ophyd import Signal

from ringwatch.plans.actions import ActionLog
from ringwatch.plans.retake import retake
from ringwatch.plans.retake_list import RetakeList
from ringwatch.plans.signals import AgentSignals
from ringwatch.plans.suspenders import SuspendOnAlarm, SuspendWithoutAgent
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .attached import Documents, attached

POINTS = 16
FIRST, LAST = 5, 9


def beamline_of(folder: Path, last: int | None = LAST, **given: Any) -> Beamline:
    faults = [BeamLost(first=FIRST, last=last)]
    given = {"exposure_time": 0.05, **given}
    return powder_beamline(folder, detector=256, faults=faults, **given)


def scan(beamline: Beamline, every: int = 1) -> Any:
    """A step scan over the detector's place that can rewind to every so-many-th."""

    def points() -> Any:
        for number in range(POINTS):
            if number % every == 0:
                yield from bps.checkpoint()
            yield from bps.mv(beamline.sample_y, 0.001 * number)
            yield from bps.trigger_and_read([beamline.detector, *beamline.readables])

    inside: Any = bpp.stage_wrapper(points(), [beamline.detector])
    return bpp.run_wrapper(inside)


def latest_frames(documents: Documents) -> dict[int, int]:
    """Index of the frame that counts, by number of the point."""
    latest = {}
    for doc in documents.of("stream_datum"):
        numbers = range(doc["seq_nums"]["start"], doc["seq_nums"]["stop"])
        indices = range(doc["indices"]["start"], doc["indices"]["stop"])
        latest.update(zip(numbers, indices, strict=True))
    return latest


def pauses(log: ActionLog) -> Sequence[str]:
    return [action.because for action in log.actions if action.what == "pause"]


@pytest.mark.parametrize("every", [1, 5])
def test_a_lost_beam_pauses_once_and_only_bad_points_are_taken_again(
    tmp_path: Path, every: int
) -> None:
    beamline = beamline_of(tmp_path)
    beam, log = Signal(name="beam", value=0), ActionLog()
    with attached(beamline) as (engine, verdicts, agent, documents):
        retakes = RetakeList(verdicts)
        engine.subscribe(retakes)
        suspender = SuspendOnAlarm(
            verdicts, clears=beam, act=True, timeout_s=60, log=log
        )
        engine.install_suspender(suspender)

        def restore() -> None:
            while not suspender.tripped:
                time.sleep(0.01)
            time.sleep(0.5)
            # The beam is back by its frames: let those that are lost yet go by.
            beamline.experiment.faults = ()
            beam.put(1)

        helper = threading.Thread(target=restore)
        helper.start()
        began = time.monotonic()
        engine(scan(beamline, every))
        helper.join()
        assert agent.wait_idle(60)
        assert time.monotonic() - began < 30.0
        (because,) = pauses(log)
        assert because.startswith("paused: no_beam since frame")
        (stop,) = documents.of("stop")
        assert stop["exit_status"] == "success"
        (said,) = documents.events("ringwatch")
        assert said["action_what"] == "pause"
        assert said["action_acted"]
        assert said["action_primary_flag"] == "no_beam"
        latest = latest_frames(documents)
        assert sorted(latest) == list(range(1, POINTS + 1))
        lost = {truth.index for truth in beamline.truths if truth.faults}
        bad = [number for number, index in sorted(latest.items()) if index in lost]
        if every == 1:
            assert bad  # recorded just before the suspension
        assert [point.seq_num for point in retakes.points()] == bad
        engine.remove_suspender(suspender)

        (uid,) = engine(
            retake(retakes, [beamline.detector], [beamline.sample_y], act=True)
        ) or ("",)
        if not bad:
            assert uid == ""
            return
        assert agent.wait_idle(60)
        start = documents.of("start")[-1]
        assert start["retake_points"] == bad
        assert start["retake_of"] == stop["run_start"]
        places = [
            event["sample_y"] for event in documents.events("primary")[-len(bad) :]
        ]
        assert places == pytest.approx([0.001 * (number - 1) for number in bad])
        assert retakes.points(uid) == []


def test_what_stays_lost_pauses_no_second_time(tmp_path: Path) -> None:
    beamline = beamline_of(tmp_path, last=None)
    log = ActionLog()
    with attached(beamline) as (engine, verdicts, _, documents):
        engine.install_suspender(
            SuspendOnAlarm(verdicts, act=True, timeout_s=0.5, log=log)
        )
        engine(scan(beamline))
    assert len(pauses(log)) == 1
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_by_default_a_suspender_only_notes(tmp_path: Path) -> None:
    beamline = beamline_of(tmp_path)
    log = ActionLog()
    with attached(beamline) as (engine, verdicts, agent, documents):
        engine.install_suspender(SuspendOnAlarm(verdicts, log=log))
        engine(scan(beamline))
        assert agent.wait_idle(60)
    (because,) = pauses(log)
    assert because.startswith("would have paused: no_beam")
    assert not log.actions[0].acted
    assert len(documents.events("primary")) == POINTS


def test_verdicts_of_superseded_frames_pause_nothing(tmp_path: Path) -> None:
    """The alarm comes again, late, of frames from before the scan went on."""
    beamline = beamline_of(tmp_path)
    log = ActionLog()
    with attached(beamline) as (engine, verdicts, agent, _):
        suspender = SuspendOnAlarm(verdicts, act=True, timeout_s=0.3, log=log)
        engine.install_suspender(suspender)
        engine(scan(beamline))
        assert agent.wait_idle(60)
        alarmed = [heard for heard in verdicts if heard.alarm == "no_beam"]
        suspender._hear(replaced(alarmed[0], alarm_episode=7))
    assert len(pauses(log)) == 1


def replaced(heard: Any, **changed: Any) -> Any:
    fields = {name: getattr(heard, name) for name in heard.__slots__}
    return type(heard)(**(fields | changed))


def test_a_dead_agent_pauses_once_and_the_scan_goes_on_without(tmp_path: Path) -> None:
    beamline = beamline_of(tmp_path, last=FIRST)
    log = ActionLog()
    with attached(beamline) as (engine, verdicts, agent, documents):
        signals = AgentSignals(verdicts)
        deadline = time.monotonic() + 10
        while not signals.agent_ok.get() and time.monotonic() < deadline:
            time.sleep(0.02)
        engine.install_suspender(
            SuspendWithoutAgent(signals, act=True, timeout_s=1.0, log=log)
        )
        threading.Timer(0.3, agent.close).start()
        began = time.monotonic()
        engine(scan(beamline))
        assert 1.0 < time.monotonic() - began < 20.0
        signals.close()
    (because,) = pauses(log)
    assert re.match("paused: no verdicts: the agent (was closed|has ended)", because)
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "success"
    (said,) = documents.events("ringwatch")
    assert said["action_because"] == because


def test_an_agent_that_comes_back_ends_the_pause() -> None:
    verdicts, log = Verdicts(), ActionLog()
    verdicts.note_link("")
    signals = AgentSignals(verdicts)
    time.sleep(0.3)
    engine = RunEngine({})
    engine.install_suspender(
        SuspendWithoutAgent(signals, act=True, timeout_s=100.0, log=log)
    )

    def plan() -> Any:
        for _ in range(20):
            yield from bps.checkpoint()
            yield from bps.sleep(0.1)

    threading.Timer(0.3, lambda: verdicts.note_link("it is away")).start()
    threading.Timer(1.5, lambda: verdicts.note_link("")).start()
    began = time.monotonic()
    engine(plan())
    assert 3.0 < time.monotonic() - began < 10.0
    assert pauses(log) == ["paused: no verdicts: it is away"]
    signals.close()


def test_an_agent_that_never_was_is_waited_for_once() -> None:
    verdicts, log = Verdicts(), ActionLog()
    signals = AgentSignals(verdicts)
    engine = RunEngine({})
    engine.install_suspender(
        SuspendWithoutAgent(signals, act=True, timeout_s=0.7, log=log)
    )
    for least, most in ((0.5, 5.0), (0.0, 0.5)):
        began = time.monotonic()
        engine([])
        assert least < time.monotonic() - began < most
    assert len(pauses(log)) == 1
    signals.close()


def test_a_plan_that_cannot_rewind_is_not_aborted() -> None:
    verdicts, log = Verdicts(), ActionLog()
    verdicts.note_link("")
    signals = AgentSignals(verdicts)
    time.sleep(0.3)
    engine = RunEngine({})
    engine.install_suspender(
        SuspendWithoutAgent(signals, act=True, timeout_s=100.0, log=log)
    )
    threading.Timer(0.2, lambda: verdicts.note_link("it is away")).start()

    def plan() -> Any:
        yield from bps.clear_checkpoint()
        yield from bps.sleep(1.5)  # where bluesky's own suspender aborts

    engine(plan())
    assert len(pauses(log)) == 1
    signals.close()


def test_what_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="no flag beam_gone"):
        SuspendOnAlarm(Verdicts(), ("beam_gone",))
    with pytest.raises(ValueError, match="timeout_s is 0"):
        SuspendOnAlarm(Verdicts(), timeout_s=0)
