"""What plans did, or would have done, for the agent's sake: written into the run."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

from bluesky.utils import Msg, MsgGenerator
from ophyd import Component, Device, Signal

from ringwatch.plans.heard import Heard

__all__ = ["Action", "ActionLog"]

logger = logging.getLogger(__name__)

STREAM = "ringwatch"
"""Stream of a raw run that holds what was done in it, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something done to a scan, or that would have been done.

    Attributes
    ----------
    plan : str
        Who acted, such as ``stop_when``.
    what : str
        One word: ``stop``, ``move``, ``pause``, ``retake``, ...
    acted : bool
        False in shadow mode: it was only noted.
    because : str
        One sentence.
    heard : Heard or None
        The verdict that caused it; None where there was none.
    value, low, high : float
        The number that decided, and its interval of 95 %; NaN without one.
    """

    plan: str
    what: str
    acted: bool
    because: str
    heard: Heard | None = None
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


class ActionLog(Device):
    """Writes actions as events of the stream ``ringwatch`` of the open run.

    Parameters
    ----------
    name : str
        Prefix of the data keys.

    Attributes
    ----------
    actions : list of Action
        All so far, those outside of runs too.
    plan, what, acted, because : Signal
        See ``Action``.
    index, seq_num, verdict, reason, primary_flag, label, label_prob : Signal
        Of the verdict that caused it; -1, empty or NaN without one.
    value, low, high : Signal
    """

    plan = Component(Signal, value="")
    what = Component(Signal, value="")
    acted = Component(Signal, value=False)
    because = Component(Signal, value="")
    index = Component(Signal, value=-1)
    seq_num = Component(Signal, value=-1)
    verdict = Component(Signal, value="")
    reason = Component(Signal, value="")
    primary_flag = Component(Signal, value="")
    label = Component(Signal, value="")
    label_prob = Component(Signal, value=math.nan)
    value = Component(Signal, value=math.nan)
    low = Component(Signal, value=math.nan)
    high = Component(Signal, value=math.nan)

    def __init__(self, *, name: str = "action", **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)
        self.actions: list[Action] = []

    def note(self, action: Action) -> None:
        """Keep an action and tell it to people; it is in no document yet."""
        self.actions.append(action)
        logger.warning("%s: %s", action.plan, action.because)
        heard = action.heard
        for signal, value in (
            (self.plan, action.plan),
            (self.what, action.what),
            (self.acted, action.acted),
            (self.because, action.because),
            (self.index, -1 if heard is None else heard.index),
            (self.seq_num, -1 if heard is None else heard.seq_num),
            (self.verdict, "" if heard is None else heard.word.value),
            (self.reason, "" if heard is None else heard.reason),
            (self.primary_flag, "" if heard is None else heard.primary_flag),
            (self.label, "" if heard is None else heard.label),
            (self.label_prob, math.nan if heard is None else heard.label_prob),
            (self.value, action.value),
            (self.low, action.low),
            (self.high, action.high),
        ):
            signal.put(value)

    def write(self, *, run: Any = None) -> MsgGenerator[None]:
        """Write the latest action as an event of the open run (of this key)."""
        yield Msg("create", None, name=STREAM, run=run)
        yield Msg("read", self, run=run)
        yield Msg("save", None, run=run)
