"""``until_confident``: count as long as it takes to know, and no longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.goals import Counted, Goal, Labelled
from ringwatch.plans.runs import in_a_run
from ringwatch.plans.verdicts import Verdicts
from ringwatch.plans.waiting import await_verdict

__all__ = ["until_confident"]


_NAME = "until_confident"
_MOST_LONGEST = 2.0  # a beam that went away must not be counted for ever


@dataclass(slots=True)
class _Course:
    counted: list[Counted] = field(default_factory=list)
    reason: str = ""
    deaf: bool = False


def until_confident(
    detectors: Sequence[Any],
    exposure: Any,
    verdicts: Verdicts,
    goal: Goal | None = None,
    *,
    first_s: float,
    longest_s: float,
    act: bool = False,
    readables: Sequence[Any] = (),
    patience_s: float = 10.0,
    log: ActionLog | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[list[Counted]]:
    """Expose one sample longer and longer, until the goal is reached.

    One run, one event an exposure. By default (shadow) all exposures up to the longest
    are taken, and an event of the stream ``ringwatch`` says after which of them it
    would have ended; with ``act`` it ends there. Without an agent the longest exposure
    is taken at once. All exposures together take no more than three times the longest.
    The exposure time is set back in the end.

    Parameters
    ----------
    detectors : sequence of devices
    exposure : settable
        Sets the exposure time of the detector, seconds.
    verdicts : Verdicts
    goal : Goal
        ``Labelled()`` by default, or ``Precise(precision=0.01)``.
    first_s, longest_s : float
        First exposure, and the longest that is ever taken, seconds.
    act : bool
    readables : sequence of devices
        Read with each exposure: I0 above all.
    patience_s : float
        For each verdict.
    log : ActionLog, optional
    md : mapping, optional
        Joins the start document.

    Returns
    -------
    list of Counted
        All exposures.

    Raises
    ------
    ValueError
        If the exposures are not 0 < first_s <= longest_s.
    """
    _check(first_s, longest_s, goal)
    goal, log = goal or Labelled(), log or ActionLog()
    course = _Course()
    header = {"plan_name": _NAME, **(md or {})}

    def exposures(uid: str) -> MsgGenerator[None]:
        seconds = first_s
        while True:
            yield from bps.checkpoint()
            yield from bps.mv(exposure, seconds)
            yield from bps.trigger_and_read([*detectors, *readables])
            number = len(course.counted) + 1
            heard = yield from await_verdict(verdicts, uid, number, patience_s)
            course.counted.append(Counted(seconds=seconds, heard=heard))
            ended = yield from judged()
            spent = sum(one.seconds for one in course.counted)
            if ended or seconds >= longest_s or spent > _MOST_LONGEST * longest_s:
                if not course.reason:
                    state = goal.state(course.counted)
                    yield from told(f"not reached in {spent:.3g} s: {state}")
                return
            wanted = goal.next_s(course.counted) if heard else longest_s
            if course.reason:  # in shadow mode it goes on to the longest
                wanted = 2.0 * seconds
            seconds = min(max(wanted, first_s), longest_s)

    def told(because: str) -> MsgGenerator[None]:
        last = course.counted[-1].heard
        action = Action(
            plan=_NAME, what="wait", acted=False, because=because, heard=last
        )
        yield from log.record(action)

    def judged() -> MsgGenerator[bool]:
        last = course.counted[-1].heard
        if last is None and not course.deaf:
            course.deaf = True
            trouble = verdicts.trouble or f"none came in {patience_s:g} s"
            yield from told(f"goes on without verdicts: {trouble}")
        reason = "" if course.reason else goal.reason(course.counted)
        if not reason:
            return False
        verb = "ended" if act else "would have ended"
        spent = sum(one.seconds for one in course.counted)
        course.reason = f"{verb} after {spent:.3g} s: {reason}"
        action = Action(
            plan=_NAME,
            what="stop",
            acted=act,
            because=course.reason,
            heard=last,
            value=spent,
        )
        yield from log.record(action)
        return act

    before = yield from bps.rd(exposure)

    def back() -> MsgGenerator[None]:
        yield from bps.mv(exposure, before)

    run = in_a_run(exposures, header, staged=detectors)
    yield from bpp.finalize_wrapper(run, back)
    return course.counted


def _check(first_s: float, longest_s: float, goal: object) -> None:
    if not 0.0 < first_s <= longest_s:
        raise ValueError(
            f"first_s is {first_s} and longest_s {longest_s}: expected both above 0, "
            "the first not above the longest"
        )
    if isinstance(goal, type):
        raise TypeError(f"the goal is a class: give {goal.__name__}() with its numbers")
