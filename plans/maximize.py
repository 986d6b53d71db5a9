"""``maximize``: move to where there is most of something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.one_by_one import (
    GivingUpError,
    OneByOne,
    check_positive,
    walk,
)
from ringwatch.plans.verdicts import Verdicts

__all__ = ["maximize"]


def maximize(
    detectors: Sequence[Any],
    motor: Any,
    verdicts: Verdicts,
    key: str = "crystalline_fraction",
    *,
    span: float,
    points: int = 9,
    act: bool = False,
    patience_s: float = 10.0,
    log: ActionLog | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[float]:
    """Scan a motor and go to where a physical value is greatest.

    For the height of a sample: ``points`` frames over ``span`` about where it is, a
    parabola through the greatest value and its neighbours, and there. By default one
    frame is taken, and an event says what would be scanned. Where the greatest value
    is at an end of the scan, or a verdict is missing, the motor goes back to where it
    was; so it does where the plan fails or is aborted, as with ``recenter``.

    Parameters
    ----------
    detectors, motor, verdicts, act, patience_s, log, md
        As of ``recenter``.
    key : str
        Physical value that a verdict has from the first frame on: by default the share
        of the light that is in rings, which air and holder do not have.
    span : float
        Whole length of the scan, in units of the motor.
    points : int
        5 or more.

    Returns
    -------
    float
        Where the motor is in the end.

    Raises
    ------
    ValueError
        If span is not above 0, or points below 5.
    """
    check_positive(span=span)
    if points < 5:
        raise ValueError(f"points is {points}: give 5 or more")
    log = log or ActionLog()
    begun = float((yield from bps.rd(motor)))
    where = begun

    def inside(uid: str) -> MsgGenerator[None]:
        nonlocal where
        frames = OneByOne(uid, detectors, motor, key, verdicts, patience_s, begun)
        places = begun + np.linspace(-0.5 * span, 0.5 * span, points)
        heard, acted, values = None, False, []
        try:
            for place in places if act else [begun]:
                value, heard = yield from frames.at(float(place))
                values.append(value)
            if act:
                where, acted = _peak(places, np.array(values)), True
                because = f"moved {motor.name} to {where:.6g}: {key} is greatest there"
            else:
                ends = f"{places[0]:.6g} to {places[-1]:.6g}"
                because = (
                    f"would scan {motor.name} from {ends} for the greatest {key}, "
                    f"{values[0]:.4g} here"
                )
        except GivingUpError as why:
            because = f"left {motor.name} at {begun:.6g}: {why}"
            heard = why.heard or heard
        if act:
            yield from bps.mv(motor, where)
        action = Action(
            plan="maximize",
            what="move",
            acted=acted,
            because=because,
            heard=heard,
            value=where,
        )
        yield from log.record(action)

    yield from walk("maximize", inside, detectors, motor, begun, md or {})
    return where


def _peak(places: Any, values: Any) -> float:
    """Top of the parabola through the greatest value and two neighbours each side."""
    top = int(np.argmax(values))
    if top in (0, values.size - 1):
        raise GivingUpError(
            f"the greatest value is at the end of the scan, at {places[top]:.6g}"
        )
    near = slice(max(top - 2, 0), top + 3)
    bend, tilt, _ = np.polyfit(places[near] - places[top], values[near], 2)
    if bend >= 0.0:
        raise GivingUpError("the values have no maximum")
    step = places[1] - places[0]
    return float(places[top] + np.clip(-0.5 * tilt / bend, -step, step))
