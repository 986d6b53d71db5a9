"""``stop_when``: end a scan early, for a reason that is written into it."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from collections.abc import Callable
from typing import Any

from bluesky.preprocessors import plan_mutator
from bluesky.utils import Msg, MsgGenerator, RequestStop, ensure_generator

from ringwatch.plans.actions import Action, ActionLog
from ringwatch.plans.clock import Clock, WallClock
from ringwatch.plans.conditions import Condition, Crossing
from ringwatch.plans.frame_times import FrameTimes
from ringwatch.plans.heard import Heard
from ringwatch.plans.verdicts import Verdicts
from ringwatch.plans.waiting import wait_until

__all__ = ["stop_when"]

_INTERVALS = 15  # between moments to decide, of which the median is expected next
_STEPS = 10  # in which the time to a crossing is waited for, looking again


def stop_when(
    plan: MsgGenerator[Any],
    condition: Condition,
    verdicts: Verdicts,
    *,
    act: bool = False,
    then: Callable[[], MsgGenerator[Any]] | None = None,
    log: ActionLog | None = None,
    clock: Clock | None = None,
    max_behind: int | None = None,
    patience_s: float = 10.0,
    name: str = "stop_when",
) -> MsgGenerator[Any]:
    """Run a plan until the agent sees what was asked for.

    By default it only says so: an event of the stream ``ringwatch`` of the run tells
    that the scan would have been stopped, where and because of what, once.
    With ``act`` the plan is ended there in good order - its clean-up runs, the stop
    document says ``success`` with the reason - and what follows in the queue goes on.

    Moments to decide are the plan's checkpoints (between the points of a step scan)
    and collections (of a fly scan), in runs that begin in it. A forecast that falls
    between two of them is waited for. Without an agent, or after its death, the plan
    runs to its own end; that, too, is written into the run.

    Parameters
    ----------
    plan : generator
        Any plan.
    condition : Condition
        ``reaches``, ``verdict_is``, ``label_is``, ``flag_is`` or one of your own.
    verdicts : Verdicts
    act : bool
        Whether to stop, instead of saying that it would have been.
    then : callable, optional
        Plan that is run first of all when stopping, inside the run: close the source.
    log : ActionLog, optional
        By default a new one.
    clock : Clock, optional
        By default the wall's.
    max_behind : int, optional
        Hold the scan, for up to ``patience_s``, where more frames wait for verdicts.
    patience_s : float
    name : str
        By which what it does is written down.

    Returns
    -------
    object
        What the plan returns; None where it was stopped.
    """
    if then is not None and not callable(then):
        raise TypeError(
            f"then is {then!r}: give a function that makes the plan, such as "
            "lambda: bps.mv(shutter, 0), and not the plan itself"
        )
    if not (hasattr(condition, "crossing") and isinstance(verdicts, Verdicts)):
        given = f"the condition is {condition!r} and the verdicts {verdicts!r}"
        raise TypeError(f"{given}: expected one such as verdict_is('bad'), a Verdicts")
    stop = _Stop(
        condition,
        verdicts,
        act=act,
        then=then,
        log=log or ActionLog(),
        clock=clock or WallClock(),
        max_behind=max_behind,
        patience_s=patience_s,
        name=name,
    )
    return (yield from stop.run(plan))


class _Reached(RequestStop):
    """Thrown into the plan; bluesky's own ``RequestStop`` would end the queue too."""

    def __init__(self, by: _Stop) -> None:
        super().__init__()
        self.by = by


