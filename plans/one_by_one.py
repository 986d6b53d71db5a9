"""One frame after another along a motor, each with its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator

from ringwatch.agent.nouns import Word
from ringwatch.plans.heard import Heard, near
from ringwatch.plans.runs import in_a_run
from ringwatch.plans.verdicts import Verdicts
from ringwatch.plans.waiting import await_verdict

__all__ = ["GivingUpError", "OneByOne", "check_positive", "walk"]


class GivingUpError(Exception):
    """Why a plan goes no further, and back to where it began; by which verdict."""

    def __init__(self, why: str, heard: Heard | None = None) -> None:
        super().__init__(why)
        self.heard = heard


class OneByOne:
    """Takes one frame at a time and asks what it shows.

    Parameters
    ----------
    uid : str
        Of the open run.
    detectors : sequence of devices
    motor : positioner
    key : str
        Physical value that is asked for.
    verdicts : Verdicts
    patience_s : float
        For each verdict.
    begun : float
        Where the motor is.
    """

    def __init__(
        self,
        uid: str,
        detectors: Sequence[Any],
        motor: Any,
        key: str,
        verdicts: Verdicts,
        patience_s: float,
        begun: float,
    ) -> None:
        self._uid, self._devices, self._key = uid, [*detectors, motor], key
        self._motor, self._verdicts, self._patience = motor, verdicts, patience_s
        self._taken, self._here = 0, begun

    def at(self, position: float) -> MsgGenerator[tuple[float, Heard]]:
        """The value there, and the verdict that says it.

        Raises
        ------
        GivingUpError
            Without a verdict or a value, and where the frame is bad.
        """
        yield from bps.checkpoint()
        if position != self._here:
            yield from bps.mv(self._motor, position)
            self._here = position
        yield from bps.trigger_and_read(self._devices)
        self._taken += 1
        heard = yield from await_verdict(
            self._verdicts, self._uid, self._taken, self._patience
        )
        if heard is None:
            trouble = self._verdicts.trouble or f"none came in {self._patience:g} s"
            raise GivingUpError(f"no verdict: {trouble}")
        if heard.word in (Word.BAD, Word.UNKNOWN):
            raise GivingUpError(f"the frame is {heard.word}: {heard.reason}", heard)
        value = heard.values.get(self._key, math.nan)
        if not math.isfinite(value):
            where = near(self._key, heard)
            raise GivingUpError(f"the frame has no value {self._key!r}{where}", heard)
        return value, heard


def walk(
    name: str,
    inside: Callable[[str], MsgGenerator[None]],
    detectors: Sequence[Any],
    motor: Any,
    begun: float,
    md: Mapping[str, Any],
) -> MsgGenerator[None]:
    """A run along a motor, which goes back if the plan fails or is aborted.

    Parameters
    ----------
    name : str
        Of the plan.
    inside : callable
        Takes the uid of the run and gives its plan.
    detectors : sequence of devices
    motor : positioner
    begun : float
        Where the motor is.
    md : mapping
        Joins the start document.
    """

    def back(_: Exception) -> MsgGenerator[None]:
        yield from bps.mv(motor, begun)

    header = {"plan_name": name, "motors": [motor.name], **md}
    run = in_a_run(inside, header, staged=[*detectors, motor])
    yield from bpp.contingency_wrapper(run, except_plan=back)


def check_positive(**given: float) -> None:
    """Raise ``ValueError`` for the first number that is not above 0."""
    for name, value in given.items():
        if not value > 0.0:
            raise ValueError(f"{name} is {value}: give more than 0")
