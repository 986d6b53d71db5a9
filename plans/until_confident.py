"""``until_confident``: count as long as it takes to know, and no longer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.conditions import USABLE
from ringwatch.plans.heard import Heard
from ringwatch.plans.runs import in_a_run
from ringwatch.plans.verdicts import Verdicts
from ringwatch.plans.waiting import await_verdict

__all__ = ["Counted", "Labelled", "Precise", "until_confident"]


_NAME = "until_confident"
_MOST_LONGEST = 2.0  # a beam that went away must not be counted for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One exposure and what the agent says of it.

    Attributes
    ----------
    seconds : float
    heard : Heard or None
        None where no verdict came.
    """

    seconds: float
    heard: Heard | None


class Goal(Protocol):
    """What is to be known of a sample."""

    def reason(self, counted: Sequence[Counted]) -> str:
        """Why that is enough; empty where it is not."""

    def next_s(self, counted: Sequence[Counted]) -> float:
        """How long to expose next, seconds."""

    def state(self, counted: Sequence[Counted]) -> str:
        """How far it is, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The label is known, or longer exposures do not change it any more.

    Probabilities are those of 97 classes before anything else is known of the sample;
    the defaults were found on two sets of 200 simulated samples, beginning with a
    quarter of the exposure that would do for all. Exposures that hardly show a ring
    may be sure of a wrong class.

    Attributes
    ----------
    prob : float
        Enough, from one exposure.
    same : int
        Or: so many exposures, each ``longer`` times as long as the one before, name the
        same class, ...
    settled : float
        ... and the probability of the last is above that of the one before by no more
        than this.
    least : float
        ... and it is at least this.
    longer : float
        Factor from each exposure to the next.
    """

    prob: float = 0.4
    same: int = 3
    settled: float = 0.1
    least: float = 0.2
    longer: float = 4.0

    def __post_init__(self) -> None:
        if not (self.longer > 1.0 and self.same >= 2):
            raise ValueError(
                f"longer is {self.longer} and same {self.same}: expected more than 1, "
                "and 2 or more"
            )

    def reason(self, counted: Sequence[Counted]) -> str:
        """Why that is enough; empty where it is not."""
        heard = [one.heard for one in counted if one.heard and one.heard.label]
        if not heard or heard[-1] is not counted[-1].heard:
            return ""
        last = heard[-1]
        named = f"{last.label} (class {last.class_number}) with {last.label_prob:.0%}"
        if last.label_prob >= self.prob:
            return named
        latest = heard[-self.same :]
        if len(latest) < self.same or last.label_prob < self.least:
            return ""
        if {one.class_number for one in latest} != {last.class_number}:
            return ""
        if last.label_prob - latest[-2].label_prob > self.settled:
            return ""
        return f"{named}, as {self.same} exposures say, and no surer for the longest"

    def next_s(self, counted: Sequence[Counted]) -> float:
        """How long to expose next, seconds."""
        return self.longer * counted[-1].seconds

    def state(self, counted: Sequence[Counted]) -> str:
        """What the last exposure says, in words."""
        last = counted[-1].heard
        if last is None or not last.label:
            return "no label"
        known = f"{last.label} (class {last.class_number}) with {last.label_prob:.0%}"
        return f"{known}, asked {self.prob:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precise:
    """The strongest rings are known to a relative precision, all exposures together.

    Attributes
    ----------
    precision : float
        Relative standard deviation, such as 0.01.
    """

    precision: float = 0.01

    def __post_init__(self) -> None:
        if not self.precision > 0.0:
            raise ValueError(f"precision is {self.precision}: expected above 0")

    def reason(self, counted: Sequence[Counted]) -> str:
        """Why that is enough; empty where it is not."""
        reached = self.reached(counted)
        if reached > self.precision:
            return ""
        return f"the strongest rings are known to {reached:.2%}"

    def reached(self, counted: Sequence[Counted]) -> float:
        """Precision of all sound exposures together; infinite without one."""
        weight = sum(
            one.heard.values["precision"] ** -2
            for one in counted
            if one.heard is not None
            and one.heard.word in USABLE
            and one.heard.values.get("precision", 0.0) > 0.0
        )
        return weight**-0.5 if weight else math.inf

    def state(self, counted: Sequence[Counted]) -> str:
        """How precise all exposures are together, in words."""
        reached = self.reached(counted)
        known = f"{reached:.2%}" if math.isfinite(reached) else "not at all"
        return f"the strongest rings are known to {known}, asked {self.precision:.2%}"

    def next_s(self, counted: Sequence[Counted]) -> float:
        """What is left, by how precise the time so far has made it, seconds."""
        reached = self.reached(counted)
        if not math.isfinite(reached):
            return 2.0 * counted[-1].seconds
        total = sum(one.seconds for one in counted)
        return total * ((reached / self.precision) ** 2 - 1.0)


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
