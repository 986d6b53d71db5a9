"""``ringwatch serve``: the agent as a service, in a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ringwatch.agent.agent import Agent
from ringwatch.agent.assembly import curve_of
from ringwatch.agent.errors import ReplayError, SettingsError
from ringwatch.agent.settings import Settings, load_settings
from ringwatch.agent.sources.missed_runs import LastSeen, missed_runs
from ringwatch.agent.sources.tiled_live import TiledSource
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.agent.wire import Limits

__all__ = ["serve"]

logger = logging.getLogger(__name__)

_REPORT_S = 60.0
_MARK_S = 5.0
_RETRY_S = 30.0
_KEPT = ": what is in the spool goes to Tiled after the next start"


def serve(
    config: Annotated[Path, typer.Option(help="Settings (TOML).")],
    close_after: Annotated[
        float,
        typer.Option(help="Seconds to work off what waits, after Ctrl-C or SIGTERM."),
    ] = 30.0,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log also what goes well.")
    ] = False,
) -> None:
    """Watch the runs that others publish over 0MQ, and hand verdicts back.

    Documents come from `documents` (publishers or a `bluesky-0MQ-proxy`), or with
    `documents_from = "tiled"` out of the raw runs there while they grow; verdicts go
    to `publish` and, by way of a spool in the folder `state`, to `tiled`; frames that
    were missed are looked for in the raw runs there. Stops on SIGTERM or Ctrl-C, works
    off what waits and exits 0; what does not go out in time waits in the spool for the
    next start. `ringwatch keys --help` says how to let only those in whom you know.

    For example: `ringwatch serve --config agent.toml`.
    """
    settings = load_settings(config)
    if settings.documents_from == "zmq" and not settings.documents:
        raise SettingsError(
            f"{config} has no 'documents': name the 0MQ addresses of the publishers or "
            'proxies, such as documents = ["tcp://127.0.0.1:5577"], or write '
            'documents_from = "tiled" to watch the runs that are written there'
        )
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _, __: ending.set())
    out = Console(stderr=True, highlight=False, soft_wrap=True)
    agent = Agent(settings)
    source = (_in_tiled if settings.documents_from == "tiled" else _off_the_wire)(
        settings, agent
    )
    source.begin()
    told = [f"documents from {', '.join(source.addresses)}"]
    told += [f"verdicts at {agent.address}"] if agent.address else []
    told += [f"into {settings.tiled}"] if settings.tiled else []
    out.print("; ".join(told))
    seen = LastSeen(settings.state / "last_seen.json") if settings.state else None
    since = seen.read() if seen else None
    if since is not None and settings.tiled:
        look = partial(_catch_up, settings, agent, since, ending)
        threading.Thread(target=look, name="ringwatch-catch-up", daemon=True).start()
    _watch(ending, agent, out, seen)
    if seen is not None:
        seen.mark()  # now: what begins while we work off the rest is not for us
    began = time.monotonic()
    drained = source.close(close_after)
    left = max(1.0, close_after - (time.monotonic() - began))
    finished = agent.close(left)
    left_over = "" if drained and finished else "; not all went out"
    kept = _KEPT if left_over and settings.state else ""
    out.print(_counts(agent) + left_over + kept)


def _watch(
    ending: threading.Event, agent: Agent, out: Console, seen: LastSeen | None
) -> None:
    """Note that we are there, and tell now and then how it goes, until the end."""
    before, told = "", time.monotonic()
    while True:
        if seen is not None:
            seen.mark()
        if ending.wait(_MARK_S):
            return
        now = _counts(agent)
        if now != before and time.monotonic() - told > _REPORT_S:
            out.print(now)
            before, told = now, time.monotonic()


def _catch_up(
    settings: Settings, agent: Agent, since: float, ending: threading.Event
) -> None:
    """Tell the agent of runs that went by while none was there."""
    until = time.time()
    while not ending.is_set():
        try:
            missed = missed_runs(
                str(settings.tiled),
                os.environ.get("TILED_API_KEY"),
                since=since - _MARK_S,
                until=until,
                raw_container=settings.raw_container,
                container=settings.tiled_container,
            )
        except ReplayError as error:
            logger.warning("%s: asked again in %.0f s", error, _RETRY_S)
            ending.wait(_RETRY_S)
            continue
        for uid in missed:
            agent.documents_lost(uid, "no agent was running when it began")
        return


def _counts(agent: Agent) -> str:
    counters = agent.counters
    done = counters.analysed + counters.unknown
    return f"{done} of {counters.announced} frames have their final verdict"


def _in_tiled(settings: Settings, agent: Agent) -> TiledSource:
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
    )


def _off_the_wire(settings: Settings, agent: Agent) -> ZmqSource:
    def gap(uid: str, why: str) -> None:
        for run in (uid,) if uid else source.open_runs:
            agent.documents_lost(run, why)

    source = ZmqSource(
        settings.documents,
        agent,
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
    )
    return source
