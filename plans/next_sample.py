"""``next_sample``: beam time where it is needed most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator
from ophyd import Signal

from ringwatch.agent.nouns import Word
from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.conditions import USABLE
from ringwatch.plans.heard import Heard
from ringwatch.plans.runs import in_a_run
from ringwatch.plans.verdicts import Verdicts
from ringwatch.plans.waiting import await_verdict

__all__ = ["Progress", "neediest", "next_sample"]


@dataclass(slots=True)
class Progress:
    """How far a sample is.

    Attributes
    ----------
    frames : int
        Taken of it.
    weight : float
        Sum of ``1 / precision^2`` of its frames.
    useless : int
        Frames that were judged and told nothing.
    heard : Heard or None
        The latest verdict of it.
    """

    frames: int = 0
    weight: float = 0.0
    useless: int = 0
    heard: Heard | None = None

    @property
    def precision(self) -> float:
        """Relative precision of all its frames together; infinite before the first."""
        return self.weight**-0.5 if self.weight else math.inf

    def left(self, target: float) -> float:
        """Frames to a target precision, by what its frames gave so far."""
        if not self.weight:
            return math.inf
        return max(self.frames * ((self.precision / target) ** 2 - 1.0), 0.0)

    def add(self, heard: Heard | None) -> None:
        """Take a frame, with what the agent says of it."""
        self.frames += 1
        if heard is None or heard.word is Word.UNKNOWN:
            return  # nobody looked
        self.heard = heard
        precision = heard.values.get("precision", math.nan)
        if heard.word in USABLE and precision > 0.0:
            self.weight += precision**-2
        else:
            self.useless += 1


def next_sample(
    samples: Mapping[str, Mapping[Any, float]],
    detectors: Sequence[Any],
    verdicts: Verdicts,
    *,
    frames: int,
    precision: float = 0.01,
    act: bool = False,
    give_up: int = 3,
    stay: float = 0.0,
    readables: Sequence[Any] = (),
    patience_s: float = 10.0,
    log: ActionLog | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[dict[str, Progress]]:
    """Share a number of frames out over samples so that the worst becomes the best.

    One frame of each; then always the sample that is known worst; one that reached the
    target is left, and the plan ends when all have, or when the frames are used up. A
    sample whose first frames are ``bad`` is given up; an empty place whose air scatters
    is none: it is measured as a sample without rings would be. By default
    (shadow) the frames go round evenly, and events say where they would have gone;
    so they do without an agent.

    One run; its events have the name of their sample under ``sample``.

    Parameters
    ----------
    samples : mapping of name to {motor: position}
    detectors : sequence of devices
    verdicts : Verdicts
    frames : int
        All together, at least one each.
    precision : float
        Relative precision of the strongest rings that is enough.
    act : bool
    give_up : int
        Useless frames, without any good one, after which a sample is left.
    stay : float
        Where changing samples takes long: stay at one until it is by this share (such
        as 0.1) better than the worst of the others.
    readables : sequence of devices
        Read with each frame.
    patience_s : float
        For each verdict.
    log : ActionLog, optional
    md : mapping, optional
        Joins the start document.

    Returns
    -------
    dict of str to Progress

    Raises
    ------
    ValueError
        If there are no samples, fewer frames than samples, or no precision above 0.
    """
    if not samples or frames < len(samples) or not precision > 0.0:
        raise ValueError(
            f"{len(samples)} samples, {frames} frames, precision {precision}: expected "
            "one sample or more, a frame for each, and a precision above 0"
        )
    log = log or ActionLog()
    progress = {name: Progress() for name in samples}
    motors = list(dict.fromkeys(motor for place in samples.values() for motor in place))
    label = Signal(name="sample", value="")
    devices = [*detectors, *motors, label, *readables]
    told = "?"  # nothing yet

    def inside(uid: str) -> MsgGenerator[None]:
        here = ""
        for taken in range(frames):
            wanted = neediest(progress, precision, here, give_up, stay)
            if wanted == "" and act and not verdicts.trouble:
                yield from tell("", taken)
                return
            even = list(samples)[taken % len(samples)]
            first_round = taken < len(samples)
            chosen = even if first_round or not act or verdicts.trouble else wanted
            if not first_round:
                yield from tell(wanted, taken)
            yield from bps.checkpoint()
            if chosen != here:
                for motor, position in samples[chosen].items():
                    yield from bps.mv(motor, position)
                yield from bps.mv(label, chosen)
                here = chosen
            yield from bps.trigger_and_read(devices)
            heard = yield from await_verdict(verdicts, uid, taken + 1, patience_s)
            progress[chosen].add(heard)

    def tell(wanted: str, taken: int) -> MsgGenerator[None]:
        nonlocal told
        if wanted == told:
            return
        told = wanted
        verb = "goes" if act else "would go"
        state = progress.get(wanted)
        if verdicts.trouble:
            because = f"goes round without verdicts: {verdicts.trouble}"
        elif state is None:
            empty = [name for name, one in progress.items() if not one.weight]
            known = max((s.precision for s in progress.values() if s.weight), default=1)
            because = f"after {taken} frames each is known to {known:.2%} or better"
            because += f", but for {', '.join(empty)}: given up" if empty else ""
        else:
            because = (
                f"{verb} to {wanted}: known to {state.precision:.2%}, the least; "
                f"{_some(state.left(precision))} more to {precision:.2%}"
            )
        action = Action(
            plan="next_sample",
            what="choose",
            acted=act and not verdicts.trouble,
            because=because,
            heard=None if state is None else state.heard,
            value=math.nan if state is None else state.precision,
        )
        yield from log.record(action)

    header = {"plan_name": "next_sample", "num_points": frames, **(md or {})}
    yield from in_a_run(inside, header, staged=[*detectors, *motors])
    return progress


def neediest(
    progress: Mapping[str, Progress],
    target: float,
    here: str,
    give_up: int,
    stay: float,
) -> str:
    """The sample that is known worst and not yet well enough; empty without one."""
    open_ = {
        name: state
        for name, state in progress.items()
        if state.precision > target
        and not (state.useless >= give_up and not state.weight)
    }
    if not open_:
        return ""
    worst = max(open_, key=lambda name: open_[name].precision)
    if here in open_ and open_[here].precision > (1.0 - stay) * open_[worst].precision:
        return here
    return worst


def _some(frames: float) -> str:
    if not math.isfinite(frames):
        return "nobody knows how many"
    return f"some {math.ceil(frames)}"
