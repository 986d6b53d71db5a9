"""``recenter``: move until the pattern is where it belongs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.heard import Heard
from ringwatch.plans.one_by_one import (
    GivingUpError,
    OneByOne,
    check_positive,
    walk,
)
from ringwatch.plans.verdicts import Verdicts

__all__ = ["recenter"]

_STEPS = 6
_LEAST_SIGMA = 3.0  # of the slope that a probe must show


def recenter(
    detectors: Sequence[Any],
    motor: Any,
    verdicts: Verdicts,
    key: str = "beam_center_dx_px",
    *,
    probe: float,
    most: float,
    tolerance: float,
    slope: float | None = None,
    act: bool = False,
    patience_s: float = 10.0,
    log: ActionLog | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[float]:
    """Move one motor until a physical value of the verdicts is zero.

    For the offset of a detector or the height of a sample: one frame here, one a probe
    away to learn which way and how far (unless ``slope`` says it), then straight to
    zero, again until the value is within the tolerance. Where that fails - no verdict,
    a value that does not follow the motor, more than ``most`` of travel, six steps -
    the motor goes back to where it was. By default only the first frame is taken and
    an event says what would be moved.

    Parameters
    ----------
    detectors : sequence of devices
    motor : positioner
    verdicts : Verdicts
    key : str
        Physical value, such as ``beam_center_dx_px`` or ``displacement_um``.
    probe : float
        First move, in units of the motor.
    most : float
        Farthest from where it is now, in units of the motor.
    tolerance : float
        Of the value, in its unit.
    slope : float, optional
        Change of the value with the motor, in units of both.
    act : bool
    patience_s : float
        For each verdict.
    log : ActionLog, optional
    md : mapping, optional
        Joins the start document.

    Returns
    -------
    float
        Where the motor is in the end.

    Raises
    ------
    ValueError
        If probe, most or tolerance is not above 0.
    """
    check_positive(probe=abs(probe), most=most, tolerance=tolerance)
    if slope is not None:
        check_positive(slope=abs(slope))
    log = log or ActionLog()
    begun = float((yield from bps.rd(motor)))
    where = begun

    def inside(uid: str) -> MsgGenerator[None]:
        nonlocal where
        frames = OneByOne(uid, detectors, motor, key, verdicts, patience_s, begun)
        heard = None
        try:
            value, heard = yield from frames.at(begun)
            if abs(value) > tolerance and act:
                where = yield from _to_zero(frames, value, tell)
            elif abs(value) > tolerance:
                way = f"by {-value / slope:.4g}" if slope else "by what a probe shows"
                yield from tell(f"would move {motor.name} {way}", value, heard)
            else:
                yield from tell("nothing to move", value, heard, acted=False)
        except GivingUpError as why:
            where = begun
            yield from bps.mv(motor, begun)
            because = f"left {motor.name} at {begun:.6g}: {why}"
            yield from tell(because, math.nan, why.heard or heard, acted=False)

    def _to_zero(frames: OneByOne, value: float, tell: Any) -> MsgGenerator[float]:
        position, steep = begun, slope
        for _ in range(_STEPS):
            step = probe if steep is None else -value / steep
            if abs(position + step - begun) > most:
                raise GivingUpError(
                    f"{key} is {value:.4g}; zero lies {position + step - begun:.4g} "
                    f"away, farther than {most:g}"
                )
            before = value
            value, heard = yield from frames.at(position + step)
            sigma = _sigma(heard, key)
            if abs(value - before) <= _LEAST_SIGMA * sigma:
                raise GivingUpError(
                    f"{key} went from {before:.4g} to {value:.4g} (+- {sigma:.2g}) "
                    f"when {motor.name} moved by {step:.4g}: it does not follow",
                    heard,
                )
            steep = (value - before) / step
            position += step
            yield from tell(f"moved {motor.name} by {step:.4g}", value, heard)
            if abs(value) <= tolerance:
                return position
        raise GivingUpError(f"{key} is still {value:.4g} after {_STEPS} steps")

    def tell(
        what: str, value: float, heard: Heard | None, *, acted: bool = act
    ) -> MsgGenerator[None]:
        shown = f": {key} is {value:.4g}" if math.isfinite(value) else ""
        action = Action(
            plan="recenter",
            what="move",
            acted=acted,
            because=what + shown,
            heard=heard,
            value=value,
        )
        yield from log.record(action)

    yield from walk("recenter", inside, detectors, motor, begun, md or {})
    return where


def _sigma(heard: Heard, key: str) -> float:
    """Standard deviation of a value, 0 where the agent does not publish one."""
    name = re.sub("_d[xy]_px$", "_sigma_px", key)
    return 0.0 if name == key else heard.values.get(name, 0.0)
