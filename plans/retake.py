"""``retake``: only the points that did not come out, once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.retake_list import BadPoint, RetakeList
from ringwatch.plans.runs import in_a_run
from ringwatch.plans.waiting import wait_until

__all__ = ["retake"]


def retake(
    retakes: RetakeList,
    detectors: Sequence[Any],
    motors: Sequence[Any] = (),
    *,
    run_uid: str = "",
    act: bool = False,
    patience_s: float = 10.0,
    log: ActionLog | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take the bad points of a run again, in a run of their own.

    By default it only says which, in the log, as it has no run to write it into. With
    ``act`` it goes to where each of them was taken, by the readings of the motors in
    its event, and takes one event there. The start
    document says of which run (``retake_of``) and of which points (``retake_points``)
    the events are, in their order. Where no point is bad, no run is made.

    Parameters
    ----------
    retakes : RetakeList
    detectors : sequence of devices
        Triggered and read at each point.
    motors : sequence of devices
        Moved to where they were, the first first; each named in the events as itself.
    run_uid : str
        By default the run that began last.
    act : bool
        Whether to take them, instead of saying so.
    patience_s : float
        How long to wait for verdicts of points that have none, seconds.
    log : ActionLog, optional
    md : mapping, optional
        Joins the start document.

    Returns
    -------
    str
        uid of the new run; empty where there is none.

    Raises
    ------
    ValueError
        If the run is not known, or its events have no reading of a motor.
    """
    uid = run_uid or retakes.latest_run
    if not retakes.knows(uid):
        raise ValueError(
            f"no run {uid!r} is known: subscribe the RetakeList to the RunEngine "
            "before the run; it remembers the last four"
        )
    yield from wait_until(lambda: retakes.is_judged(uid), patience_s)
    missing = [number for _, number in retakes.unjudged(uid)]
    points = retakes.points(uid)
    numbers = [point.seq_num for point in points]
    verb = "takes" if act else "would take"
    named = ", ".join(map(str, numbers)) or "none"
    because = f"{verb} again of run {uid}: {named}" + _why(points)
    if missing:
        because += f"; no verdict of {', '.join(map(str, missing))}"
    log = log or ActionLog()
    action = Action(
        plan="retake",
        what="retake",
        acted=act and bool(points),
        because=because,
        heard=points[0].heard if points else None,
    )
    log.note(action)
    places = [[_place(point, motor) for motor in motors] for point in points]
    if not points or not act:
        return ""
    header = {
        "plan_name": "retake",
        "num_points": len(points),
        "retake_of": uid,
        "retake_points": numbers,
        "motors": [motor.name for motor in motors],
        **(md or {}),
    }

    def taken(_: str) -> MsgGenerator[None]:
        yield from log.write(action)
        for place in places:
            yield from bps.checkpoint()
            for motor, position in zip(motors, place, strict=True):
                yield from bps.mv(motor, position)
            yield from bps.trigger_and_read([*detectors, *motors])

    return (yield from in_a_run(taken, header, staged=[*detectors, *motors]))


def _place(point: BadPoint, motor: Any) -> Any:
    if motor.name not in point.readings:
        known = ", ".join(sorted(point.readings)) or "nothing"
        raise ValueError(
            f"point {point.seq_num} of run {point.run_uid} has no reading of "
            f"{motor.name!r}, so it is not known where it was: its event has {known}"
        )
    return point.readings[motor.name]


def _why(points: Sequence[BadPoint]) -> str:
    flags = sorted({point.heard.primary_flag for point in points} - {""})
    return f" ({', '.join(flags)})" if flags else ""
