"""``ringwatch replay``: stored runs, analysed again by the same code."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ringwatch.agent.agent import Agent
from ringwatch.agent.cli.present import VerdictTape
from ringwatch.agent.cli.stored import analyse_stored
from ringwatch.agent.errors import ReplayError, RingwatchError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.settings import Settings, load_settings
from ringwatch.agent.sinks import Sink
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sinks.tiled import TiledSink
from ringwatch.agent.sources.tiled import catalog, find_run, with_dark_run
from ringwatch.agent.tiled_client import connect, disconnect

# isort: split
# After tiled_client, which sets Tiled's retries before Tiled is imported.
from tiled.queries import Key

__all__ = ["replay"]


def replay(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Uids of runs.")],
    tiled: Annotated[
        str, typer.Option(help="Tiled server; its key is read from TILED_API_KEY.")
    ] = "http://127.0.0.1:8000",
    container: Annotated[
        str, typer.Option(help="Container of the raw runs on that server.")
    ] = "raw",
    poni: Annotated[Path | None, typer.Option(help="pyFAI geometry.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Mask image.")] = None,
    dark: Annotated[Path | None, typer.Option(help="Dark frame.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="Data key of the images.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings (TOML).")] = None,
    store: Annotated[
        bool, typer.Option(help="Write the verdicts to Tiled as a further attempt.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one object a run instead of a tape.")
    ] = False,
) -> None:
    """Analyse stored runs again, with the code that analyses them live.

    On the same analysis id the verdicts are those of the live pass, to the last bit.

    For example: `ringwatch replay UID --tiled http://127.0.0.1:8000 --poni a.poni`.
    """
    settings = load_settings(config, poni=poni, mask=mask, dark=dark, detector=detector)
    # Live listeners act on what is published, and --store alone says what is stored.
    settings = settings.model_copy(update={"publish": None, "tiled": None})
    key = os.environ.get("TILED_API_KEY")
    console = Console(stderr=as_json)
    raw = catalog(tiled, key, container=container)
    summaries: list[dict[str, Any]] = []
    failed = False
    try:
        for asked in runs:
            try:
                run = find_run(raw, asked)
                uid = str(run.metadata["start"]["uid"])  # asked by its first letters
                documents = with_dark_run(
                    raw, run, detector=settings.detector, roots=settings.data_roots
                )
                attempt, archive = 2, None
                if store:
                    into = settings.tiled_container
                    attempt = _next_attempt(tiled, key, into, uid)
                    archive = TiledSink(tiled, api_key=key, container=into)
                said = _replay_one(
                    documents, settings, attempt, archive, console, quiet=as_json
                )
                summaries.append({"run": uid} | said)
            except RingwatchError as error:
                failed = True
                summaries.append({"run": asked, "error": str(error)})
                console.print(f"[bold red]{asked}:[/] {escape(str(error))}")
    finally:
        disconnect(raw)
    if as_json:
        sys.stdout.write(json.dumps(summaries, indent=2) + "\n")
    if failed:
        raise typer.Exit(1)


def _replay_one(
    documents: Iterable[NamedDocument],
    settings: Settings,
    attempt: int,
    archive: TiledSink | None,
    console: Console,
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Replay one run, shown and, where there is an archive, stored."""
    tape = None if quiet else VerdictTape(console)
    words: Counter[str] = Counter()

    def listen(name: str, doc: dict[str, Any]) -> None:
        if name == "event" and doc["data"]["final"]:
            words[doc["data"]["verdict"]] += 1
        if tape is not None:
            tape(name, doc)

    sinks: list[Sink] = [MemorySink(limit=1, listener=listen)]  # a run may be long
    if archive is not None:
        sinks.append(archive)
    try:
        agent = Agent(settings, sinks=tuple(sinks), attempt=attempt)
        if tape is not None:
            tape.heading()
        analyse_stored(agent, documents, console=console)
    finally:
        if archive is not None:
            archive.close(0.1)  # the agent did, if there was one
    if archive is not None and archive.failed:
        raise ReplayError(
            f"{archive.failed} documents of attempt {attempt} could not be stored; see "
            "the log, then replay again for the next attempt"
        )
    counters = agent.counters
    told = ", ".join(f"{n} {word}" for word, n in words.items())
    console.print(
        f"{counters.analysed} of {counters.announced} frames analysed"
        + (f": {told}." if told else "."),
        highlight=False,
    )
    return {
        "frames": counters.announced,
        "analysed": counters.analysed,
        "words": dict(words),
        "attempt": attempt,
    }


def _next_attempt(tiled: str, key: str | None, container: str, uid: str) -> int:
    """One more than the newest derived run that is stored for this raw run."""
    root = connect(tiled, key)
    try:
        if container not in root:
            return 1  # nothing was ever stored there
        derived = root[container].search(Key("raw_uid") == uid).values()
        attempts = [int(run.metadata["start"]["attempt"]) for run in derived]
        return max(attempts, default=0) + 1
    finally:
        disconnect(root)
