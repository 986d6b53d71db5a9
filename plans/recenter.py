"""``recenter``: move until the pattern is where it belongs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.heard import Heard
from ringwatch.plans.runs import in_a_run
from ringwatch.plans.verdicts import Verdicts
from ringwatch.plans.waiting import await_verdict

__all__ = ["maximize", "recenter"]

_STEPS = 6
_LEAST_SIGMA = 3.0  # of the slope that a probe must show


class _Giving(Exception):  # noqa: N818 (no error: the plan ends where it began)
    """Why it goes no further."""


class _Frames:
    """Takes one frame at a time and asks what it shows."""

    def __init__(
        self,
        uid: str,
        detectors: Sequence[Any],
        motor: Any,
        key: str,
        verdicts: Verdicts,
        patience_s: float,
    ) -> None:
        self._uid, self._devices, self._key = uid, [*detectors, motor], key
        self._motor, self._verdicts, self._patience = motor, verdicts, patience_s
        self._taken = 0

    def at(self, position: float) -> MsgGenerator[tuple[float, Heard]]:
        """The value there, and the verdict that says it."""
        yield from bps.checkpoint()
        yield from bps.mv(self._motor, position)
        yield from bps.trigger_and_read(self._devices)
        self._taken += 1
        heard = yield from await_verdict(
            self._verdicts, self._uid, self._taken, self._patience
        )
        if heard is None:
            trouble = self._verdicts.trouble or f"none came in {self._patience:g} s"
            raise _Giving(f"no verdict: {trouble}")
        value = heard.values.get(self._key, math.nan)
        if not math.isfinite(value):
            raise _Giving(f"{self._key} is not known: {heard.reason}")
        return value, heard


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
    _check(probe=abs(probe), most=most, tolerance=tolerance)
    log = log or ActionLog()
    begun = float((yield from bps.rd(motor)))
    where = begun

    def inside(uid: str) -> MsgGenerator[None]:
        nonlocal where
        frames = _Frames(uid, detectors, motor, key, verdicts, patience_s)
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
        except _Giving as why:
            where = begun
            yield from bps.mv(motor, begun)
            because = f"left {motor.name} at {begun:.6g}: {why}"
            yield from tell(because, math.nan, heard, acted=False)

    def _to_zero(frames: _Frames, value: float, tell: Any) -> MsgGenerator[float]:
        position, steep = begun, slope
        for _ in range(_STEPS):
            step = probe if steep is None else -value / steep
            if abs(position + step - begun) > most:
                raise _Giving(
                    f"{key} is {value:.4g}; zero lies {position + step - begun:.4g} "
                    f"away, farther than {most:g}"
                )
            before = value
            value, heard = yield from frames.at(position + step)
            sigma = _sigma(heard, key)
            if abs(value - before) < _LEAST_SIGMA * sigma:
                raise _Giving(
                    f"{key} went from {before:.4g} to {value:.4g} (+- {sigma:.2g}) "
                    f"when {motor.name} moved by {step:.4g}: it does not follow"
                )
            steep = (value - before) / step
            position += step
            yield from tell(f"moved {motor.name} by {step:.4g}", value, heard)
            if abs(value) <= tolerance:
                return position
        raise _Giving(f"{key} is still {value:.4g} after {_STEPS} steps")

    def tell(
        what: str, value: float, heard: Heard | None, *, acted: bool = act
    ) -> MsgGenerator[None]:
        shown = f": {key} is {value:.4g}" if math.isfinite(value) else ""
        log.note(
            Action(
                plan="recenter",
                what="move",
                acted=acted,
                because=what + shown,
                heard=heard,
                value=value,
            )
        )
        yield from log.write()

    header = {"plan_name": "recenter", "motors": [motor.name], **(md or {})}
    yield from in_a_run(inside, header, staged=[*detectors, motor])
    return where


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
    parabola through the greatest value and its neighbours, and there. By default it
    goes back to where it was, and an event says where it would have gone. Where the
    greatest value is at an end of the scan, or a verdict is missing, it goes back too.

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
    _check(span=span, points=points - 4)
    log = log or ActionLog()
    begun = float((yield from bps.rd(motor)))
    where = begun

    def inside(uid: str) -> MsgGenerator[None]:
        nonlocal where
        frames = _Frames(uid, detectors, motor, key, verdicts, patience_s)
        places = begun + np.linspace(-0.5 * span, 0.5 * span, points)
        heard, acted, values = None, False, []
        try:
            for place in places:
                value, heard = yield from frames.at(float(place))
                values.append(value)
            best = _peak(places, np.array(values))
            where, acted = (best, True) if act else (begun, False)
            verb = "moved" if act else "would move"
            because = f"{verb} {motor.name} to {best:.6g}: {key} is greatest there"
        except _Giving as why:
            because = f"left {motor.name} at {begun:.6g}: {why}"
        yield from bps.mv(motor, where)
        log.note(
            Action(
                plan="maximize",
                what="move",
                acted=acted,
                because=because,
                heard=heard,
                value=where,
            )
        )
        yield from log.write()

    header = {"plan_name": "maximize", "motors": [motor.name], **(md or {})}
    yield from in_a_run(inside, header, staged=[*detectors, motor])
    return where


def _peak(places: Any, values: Any) -> float:
    """Top of the parabola through the greatest value and two neighbours each side."""
    top = int(np.argmax(values))
    if top in (0, values.size - 1):
        raise _Giving(
            f"the greatest value is at the end of the scan, at {places[top]:.6g}"
        )
    near = slice(max(top - 2, 0), top + 3)
    bend, tilt, _ = np.polyfit(places[near] - places[top], values[near], 2)
    if bend >= 0.0:
        raise _Giving("the values have no maximum")
    step = places[1] - places[0]
    return float(places[top] + np.clip(-0.5 * tilt / bend, -step, step))


def _sigma(heard: Heard, key: str) -> float:
    """Standard deviation of a value, 0 where the agent does not publish one."""
    for name in (key.replace("_dx_px", "_sigma_px").replace("_dy_px", "_sigma_px"),):
        if name != key and name in heard.values:
            return heard.values[name]
    return 0.0


def _check(**given: float) -> None:
    for name, value in given.items():
        if not value > 0.0:
            raise ValueError(f"{name} is {value}: too small")
