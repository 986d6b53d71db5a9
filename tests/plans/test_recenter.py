"""``recenter`` and ``maximize``: the pattern is brought back, or nothing is moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine

from ringwatch.plans.maximize import maximize
from ringwatch.plans.recenter import recenter
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .attached import Documents, attached

AWAY_MM = 0.5


def run(engine: Any, plan: Any) -> float:
    """Where the motor is in the end, by the plan."""
    where: list[float] = []

    def kept() -> Any:
        where.append((yield from plan))

    engine(kept())
    return where[0]


@pytest.mark.parametrize("slope", [None, -5.0])
def test_a_detector_that_was_moved_comes_back(
    tmp_path: Path, slope: float | None
) -> None:
    beamline = powder_beamline(tmp_path, detector=512, counts=3e6)
    pitch_mm = 1e3 * beamline.experiment.geometry.detector.pixel_size
    beamline.detector_x.set(AWAY_MM)
    options: dict[str, Any] = {"probe": 0.1, "most": 2.0, "tolerance": 0.1}
    with attached(beamline) as (engine, verdicts, _, documents):
        plan = recenter(
            [beamline.detector],
            beamline.detector_x,
            verdicts,
            slope=slope,
            act=True,
            **options,
        )
        assert run(engine, plan) == pytest.approx(0.0, abs=0.15 * pitch_mm)
    assert abs(beamline.detector_x.position) < 0.15 * pitch_mm
    moves = documents.events("ringwatch")
    assert 1 <= len(moves) <= 4
    assert all(move["action_acted"] for move in moves)
    assert abs(moves[-1]["action_value"]) <= 0.1
    assert documents.of("start")[-1]["plan_name"] == "recenter"


def test_by_default_it_only_says_what_it_would_move(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=512, counts=3e6)
    beamline.detector_x.set(AWAY_MM)
    with attached(beamline) as (engine, verdicts, _, documents):
        plan = recenter(
            [beamline.detector],
            beamline.detector_x,
            verdicts,
            probe=0.1,
            most=2.0,
            tolerance=0.1,
            slope=-5.0,
        )
        assert run(engine, plan) == AWAY_MM
    assert beamline.detector_x.position == AWAY_MM
    (said,) = documents.events("ringwatch")
    assert not said["action_acted"]
    assert said["action_because"].startswith("would move detector_x by")
    assert len(documents.events("primary")) == 1


@pytest.mark.parametrize(
    ("motor", "most", "faults", "because"),
    [
        ("sample_y", 2.0, (), "does not follow"),
        ("detector_x", 0.2, (), "farther than 0.2"),
        ("detector_x", 2.0, (BeamLost(first=0),), "the frame is"),
        ("detector_x", 2.0, (BeamLost(first=1, last=1),), "the frame is"),
    ],
)
def test_what_cannot_be_mended_is_left_as_it_was(
    tmp_path: Path, motor: str, most: float, faults: Any, because: str
) -> None:
    beamline = powder_beamline(tmp_path, detector=512, counts=3e6, faults=faults)
    beamline.detector_x.set(AWAY_MM)
    moved = getattr(beamline, motor)
    begun = moved.position
    with attached(beamline) as (engine, verdicts, _, documents):
        plan = recenter(
            [beamline.detector],
            moved,
            verdicts,
            probe=0.05,
            most=most,
            tolerance=0.1,
            act=True,
        )
        assert run(engine, plan) == begun
    assert moved.position == begun
    said = documents.events("ringwatch")[-1]
    assert because in said["action_because"]
    assert not said["action_acted"]
    assert documents.of("stop")[-1]["exit_status"] == "success"


def test_without_an_agent_nothing_is_moved(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256)
    engine, documents = RunEngine({}), Documents()
    engine.subscribe(documents)
    plan = recenter(
        [beamline.detector],
        beamline.detector_x,
        Verdicts(),
        probe=0.1,
        most=1.0,
        tolerance=0.1,
        act=True,
    )
    assert run(engine, plan) == 0.0
    (said,) = documents.events("ringwatch")
    assert "no verdict: no agent was heard yet" in said["action_because"]


@pytest.mark.parametrize("act", [False, True])
def test_a_sample_is_brought_into_the_beam(tmp_path: Path, act: bool) -> None:
    beamline = powder_beamline(tmp_path, detector=256, counts=1e7)
    beamline.sample_y.set(0.1)
    with attached(beamline) as (engine, verdicts, _, documents):
        plan = maximize(
            [beamline.detector],
            beamline.sample_y,
            verdicts,
            span=0.6,
            act=act,
        )
        where = run(engine, plan)
    (said,) = documents.events("ringwatch")
    assert said["action_acted"] == act
    if act:
        assert where == pytest.approx(0.0, abs=0.03)
    else:
        assert where == 0.1
        assert said["action_because"].startswith("would scan sample_y from -0.2 to 0.4")
        assert len(documents.events("primary")) == 1
    assert beamline.sample_y.position == where


def test_a_maximum_at_the_end_of_a_scan_is_none(tmp_path: Path) -> None:
    beamline = powder_beamline(tmp_path, detector=256, counts=1e7)
    beamline.sample_y.set(0.3)
    with attached(beamline) as (engine, verdicts, _, documents):
        plan = maximize(
            [beamline.detector],
            beamline.sample_y,
            verdicts,
            span=0.2,
            act=True,
        )
        assert run(engine, plan) == 0.3
    (said,) = documents.events("ringwatch")
    assert "at the end of the scan" in said["action_because"]


def test_what_cannot_be_asked() -> None:
    given: dict[str, Any] = {"probe": 0.1, "most": 1.0, "tolerance": 0.1}
    for name in given:
        plan = recenter([], None, Verdicts(), **(given | {name: 0.0}))
        with pytest.raises(ValueError, match=name):
            next(plan)
    with pytest.raises(ValueError, match="points"):
        next(maximize([], None, Verdicts(), span=1.0, points=4))
