"""Suspenders: a scan waits for the agent, or for what the agent calls out.

They are for ``RE.install_suspender``. A suspension ends the running step and takes it
anew from its checkpoint: what was taken of it stays in the run, superseded by the frame
with the same number that comes later. A suspended beamline takes no frames, so no
verdict can end a suspension: a signal of the beamline does, or time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from typing import Any

from bluesky import RunEngine
from bluesky.utils import IllegalMessageSequence, MsgGenerator
from ophyd import Signal

from ringwatch.agent.nouns import Flag
from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.frame_times import FrameTimes
from ringwatch.plans.heard import Heard
from ringwatch.plans.signals import AgentSignals
from ringwatch.plans.verdicts import Verdicts

__all__ = ["SuspendOnAlarm", "SuspendWithoutAgent"]

_LOOK_S = 0.02
_AGAIN_S = 0.05
_LIGHT = ("no_beam",)


class _Suspender:
    """What RunEngines ask of a suspender, so that no scan is aborted by it.

    Bluesky's own aborts a scan that cannot rewind (before its first checkpoint): this
    one waits until it can, or until the cause has gone.

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

    # What a RunEngine asks.

    def install(self, RE: RunEngine, **_: Any) -> None:
        """Begin to watch for this RunEngine."""
        self.RE = RE

    def remove(self) -> None:
        """End watching; a scan that is paused goes on."""
        self._release()
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
            self._timer = threading.Timer(self.timeout_s, self._release)
            self._timer.daemon = True
            self._timer.start()
        self.log.note(self._action(f"paused: {because}", heard))
        engine.loop.call_soon_threadsafe(self._suspend, because)

    def _release(self) -> None:
        """Let a paused scan go on; any thread."""
        with self._lock:
            self._because = ""
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _suspend(self, because: str) -> None:
        """Ask the RunEngine, in the thread of its loop."""
        engine = self.RE
        if engine is None or self._because != because:
            return
        if engine.state.is_running and engine.resumable:
            engine.request_suspend(
                self._released, pre_plan=self._write, justification=because
            )
        elif not engine.state.is_idle:
            engine.loop.call_later(_AGAIN_S, self._suspend, because)

    async def _released(self) -> None:
        while self.tripped:
            await asyncio.sleep(_LOOK_S)

    def _write(self) -> MsgGenerator[None]:
        # Between runs, or with runs that have keys, there is no event to put it into.
        try:
            yield from self.log.write()
        except IllegalMessageSequence:
            return

    def _action(self, because: str, heard: Heard | None) -> Action:
        return Action(
            plan=type(self).__name__,
            what="pause",
            acted=self.act,
            because=because,
            heard=heard,
        )


class SuspendWithoutAgent(_Suspender):
    """Pauses while there is no agent to give verdicts: ``agent_ok`` is false.

    Goes on when the agent is back, or without it after ``timeout_s``: then only the
    next loss of it pauses again.

    Parameters
    ----------
    signals : AgentSignals
    act : bool
        Whether to pause, instead of noting that it would.
    timeout_s : float
    log : ActionLog, optional
    """

    def __init__(
        self,
        signals: AgentSignals,
        *,
        act: bool = False,
        timeout_s: float = 300.0,
        log: ActionLog | None = None,
    ) -> None:
        super().__init__(act=act, timeout_s=timeout_s, log=log)
        self._signals = signals
        self._was_ok = True

    def install(self, RE: RunEngine, **options: Any) -> None:
        """Begin to watch for this RunEngine."""
        super().install(RE)
        self._was_ok = True
        self._signals.agent_ok.subscribe(self._look, run=False)
        self._look(value=self._signals.agent_ok.get())

    def remove(self) -> None:
        """End watching; a scan that is paused goes on."""
        self._signals.agent_ok.clear_sub(self._look)
        super().remove()

    def _look(self, *, value: bool, **_: Any) -> None:
        lost, self._was_ok = self._was_ok and not value, value
        if lost:
            self._pause(f"no verdicts: {self._signals.why_not.get()}")
        elif value:
            self._release()


class SuspendOnAlarm(_Suspender):
    """Pauses when the agent raises an alarm, such as a lost beam.

    Once for each cause: an alarm that stays in force after the scan went on does not
    pause again, nor does one that began in frames from before it went on, which are
    superseded. Goes on when a signal of the beamline says that it may, or after
    ``timeout_s``.

    Parameters
    ----------
    verdicts : Verdicts
    flags : collection of str
        Root causes that pause.
    clears : Signal, optional
        Of the beamline, such as I0.
    when : callable, optional
        Of the value of ``clears``: whether the scan may go on. By default where it is
        true.
    act : bool
        Whether to pause, instead of noting that it would.
    timeout_s : float
    log : ActionLog, optional

    Raises
    ------
    ValueError
        If there is no such flag, or ``timeout_s`` is not above 0.
    """

    def __init__(
        self,
        verdicts: Verdicts,
        flags: Collection[str] = _LIGHT,
        *,
        clears: Signal | None = None,
        when: Callable[[Any], bool] = bool,
        act: bool = False,
        timeout_s: float = 300.0,
        log: ActionLog | None = None,
    ) -> None:
        super().__init__(act=act, timeout_s=timeout_s, log=log)
        known = {flag.label for flag in Flag}
        if unknown := sorted(set(flags) - known):
            raise ValueError(
                f"no flag {', '.join(unknown)}: there are {', '.join(sorted(known))}"
            )
        self._verdicts, self._flags = verdicts, frozenset(flags)
        self._clears, self._when = clears, when
        self._seen: set[tuple[str, str, str, int]] = set()
        self._taken: dict[tuple[str, str], int] = {}  # frames before the scan went on
        self._frames = FrameTimes(lambda: 0.0)
        self._end: Callable[[], None] | None = None
        self._token: int | None = None

    def install(self, RE: RunEngine, **options: Any) -> None:
        """Begin to watch for this RunEngine."""
        super().install(RE)
        self._token = RE.subscribe(self._frames)
        self._end = self._verdicts.listen(self._hear)
        if self._clears is not None:
            self._clears.subscribe(self._watch, run=False)

    def remove(self) -> None:
        """End watching; a scan that is paused goes on."""
        if self._end is not None and self.RE is not None and self._token is not None:
            self._end()
            self.RE.unsubscribe(self._token)
        if self._clears is not None:
            self._clears.clear_sub(self._watch)
        super().remove()

    def _hear(self, heard: Heard) -> None:
        if heard.alarm not in self._flags:
            return
        cause = heard.run_uid, heard.stream, heard.alarm, heard.alarm_episode
        before = self._taken.get((heard.run_uid, heard.stream), 0)
        if cause in self._seen:
            return
        self._seen.add(cause)
        if heard.alarm_since >= before:
            self._pause(
                f"{heard.alarm} since frame {heard.alarm_since}: {heard.reason}", heard
            )
            self._look_at_signal()

    def _watch(self, *, value: Any, **_: Any) -> None:
        if self.tripped and self._when(value):
            self._release()

    def _look_at_signal(self) -> None:
        """A beam that is back already, when the alarm comes late, pauses nothing."""
        if self._clears is not None:
            self._watch(value=self._clears.get())

    def _release(self) -> None:
        heard = self._heard
        if self.tripped and heard is not None:
            point = heard.run_uid, heard.stream
            self._taken[point] = self._frames.frames(heard)
        super()._release()
