"""``ringwatch serve``: the agent as a service, in a process of its own."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ringwatch.agent.cli.service_log import Form, begin_log, wrong_settings_exit
from ringwatch.agent.cli.unit_file import unit_file
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.settings_file import load_settings

__all__ = ["serve"]

logger = logging.getLogger(__name__)


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

    Exits 78 where the settings cannot be used, and 1 where it went deaf by a fault of
    its own: begun anew it looks for what it missed. `--unit` prints a unit that knows
    this: `ringwatch serve --config /etc/ringwatch/agent.toml --unit >
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
        # Seconds, which wrong settings need not wait for; before the log begins, as
        # silx would tell there what it does without.
        from ringwatch.agent.cli.service import run_service  # noqa: PLC0415

        say = begin_log(form, verbose=verbose)
        ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _, __: ending.set())
        with _alone(settings.state):
            deaf = run_service(settings, ending, close_after, say)
        if deaf:  # better begun anew, with a look at what was missed, than deaf
            logger.critical("documents no longer come from %s: start it again", deaf)
            raise typer.Exit(1)


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
