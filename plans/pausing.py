"""What RunEngines ask of a suspender, so that no scan is aborted by it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from bluesky import RunEngine
from bluesky.utils import IllegalMessageSequence, MsgGenerator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.heard import Heard

__all__ = ["Pausing"]

_LOOK_S = 0.02
_AGAIN_S = 0.05


class Pausing:
    """A suspender without a cause: those with one derive from it.

    Bluesky's own aborts a scan that has cleared its checkpoint, and ends the waiting of
    another suspender: this one waits for its turn, or until the cause has gone.

    Parameters
    ----------
    act : bool
        Whether to pause, instead of noting that it would.
    timeout_s : float
        After so long a scan goes on, and is not paused again for the same cause.
    log : ActionLog or None
    """

    def __init__(self, *, act: bool, timeout_s: float, log: ActionLog | None) -> None:
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s is {timeout_s}: give seconds above 0")
        self.act, self.timeout_s = act, timeout_s
        self.log = log or ActionLog()
        self.RE: RunEngine | None = None
        self._lock = threading.RLock()
        self._because = ""
        self._heard: Heard | None = None
        self._timer: threading.Timer | None = None
        self._pauses = 0

    # What a RunEngine asks.

    def install(self, RE: RunEngine, **_: Any) -> None:
        """Begin to watch for this RunEngine."""
        self.RE = RE

    def remove(self) -> None:
        """End watching; a scan that is paused goes on."""
        self._release("the suspender was removed")
        self.RE = None

    @property
    def tripped(self) -> bool:
        """Whether a scan is paused by it, or would be."""
        return bool(self._because)

    def get_futures(self) -> tuple[list[Callable[[], Any]], str]:
        """What a plan that is about to begin must wait for, and why."""
        return ([self._released], self._because) if self.tripped else ([], "")

    # What it does.

    def _pause(self, because: str, heard: Heard | None = None) -> None:
        """Pause for a cause that is new; any thread."""
        with self._lock:
            engine = self.RE
            if engine is None or self.tripped:
                return
            if not self.act:
                self.log.note(self._action(f"would have paused: {because}", heard))
                return
            self._because, self._heard = because, heard
            self._pauses += 1
            why = f"{self.timeout_s:g} s have passed"
            self._timer = threading.Timer(self.timeout_s, self._release, (why,))
            self._timer.daemon = True
            self._timer.start()
            action = self._action(f"paused: {because}", heard)
            number = self._pauses
        self.log.note(action)
        engine.loop.call_soon_threadsafe(self._suspend, action, number)

    def _release(self, why: str) -> None:
        """Let a paused scan go on; any thread."""
        with self._lock:
            paused, self._because = bool(self._because), ""
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if paused:
            self.log.note(self._action(f"goes on: {why}", self._heard, "resume"))

    def _suspend(self, action: Action, number: int) -> None:
        """Ask the RunEngine, in the thread of its loop."""
        engine = self.RE
        if engine is None or not self.tripped or self._pauses != number:
            return
        if engine.state.is_running and engine.resumable and engine.rewindable:
            engine.request_suspend(
                self._released,
                pre_plan=partial(self._write, action),
                justification=self._because,
            )
        elif not engine.state.is_idle:
            engine.loop.call_later(_AGAIN_S, self._suspend, action, number)

    async def _released(self) -> None:
        while self.tripped:
            await asyncio.sleep(_LOOK_S)

    def _write(self, action: Action) -> MsgGenerator[None]:
        # Between runs, or with runs that have keys, there is no event to put it into.
        try:
            yield from self.log.write(action)
        except IllegalMessageSequence:
            return

    def _action(self, because: str, heard: Heard | None, what: str = "pause") -> Action:
        return Action(
            plan=type(self).__name__,
            what=what,
            acted=self.act,
            because=because,
            heard=heard,
        )
