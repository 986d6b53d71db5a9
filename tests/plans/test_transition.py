"""A furnace that crosses a transition at a pace the plan does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.plans.actions import ActionLog
from ringwatch.plans.conditions import flag_is, label_is
from ringwatch.plans.stop_when import stop_when
from ringwatch.plans.verdicts import Verdicts
from ringwatch.simulated_beamline.plan_clock import PlanClock
from ringwatch.simulated_beamline.processes import TransitionRamp

MOST = 120


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.4, 0.8])
@pytest.mark.parametrize("by", ["label", "change"])
def test_the_furnace_is_held_at_the_transition(
    tmp_path: Path, rate: float, by: str
) -> None:
    ramp = TransitionRamp(rate=rate, start_k=950.0 - 18.0 * rate, seed=3)
    beamline = ramp.beamline(tmp_path)
    verdicts, log = Verdicts(), ActionLog()
    condition = flag_is("change_point") if by == "change" else label_is(102, prob=0.5)
    engine = RunEngine({})
    with Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        sinks=(verdicts,),
    ) as agent:
        verdicts.watch(agent)
        assert agent.wait_idle(120)
        engine.subscribe(agent)
        engine(
            stop_when(
                ramp.plan(beamline, MOST),
                condition,
                verdicts,
                act=True,
                then=lambda: ramp.hold(beamline),
                log=log,
                clock=PlanClock(beamline.experiment.clock),
                max_behind=1,
            )
        )
    assert len(beamline.truths) < MOST
    held = beamline.furnace.position
    rutile = beamline.truths[-1].fractions[1]
    (action,) = log.actions
    assert action.acted
    assert action.heard is not None
    if by == "label":
        assert action.heard.label == "P-n-"
        assert rutile > 0.9
        assert held < 975.0
    else:  # where the pattern begins to change
        assert 0.005 < rutile < 0.9
    beamline.experiment.clock.advance(1000.0)
    assert beamline.experiment.furnace.sample == pytest.approx(held, abs=0.1)
