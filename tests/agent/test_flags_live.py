"""Flags of a live scan: alarms, the corrected pattern, what the plan moves itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import DetectorShift, Fault
from ringwatch.simulated_beamline.scenarios import powder_beamline

Scan = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def scan(run_engine: RunEngine, tmp_path: Path) -> Scan:
    """Run a step scan of a simulated beamline; data of its verdicts."""

    def scanned(
        steps: Callable[[Beamline], list[dict[Any, float]]],
        *,
        faults: tuple[Fault, ...] = (),
        motors: tuple[str, ...] = (),
    ) -> list[dict[str, Any]]:
        beamline = powder_beamline(tmp_path, detector=512, faults=faults)
        sink = MemorySink()
        agent = Agent(
            poni=beamline.poni_path,
            mask=beamline.mask_path,
            classifier="none",
            sinks=(sink,),
        )
        token = run_engine.subscribe(agent)
        run_engine(beamline.step_scan(steps(beamline), darks=2, md={"motors": motors}))
        assert agent.wait_idle(60)
        run_engine.unsubscribe(token)
        agent.close()
        events = [doc["data"] for name, doc in sink.documents if name == "event"]
        return [e for e in events if e["verdict"] != "unknown"]

    return scanned


def test_a_slip_rings_once_and_its_pattern_is_corrected(scan: Scan) -> None:
    slip = DetectorShift(first=6, dx_px=1.0, dy_px=0.5)
    events = scan(lambda b: [{b.furnace: 300.0}] * 10, faults=(slip,))
    assert [e["alarm"] for e in events] == [""] * 7 + ["beam_center"] * 3
    assert [e["alarm_new"] for e in events] == [False] * 7 + [True] + [False] * 2
    assert events[7]["alarm_since"] == 6
    for event in events[:6]:
        assert np.isnan(event["intensity_corrected"]).all()
    for event in events[6:]:
        plain, corrected = event["intensity"], event["intensity_corrected"]
        assert corrected.max() > 1.02 * plain.max()  # its rings are sharper again


def test_what_the_plan_moves_is_no_misalignment(scan: Scan) -> None:
    def moves(beamline: Beamline) -> list[dict[Any, float]]:
        places = [0.0, 0.0, 0.0, 0.0, 0.6, 1.2]  # mm; a pixel has 0.4
        return [{beamline.detector_x: place} for place in places]

    events = scan(moves, motors=("detector_x",))
    assert {e["verdict"] for e in events} == {"good"}
    assert "beam_center" in events[5]["primary_flag"] + events[5]["also"]
    assert "the plan moves detector_x" in events[5]["reason"]
    untold = scan(moves)
    assert [e["verdict"] for e in untold[4:]] == ["misaligned"] * 2
