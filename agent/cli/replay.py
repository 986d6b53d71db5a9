"""``ringwatch replay``: stored runs, analysed again by the same code."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from tiled.queries import Key

from ringwatch.agent.agent import Agent
from ringwatch.agent.cli.present import VerdictTape
from ringwatch.agent.errors import ReplayError, RingwatchError
from ringwatch.agent.settings import Settings, load_settings
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import catalog, find_run, with_dark_run

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

    For example: `ringwatch replay 3f6a1c --tiled http://127.0.0.1:8000 --poni a.poni`.
    """
    settings = load_settings(
        config,
        poni=poni,
        mask=mask,
        dark=dark,
        detector=detector,
        tiled=tiled if store else None,
    )
    key = os.environ.get("TILED_API_KEY")
    raw = catalog(tiled, key, container=container)
    console = Console(stderr=as_json)
    summaries = []
    failed = False
    for uid in runs:
        try:
            attempt = _next_attempt(tiled, key, settings, uid) if store else 2
            summaries.append(_replay_one(raw, uid, settings, attempt, console, as_json))
        except RingwatchError as error:
            failed = True
            console.print(f"[bold red]{uid}:[/] {error}", highlight=False)
    if as_json:
        sys.stdout.write(json.dumps(summaries, indent=2) + "\n")
    if failed:
        raise typer.Exit(1)


def _replay_one(
    raw: Any,
    uid: str,
    settings: Settings,
    attempt: int,
    console: Console,
    quiet: bool,
) -> dict[str, Any]:
    run = find_run(raw, uid)
    documents = with_dark_run(raw, run, detector=settings.detector)
    tape = VerdictTape(console)
    sink = MemorySink(listener=None if quiet else tape)
    if not quiet:
        tape.heading()
    with Agent(settings, sinks=(sink,), attempt=attempt) as agent:
        for name, doc in documents:
            agent(name, doc)
            # As fast as the worker, no faster: nothing is shed in a replay.
            while agent.pending > 100 and agent.wait_idle(0.05) is False:
                pass
        agent.wait_idle(600)
        counters = agent.counters
    words = Counter(d["verdict"] for d in sink.events() if d["final"])
    console.print(
        f"{counters.analysed} of {counters.announced} frames analysed: "
        + ", ".join(f"{n} {word}" for word, n in words.items()),
        highlight=False,
    )
    return {
        "run": run.metadata["start"]["uid"],
        "frames": counters.announced,
        "analysed": counters.analysed,
        "words": dict(words),
        "attempt": attempt,
    }


def _next_attempt(tiled: str, key: str | None, settings: Settings, uid: str) -> int:
    """One more than the derived runs that are stored for this raw run."""
    try:
        derived = catalog(tiled, key, container=settings.tiled_container)
    except ReplayError:
        return 1  # nothing was ever stored there
    return len(derived.search(Key("raw_uid") == uid)) + 1
