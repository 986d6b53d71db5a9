"""What ``ringwatch serve`` does once its settings can be used."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from functools import partial

from ringwatch.agent.agent import Agent
from ringwatch.agent.assembly import curve_of
from ringwatch.agent.cli.notify_socket import NotifySocket
from ringwatch.agent.settings import Settings
from ringwatch.agent.sources.missed_runs import MARK_S, CatchUp
from ringwatch.agent.sources.tiled_live import TiledSource
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.agent.tiled_client import public
from ringwatch.agent.wire.messages import Limits

__all__ = ["run_service", "sources_of"]

_UNHELPED = (
    "runs under way when we came are no longer followed, by a fault of ours: restart "
    "the service when no run goes on"
)
_REPORT_S = 60.0
_DEAF_S = 60.0
"""So much before its end a deaf service may have missed the start of a run."""
_KEPT = ": what is in the spool goes to Tiled after the next start"


def run_service(
    settings: Settings,
    ending: threading.Event,
    close_after: float,
    say: Callable[[str], None],
) -> str:
    """Serve until it is ending or deaf, then work off what waits.

    Parameters
    ----------
    settings : Settings
    ending : Event
    close_after : float
        Seconds to work off what waits.
    say : callable
        Tells news.

    Returns
    -------
    str
        Where documents no longer came from, by a fault of ours; empty where none did.
    """
    notify = NotifySocket()
    agent = Agent(settings)
    sources = sources_of(settings, agent)
    for source in sources:
        source.begin()
    told = [f"documents from {', '.join(sources[0].addresses)}"]
    told += [f"verdicts at {agent.address}"] if agent.address else []
    told += [f"page at {agent.page_url}"] if agent.page_url else []
    told += [f"metrics at {agent.metrics_url}"] if agent.metrics_url else []
    told += [f"into {public(settings.tiled)}"] if settings.tiled else []
    say("; ".join(told))
    notes = None
    if settings.state:
        file = settings.state / "last_seen.json"
        notes = CatchUp(file, settings, agent.documents_lost, lambda: agent.open_runs)
        notes.begin(ending)
    deaf = _watch(ending, agent, sources, notify, notes, say)
    notify.stopping()
    ended, deadline = time.time(), time.monotonic() + close_after
    closed = [source.close(_time_to(deadline)) for source in sources]
    finished = agent.close(max(1.0, _time_to(deadline)))
    # What begins while we work off the rest is not for us. A deaf one does not know
    # what it heard last: the next looks from before that on.
    if notes is not None:
        notes.mark(ended - _DEAF_S if deaf else ended)
    left_over = "" if all(closed) and finished else "; not all went out"
    kept = _KEPT if left_over and settings.state else ""
    say(_counts(agent) + left_over + kept)
    return deaf


def _watch(
    ending: threading.Event,
    agent: Agent,
    sources: list[ZmqSource | TiledSource],
    notify: NotifySocket,
    notes: CatchUp | None,
    say: Callable[[str], None],
) -> str:
    """Note that we are there, and tell now and then how it goes, until the end.

    Gives the address of the source where it fell silent; empty where we were told to
    end. The second source is only for runs that the first came late for.
    """
    ear, *helpers = sources
    before, told, helped, warm = "", time.monotonic(), True, False
    while True:
        now, report = _counts(agent), agent.report
        if report.ready and not warm:
            # What was imported stays: not gone through in each collection of garbage.
            # pyFAI asks for one with each geometry, a third of a second in all.
            gc.freeze()
            warm = True
        notify.pulse(report, now)
        if notes is not None:
            notes.mark()
        if ending.wait(min(MARK_S, notify.interval_s)):
            return ""
        if ear.failed:
            return ", ".join(ear.addresses)
        if helped and any(helper.failed for helper in helpers):
            helped = False
            say(_UNHELPED)
        if now != before and time.monotonic() - told > _REPORT_S:
            say(now)
            before, told = now, time.monotonic()


def _time_to(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _counts(agent: Agent) -> str:
    counters = agent.counters
    done = counters.analysed + counters.unknown
    said = f"{done} of {counters.announced} frames have their final verdict"
    runs = len(agent.open_runs)
    return f"{said}; {runs} runs are not through" if runs else said


def sources_of(settings: Settings, agent: Agent) -> list[ZmqSource | TiledSource]:
    """Where documents come from; the second has runs that the first came late for."""
    if settings.documents_from == "tiled":
        return [_in_tiled(settings, agent)]
    if not settings.tiled:
        return [_off_the_wire(settings, agent)]

    def follow(uid: str) -> None:
        followed.follow(uid)

    wire = _off_the_wire(settings, agent, stranger=follow)
    followed = _in_tiled(settings, agent, comes_elsewhere=wire.knows)
    return [wire, followed]


def _in_tiled(
    settings: Settings,
    agent: Agent,
    *,
    comes_elsewhere: Callable[[str], bool] | None = None,
) -> TiledSource:
    return TiledSource(
        str(settings.tiled),
        agent.feed,
        container=settings.raw_container,
        api_key=os.environ.get("TILED_API_KEY"),
        gap=agent.documents_lost,
        detector=settings.detector,
        roots=settings.data_roots,
        derived=settings.tiled_container,
        poll_s=settings.tiled_poll_s,
        abandon_after_s=settings.abandon_after_s,
        comes_elsewhere=comes_elsewhere,
    )


def _off_the_wire(
    settings: Settings, agent: Agent, *, stranger: Callable[[str], None] | None = None
) -> ZmqSource:
    def gap(uid: str, why: str) -> None:
        for run in (uid,) if uid else source.open_runs:
            agent.documents_lost(run, why)

    source = ZmqSource(
        settings.documents,
        partial(agent.feed, patient=False),
        prefix=settings.documents_prefix.encode(),
        gap=gap,
        bind=settings.documents_bind,
        high_water_mark=settings.documents_high_water_mark,
        max_waiting_bytes=settings.documents_max_waiting_bytes,
        limits=Limits(
            message_bytes=settings.message_bytes, array_bytes=settings.message_bytes
        ),
        curve=curve_of(settings, binds=settings.documents_bind),
        allow_remote=settings.allow_remote,
        stranger=stranger,
    )
    return source
