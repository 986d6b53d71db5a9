"""``ringwatch serve``: the agent as a service, in a process of its own."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ringwatch.agent.agent import Agent
from ringwatch.agent.assembly import curve_of
from ringwatch.agent.cli.notify_socket import NotifySocket
from ringwatch.agent.cli.service_log import Form, begin_log, wrong_settings_exit
from ringwatch.agent.cli.unit_file import unit_file
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.settings import Settings
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sources.missed_runs import MARK_S, CatchUp
from ringwatch.agent.sources.tiled_live import TiledSource
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.agent.tiled_client import public
from ringwatch.agent.wire.messages import Limits

__all__ = ["serve"]

logger = logging.getLogger(__name__)

_REPORT_S = 60.0
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
    log: Annotated[
        Form | None,
        typer.Option(help="Form of the log [default: as in the settings, or text]."),
    ] = None,
    unit: Annotated[
        bool,
        typer.Option("--unit", help="Print a systemd unit for this, and exit."),
    ] = False,
) -> None:
    """Watch the runs that others publish over 0MQ, and hand verdicts back.

    Documents come from `documents` (publishers or a `bluesky-0MQ-proxy`), or with
    `documents_from = "tiled"` out of the raw runs there while they grow; verdicts go
    to `publish` and, by way of a spool in the folder `state`, to `tiled`; frames that
    were missed are looked for in the raw runs there. Stops on SIGTERM or Ctrl-C, works
    off what waits and exits 0; what does not go out in time waits in the spool for the
    next start. `ringwatch keys --help` says how to let only those in whom you know.

    Exits 78 where the settings cannot be used. `--unit` prints a unit that knows this:
    `ringwatch serve --config /etc/ringwatch/agent.toml --unit >
    /etc/systemd/system/ringwatch.service`. `--log json` writes one object a line, with
    `run_uid`, `plan_name` and `frame` where they are known.

    For example: `ringwatch serve --config agent.toml`.
    """
    form: Form = log or "text"
    with wrong_settings_exit(lambda: form):
        settings = load_settings(config, log=log)
        form = settings.log
        if unit:
            program = Path(sys.argv[0]).absolute()
            sys.stdout.write(unit_file(program, config, settings))
            return
        if settings.documents_from == "zmq" and not settings.documents:
            raise SettingsError(
                f"{config} has no 'documents': name the 0MQ addresses of the "
                "publishers or proxies, such as "
                'documents = ["tcp://127.0.0.1:5577"], or write '
                'documents_from = "tiled" to watch the runs that are written there'
            )
        say = begin_log(form, verbose=verbose)
        ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _, __: ending.set())
        with _alone(settings.state):
            _serve(settings, ending, close_after, say)


@contextlib.contextmanager
def _alone(state: Path | None) -> Iterator[None]:
    """Hold the folder as long as we serve.

    Of two services with one folder each would take up what the other is not through
    with.
    """
    if state is None:
        yield
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.ExitStack() as stack:
        try:
            state.mkdir(parents=True, exist_ok=True)
            lock = os.open(state / "serving", flags, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
        except BlockingIOError:
            process = os.read(lock, 20).decode(errors="replace")
            raise SettingsError(
                f"another agent (process {process}) serves with the folder {state} as "
                "its state: give each a folder of its own"
            ) from None
        except OSError as error:  # what cannot be written there the spool tells
            logger.warning("the folder %s cannot be held: %s", state, error)
        yield


def _serve(
    settings: Settings,
    ending: threading.Event,
    close_after: float,
    say: Callable[[str], None],
) -> None:
    notify = NotifySocket()
    agent = Agent(settings)
    sources = _sources(settings, agent)
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
    _watch(ending, agent, notify, notes, say)
    notify.stopping()
    ended, deadline = time.time(), time.monotonic() + close_after
    closed = [source.close(_time_to(deadline)) for source in sources]
    finished = agent.close(max(1.0, _time_to(deadline)))
    if notes is not None:  # what begins while we work off the rest is not for us
        notes.mark(ended)
    left_over = "" if all(closed) and finished else "; not all went out"
    kept = _KEPT if left_over and settings.state else ""
    say(_counts(agent) + left_over + kept)


def _watch(
    ending: threading.Event,
    agent: Agent,
    notify: NotifySocket,
    notes: CatchUp | None,
    say: Callable[[str], None],
) -> None:
    """Note that we are there, and tell now and then how it goes, until the end."""
    before, told = "", time.monotonic()
    while True:
        now = _counts(agent)
        notify.pulse(agent.report, now)
        if notes is not None:
            notes.mark()
        if ending.wait(min(MARK_S, notify.interval_s)):
            return
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


def _sources(settings: Settings, agent: Agent) -> list[ZmqSource | TiledSource]:
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
