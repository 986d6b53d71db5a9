"""``ringwatch tail``: verdicts line by line, live or of a stored run."""

from __future__ import annotations

import json
import queue
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ringwatch.agent.cli.archive import LOCAL, StoredPass, stored_pass
from ringwatch.agent.cli.present import VerdictTape
from ringwatch.agent.cli.replay_answer import frame_object
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.wire.security import CurveClient
from ringwatch.plans.remote_verdicts import RemoteVerdicts
from ringwatch.plans.verdicts import Verdicts

__all__ = ["tail"]

_DEFAULT = "tcp://127.0.0.1:5578"
_POLL_S = 0.2
_MOST_WAITING = 10_000


def tail(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Uid of a stored run, or its first letters; `newest` for the one "
            "analysed last [default: what comes, live].",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help=f"Where an agent publishes [default: {_DEFAULT}]."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings (TOML) of the agent: addresses and keys."),
    ] = None,
    curve_key: Annotated[
        Path | None,
        typer.Option(help="Own secret key, where the agent asks for keys."),
    ] = None,
    curve_server: Annotated[
        Path | None, typer.Option(help="The agent's public key.")
    ] = None,
    tiled: Annotated[
        str | None,
        typer.Option(help=f"With RUN: Tiled server [default: {LOCAL}]."),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option(help="With RUN: of this pass; 2 and more are replays.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("-n", min=1, help="With RUN: the last so many frames.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one object a verdict and line.")
    ] = False,
) -> None:
    """Print a line for each verdict, as LiveTable does for points.

    Live it listens to what an agent publishes over 0MQ, says when the agent goes and
    comes, and tells of each run that stops what became of it; Ctrl-C ends it. With RUN
    it prints the verdicts that are stored in Tiled. Columns: number of the point, index
    of the frame, verdict, root cause, its effect over its standard deviation, label
    (with ? where the classifier is not sure), its probability, milliseconds from the
    frame to the verdict; then the reason, where it is new.

    For example: `ringwatch tail --config agent.toml`, `ringwatch tail newest -n 20`.
    """
    console = Console(highlight=False)
    show = _as_lines(console) if not as_json else _AsObjects()
    try:
        if run is not None:
            uid = None if run == "newest" else run
            with stored_pass(uid, attempt, tiled, config) as stored:
                _show_last(stored, most, show)
        else:
            _live(_address(address, config), _keys(curve_key, curve_server), show)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


Show = Callable[[str, dict[str, Any]], None]


def _as_lines(console: Console) -> VerdictTape:
    tape = VerdictTape(console, stream=None)
    tape.heading()
    return tape


class _AsObjects:
    """Prints one JSON object a verdict."""

    def __init__(self) -> None:
        self._streams: dict[str, str] = {}

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
        if name == "event":
            told = frame_object(self._streams.get(doc["descriptor"], ""), doc["data"])
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


def _show_last(stored: StoredPass, most: int | None, show: Show) -> None:
    """All of its verdicts, or the last so many."""
    waiting: deque[NamedDocument] = deque(maxlen=most)
    for name, doc in stored.documents():
        if most is None or name != "event":
            show(name, doc)
        else:
            waiting.append((name, doc))
    for name, doc in waiting:
        show(name, doc)


def _keys(own: Path | None, agent: Path | None) -> CurveClient | None:
    if own is None and agent is None:
        return None
    if own is None or agent is None:
        raise SettingsError(
            "give both --curve-key (your own secret key) and --curve-server (the "
            "agent's public one), or neither; `ringwatch keys --help` makes them"
        )
    return CurveClient(secret_key=own, server_key=agent)


def _address(address: str | None, config: Path | None) -> str:
    if address is not None:
        return address
    if config is None:
        return _DEFAULT
    publish = load_settings(config).publish
    if publish is None:
        raise SettingsError(
            f'{config} has no publish: write publish = "{_DEFAULT}" and restart the '
            "agent, or name a stored run"
        )
    if publish.endswith((":*", ":0")):
        raise SettingsError(
            f"{config} leaves the port of publish to the agent: its first line names "
            "it, give it with --address"
        )
    return publish.replace("0.0.0.0", "127.0.0.1").replace("*", "127.0.0.1")  # noqa: S104


class _Heard(Verdicts):
    """Hands on each document, and what there is to say of the connection."""

    def __init__(self) -> None:
        self.documents: queue.Queue[NamedDocument] = queue.Queue(_MOST_WAITING)
        self.link = "?"
        super().__init__()

    def put(self, name: str, doc: dict[str, Any]) -> None:
        """Take a derived document."""
        super().put(name, doc)
        with suppress(queue.Full):  # a terminal that stands still, until it goes on
            self.documents.put_nowait((name, doc))

    def note_link(self, trouble: str) -> None:
        """Say whether the agent can be reached: empty, or why it cannot."""
        super().note_link(trouble)
        self.link = trouble


def _live(address: str, keys: CurveClient | None, show: Show) -> None:
    told = Console(stderr=True, highlight=False)
    heard = _Heard()
    try:
        remote = RemoteVerdicts(address, heard, curve=keys)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    with remote:
        for name, doc in _documents(heard, told):
            show(name, doc)
            if name == "stop" and doc.get("summary"):
                told.print(doc["summary"], markup=False, style="bold")


def _documents(heard: _Heard, told: Console) -> Iterator[NamedDocument]:
    """What comes, for ever; with a word where the agent goes or comes."""
    link = "?"
    while True:
        if heard.link != link:
            link = heard.link
            told.print(link or "listening to the agent", style="dim", markup=False)
        with suppress(queue.Empty):
            yield heard.documents.get(timeout=_POLL_S)
