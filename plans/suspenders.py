"""Suspenders: a scan waits for the agent, or for what the agent calls out.

They are for ``RE.install_suspender``. A suspension ends the running step and takes it
anew from its checkpoint: what was taken of it stays in the run, superseded by the frame
with the same number that comes later. A suspended beamline takes no frames, so no
verdict can end a suspension: a signal of the beamline does, or time.

Where the RunEngine cannot rewind - after ``clear_checkpoint``, with a device that must
not be, while another suspender holds the scan - they wait until it can. As with all
suspenders a fly scan is safe only with a flyer that can be paused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

from bluesky import RunEngine
from ophyd import Signal

from ringwatch.agent.nouns import Flag
from ringwatch.plans.actions import ActionLog
from ringwatch.plans.frame_times import FrameTimes
from ringwatch.plans.heard import Heard
from ringwatch.plans.pausing import Pausing
from ringwatch.plans.remembered import Remembered
from ringwatch.plans.signals import AgentSignals
from ringwatch.plans.verdicts import Verdicts

__all__ = ["SuspendOnAlarm", "SuspendWithoutAgent"]

logger = logging.getLogger(__name__)

_LIGHT = ("no_beam",)
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_MOST = 256  # causes, and streams, that are remembered


class SuspendWithoutAgent(Pausing):
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
        if not isinstance(signals, AgentSignals):
            raise TypeError(f"{signals!r} has no agent_ok: give AgentSignals(verdicts)")
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
            self._release("the agent is well")


class SuspendOnAlarm(Pausing):
    """Pauses when the agent raises an alarm, such as a lost beam.

    Once for each cause: an alarm that stays in force in a run after the scan went on
    does not pause again, nor does one that began in frames from before it went on,
    which are superseded, nor one of a run that has ended or began before it was
    installed. Goes on when a signal of the beamline says that it may, or after
    ``timeout_s``.

    Parameters
    ----------
    verdicts : Verdicts
    flags : collection of str
        Root causes that pause.
    clears : Signal, optional
        Of the beamline, such as I0; heard by its monitor.
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
        flags = (flags,) if isinstance(flags, str) else flags
        if unknown := sorted(set(flags) - known):
            raise ValueError(
                f"no flag {', '.join(unknown)}: there are {', '.join(sorted(known))}"
            )
        self._verdicts, self._flags = verdicts, frozenset(flags)
        self._clears, self._when = clears, when
        self._monitored: Any = None
        self._seen: Remembered[tuple[str, str, str, int], None] = Remembered(_MOST)
        # Frames before the scan went on, by run and stream.
        self._taken: Remembered[tuple[str, str], int] = Remembered(_MOST)
        self._frames = FrameTimes(lambda: 0.0)
        self._end: Callable[[], None] | None = None
        self._token: int | None = None

    def install(self, RE: RunEngine, **options: Any) -> None:
        """Begin to watch for this RunEngine."""
        super().install(RE)
        self._token = RE.subscribe(self._frames)
        self._end = self._verdicts.listen(self._hear)
        if self._clears is not None:
            self._clears.subscribe(self._watch, run=True)

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
        if cause in self._seen or not self._frames.is_open(heard.run_uid):
            return
        self._seen[cause] = None
        before = self._taken.get((heard.run_uid, heard.stream), 0)
        # A beam that is back already, when the alarm comes late, pauses nothing.
        if heard.alarm_since >= before and not self._is_clear:
            since = f"{heard.alarm} since frame {heard.alarm_since}"
            self._pause(f"{since}: {heard.reason}", heard)

    def _watch(self, *, value: Any, **_: Any) -> None:
        self._monitored = value
        if self.tripped and self._is_clear:
            self._release(f"{getattr(self._clears, 'name', 'the signal')} is {value!r}")

    @property
    def _is_clear(self) -> bool:
        if self._monitored is None:
            return False
        try:
            return bool(self._when(self._monitored))
        except _MALFORMED as error:
            logger.error("%r cannot be judged: %r", self._monitored, error)
            return False

    def _release(self, why: str) -> None:
        heard = self._heard
        if self.tripped and heard is not None:
            stream = heard.run_uid, heard.stream
            self._taken[stream] = self._frames.frames(heard)
        super()._release(why)
