"""What plans did, or would have done, for the agent's sake: written into the run."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from ringwatch.plans.heard import Heard

__all__ = ["STREAM", "Action", "ActionLog"]

logger = logging.getLogger(__name__)

STREAM = "ringwatch"
"""Stream of a raw run that holds what was done in it, and why."""

_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something done to a scan, or that would have been done.

    Attributes
    ----------
    plan : str
        Who acted, such as ``stop_when``.
    what : str
        One word: ``stop``, ``move``, ``pause``, ``retake``, ``choose``, ``wait``.
    acted : bool
        False in shadow mode, or where nothing could be done: it was only noted.
    because : str
        One sentence.
    heard : Heard or None
        The verdict that caused it; None where there was none.
    value, low, high : float
        The number that decided, and its interval; NaN without one.
    """

    plan: str
    what: str
    acted: bool
    because: str
    heard: Heard | None = None
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def data(self) -> dict[str, Any]:
        """What its event says, by data key."""
        heard = self.heard
        return {
            "action_plan": self.plan,
            "action_what": self.what,
            "action_acted": self.acted,
            "action_because": self.because,
            "action_run_uid": "" if heard is None else heard.run_uid,
            "action_stream": "" if heard is None else heard.stream,
            "action_index": -1 if heard is None else heard.index,
            "action_seq_num": -1 if heard is None else heard.seq_num,
            "action_verdict": "" if heard is None else heard.word.value,
            "action_reason": "" if heard is None else heard.reason,
            "action_primary_flag": "" if heard is None else heard.primary_flag,
            "action_label": "" if heard is None else heard.label,
            "action_label_prob": math.nan if heard is None else heard.label_prob,
            "action_value": self.value,
            "action_low": self.low,
            "action_high": self.high,
        }


class _Writer:
    """What is read into the stream: one for all, as a stream has the same devices."""

    name = "action"
    parent = None

    def __init__(self) -> None:
        self.action = Action(plan="", what="", acted=False, because="")

    def read(self) -> dict[str, Any]:
        now = time.time()
        data = self.action.data
        return {key: {"value": value, "timestamp": now} for key, value in data.items()}

    def describe(self) -> dict[str, Any]:
        types = {bool: "boolean", int: "integer", float: "number", str: "string"}
        return {
            key: {"source": "ringwatch", "dtype": types[type(value)], "shape": []}
            for key, value in self.action.data.items()
        }


_WRITER = _Writer()


class ActionLog:
    """Remembers actions, tells people of them, and writes them into the open run.

    Attributes
    ----------
    actions : deque of Action
        The last thousand, those outside of runs too.
    """

    def __init__(self) -> None:
        self.actions: deque[Action] = deque(maxlen=_KEPT)

    def note(self, action: Action) -> None:
        """Keep an action and tell it to people; any thread."""
        self.actions.append(action)
        logger.warning("%s: %s", action.plan, action.because)

    def write(self, action: Action, *, run: Any = None) -> MsgGenerator[None]:
        """Write an action as an event of the open run (of this key)."""
        yield Msg("create", None, name=STREAM, run=run)
        _WRITER.action = action
        yield Msg("read", _WRITER, run=run)
        yield Msg("save", None, run=run)

    def record(self, action: Action, *, run: Any = None) -> MsgGenerator[None]:
        """Note an action and write it."""
        self.note(action)
        yield from self.write(action, run=run)
