"""``ringwatch explain``: what became of a run, in one paragraph."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from ringwatch.agent.account import Account
from ringwatch.agent.cli.archive import StoredPass, stored_pass
from ringwatch.agent.cli.options import AsJson, Config, Tiled

__all__ = ["explain"]


def explain(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Uid of a run, or its first letters [default: the newest].",
        ),
    ] = None,
    tiled: Tiled = None,
    config: Config = None,
    attempt: Annotated[
        int | None,
        typer.Option(help="Of this pass: 1 is live, 2 and more are replays."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say in one paragraph what went wrong in a run, why, and what to take again.

    Causes come in the order in which they came, each with the frames, the size of the
    effect where it was worst, and what to look at. Points are numbered as the RunEngine
    numbers them (from 1), frames from 0. A run that still goes on is told as far as it
    is stored. Reads verdicts from Tiled, of the live pass or of a replay
    (`ringwatch replay --store`). Exits 0 whatever became of the run, 2 where nothing is
    known of it.

    For example: `ringwatch explain`, or `ringwatch explain 3f2a9c01 --attempt 2`.
    """
    account = Account()
    with stored_pass(run, attempt, tiled, config) as stored:
        streams: dict[str, str] = {}
        for name, doc in stored.documents():
            if name == "descriptor":
                streams[doc["uid"]] = doc["name"]
            elif name == "event":
                account.count(streams[doc["descriptor"]], doc["data"])
    told = _told(stored)
    if as_json:
        told |= account.to_object()
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    console = Console(highlight=False)
    console.print(_heading(told), style="bold", markup=False)
    console.print(account.paragraph(), markup=False)


def _told(stored: StoredPass) -> dict[str, Any]:
    """What is known of the pass itself."""
    start = stored.start
    return {
        "run": str(start["raw_uid"]),
        "scan_id": start.get("scan_id"),
        "plan_name": start.get("raw_plan_name"),
        "attempt": int(start.get("attempt", 0)),
        "analysis_id": str(start.get("analysis_id", "")),
        "ended": bool(stored.stop),
        "raw_exit_status": stored.stop.get("raw_exit_status"),
    }


def _heading(told: dict[str, Any]) -> str:
    parts = [f"Run {told['run'][:8]}"]
    if told["scan_id"] is not None:
        parts.append(f"scan {told['scan_id']}")
    attempt = told["attempt"]
    parts.append(
        "as it was seen live" if attempt == 1 else f"replay, attempt {attempt}"
    )
    if not told["ended"]:
        parts.append("it has not stopped yet")
    elif told["raw_exit_status"] not in ("success", None):
        parts.append(f"the run ended with {told['raw_exit_status']!r}")
    return f"{', '.join(parts)}."