class _Stop:
    """One use of ``stop_when``."""

    def __init__(
        self,
        condition: Condition,
        verdicts: Verdicts,
        *,
        act: bool,
        then: Callable[[], MsgGenerator[Any]] | None,
        log: ActionLog,
        clock: Clock,
        max_behind: int | None,
        patience_s: float,
        name: str,
    ) -> None:
        self._name = name
        self._condition, self._verdicts = condition, verdicts
        self._act, self._then, self._log, self._clock = act, then, log, clock
        self._max_behind, self._patience = max_behind, patience_s
        self._times = FrameTimes(clock.time)
        self._new: deque[Heard] = deque()
        self._furthest: dict[tuple[str, str], Heard] = {}
        self._bundling = False
        self._open: set[Any] = set()
        self._flying: list[Any] = []
        self._moments: deque[float] = deque(maxlen=_INTERVALS)
        self._looking = False
        self._reason = ""
        self._trouble = ""
        self._blind = False

    def run(self, plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
        self._condition.begin()
        token = yield Msg("subscribe", None, self._times, "all")
        end_listening = self._verdicts.listen(self._new.append)
        try:
            result = yield from plan_mutator(plan, self._process)
        except _Reached as reached:
            if reached.by is not self:
                raise  # a stop_when around this one
            result = None
        finally:
            end_listening()
        yield Msg("unsubscribe", None, token=token)
        return result

    def _process(self, msg: Msg) -> tuple[Any, Any]:
        if msg.command == "create":
            self._bundling = True
        elif msg.command in ("save", "drop"):
            self._bundling = False
        elif msg.command == "kickoff":
            self._flying.append(msg.obj)
        elif msg.command == "open_run":
            self._open.add(msg.run)
        elif msg.command == "close_run":
            self._flying.clear()
            return self._close(msg), None
        elif msg.command in ("checkpoint", "collect") and self._may_look:
            return None, self._look(msg)
        return None, None

    @property
    def _may_look(self) -> bool:
        return not (self._bundling or self._looking or self._reason)

    def _close(self, msg: Msg) -> MsgGenerator[Any]:
        if not self._reason and not msg.kwargs.get("exit_status") and not self._trouble:
            self._hear()
            state = getattr(self._condition, "state", "the plan ended before")
            yield from self._note(f"not met: {state}", msg.run)
        elif self._act and self._reason and not msg.kwargs.get("reason"):
            msg = msg._replace(kwargs={**msg.kwargs, "reason": self._reason})
        result = yield msg
        self._open.discard(msg.run)
        return result

    def _look(self, msg: Msg) -> MsgGenerator[None]:
        self._looking = True  # what is done here may have checkpoints of its own
        yield from self._decide(msg)
        self._looking = False

    def _decide(self, msg: Msg) -> MsgGenerator[None]:
        yield from self._keep_up()
        yield from self._tell_trouble(msg.run)
        self._moments.append(self._clock.time())
        crossing = self._crossing()
        if crossing is None or crossing.time > self._clock.time() + self._period:
            return
        if self._act:
            crossing = yield from self._approach(crossing)
            if crossing is None:
                return
            if self._then is not None:
                yield from ensure_generator(self._then())
        yield from self._say(crossing, msg.run)
        if self._act:
            yield from self._land(msg)
            raise _Reached(self)

    def _crossing(self) -> Crossing | None:
        self._hear()
        return self._condition.crossing(self._clock.time())

    def _hear(self) -> None:
        """Take the verdicts that came, of the runs of this plan."""
        while self._new:
            heard = self._new.popleft()
            if not self._times.knows(heard.run_uid):
                self._blind |= not heard.run_uid
                continue
            self._condition.take(heard, self._times.of(heard))
            before = self._furthest.get((heard.run_uid, heard.stream))
            if before is None or heard.index > before.index:
                self._furthest[heard.run_uid, heard.stream] = heard

    @property
    def _period(self) -> float:
        """Until the next moment to decide, as far as one can say."""
        steps = [after - before for before, after in itertools.pairwise(self._moments)]
        return statistics.median(steps) if steps else 0.0

    def _approach(self, crossing: Crossing) -> MsgGenerator[Crossing | None]:
        """Let the time to a crossing pass; None if it turns out to be further away."""
        step, until = self._period / _STEPS, crossing.time + self._period
        while (left := crossing.time - self._clock.time()) > 0.0:
            if self._clock.time() > until:
                return None
            yield from wait_until(lambda: not self._behind, min(left, self._patience))
            left = (self._crossing() or crossing).time - self._clock.time()
            if left > 0.0:
                yield from self._clock.sleep(min(left, step))
            crossing = self._crossing() or crossing
        return crossing

    def _land(self, msg: Msg) -> MsgGenerator[None]:
        """End flights in good order: what they took so far is announced."""
        for flyer in self._flying:
            if hasattr(flyer, "stop"):
                yield Msg("stop", flyer)
        if msg.command == "collect":
            yield msg

    @property
    def _behind(self) -> int:
        """Frames that were announced and have no verdict yet."""
        self._hear()
        known = self._furthest.values()
        last = [h for h in known if self._times.is_open(h.run_uid)]
        return max((self._times.frames(h) - h.index - 1 for h in last), default=0)

    def _keep_up(self) -> MsgGenerator[None]:
        most = self._max_behind
        if most is not None and not self._verdicts.trouble:
            yield from wait_until(
                lambda: self._behind <= most or bool(self._verdicts.trouble),
                self._patience,
            )

    def _tell_trouble(self, run: Any) -> MsgGenerator[None]:
        trouble = self._verdicts.trouble
        if self._blind:
            trouble = trouble or "their run is not known, as its start was missed"
        if trouble and not self._trouble:
            yield from self._note(f"goes on without verdicts: {trouble}", run)
        self._trouble = trouble

    def _say(self, crossing: Crossing, run: Any) -> MsgGenerator[None]:
        verb = "stopped" if self._act else "would have stopped"
        self._reason = f"{verb} at frame {crossing.heard.index}: {crossing.because}"
        action = Action(
            plan=self._name,
            what="stop",
            acted=self._act,
            because=self._reason,
            heard=crossing.heard,
            value=crossing.expected.value,
            low=crossing.expected.low,
            high=crossing.expected.high,
        )
        yield from self._write(action, run)

    def _note(self, because: str, run: Any) -> MsgGenerator[None]:
        action = Action(plan=self._name, what="wait", acted=False, because=because)
        yield from self._write(action, run)

    def _write(self, action: Action, run: Any) -> MsgGenerator[None]:
        self._log.note(action)
        if self._open:
            key = run if run in self._open else next(iter(self._open))
            yield from self._log.write(action, run=key)
