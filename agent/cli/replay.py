"""``ringwatch replay``: stored runs, analysed again by the same code."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ringwatch.agent import replay_many
from ringwatch.agent.cli.archive import LOCAL
from ringwatch.agent.cli.options import Tiled
from ringwatch.agent.cli.replay_choice import choose_runs, parse_where
from ringwatch.agent.cli.replay_course import Answer, Spread, carry_out
from ringwatch.agent.cli.replay_job import open_runs
from ringwatch.agent.cli.replay_ledger import ReplayLedger
from ringwatch.agent.cli.replay_orders import Order, settings_for_replay
from ringwatch.agent.cli.replay_table import json_object
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sources.pace import Pace
from ringwatch.agent.tiled_client import keys_in, public

__all__ = ["replay"]


def replay(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Uids of runs.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All runs of the catalogue, oldest first.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Runs whose start document says so, such as sample=CeO2; may be "
            "repeated.",
        ),
    ] = None,
    tiled: Tiled = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Profile of a Tiled or databroker catalogue instead."),
    ] = None,
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
    pace: Annotated[
        str,
        typer.Option(help="burst, real (as recorded) or xN (N times as fast)."),
    ] = "burst",
    store: Annotated[
        bool, typer.Option(help="Write the verdicts to Tiled as a further attempt.")
    ] = False,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff",
            help="Compare with the stored verdicts; exits 1 where some differ.",
        ),
    ] = False,
    against: Annotated[
        int | None,
        typer.Option("--attempt", help="Compare with this attempt, not the newest."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Runs at a time, each in a process.")
    ] = 1,
    dask: Annotated[
        str | None, typer.Option(help="Runs go to the workers of this Dask scheduler.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Runs go to so many Dask workers, here.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of what was found; runs done there are left out."),
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="With --json or --out: every verdict.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one object a run instead of a tape.")
    ] = False,
) -> None:
    """Analyse stored runs again, with the code that analyses them live.

    On the same analysis id the verdicts are those of the live pass, to the last bit,
    whatever the pace and wherever the runs are worked off. Interrupted, the same
    command with --out goes on where it stopped.

    For example: `ringwatch replay UID --tiled http://127.0.0.1:8000 --poni a.poni`,
    `ringwatch replay --where sample=CeO2 --processes 4 --out ceo2 --config agent.toml`.
    """
    if not (runs or every or where):
        raise SettingsError("nothing to replay: name runs, or give --all or --where")
    if frames and not (as_json or out):
        raise SettingsError("--frames needs --json, or --out for a file of each run")
    if sum((processes > 1, dask is not None, workers > 0)) > 1:
        raise SettingsError("give one of --processes, --dask and --workers")
    given = load_settings(config, poni=poni, mask=mask, dark=dark, detector=detector)
    settings = settings_for_replay(given)
    order = Order(
        number=0,
        uid="",
        tiled=_address(tiled if profile else tiled or given.tiled, profile),
        profile=profile or "",
        container=container,
        settings=settings.model_dump_json(),
        pace=str(Pace.parse(pace)),
        store=store,
        diff=diff or against is not None,
        against=against,
        frames=frames,
    )
    spread = _spread(processes, dask, workers)
    console = Console(stderr=as_json)
    ledger = ReplayLedger(out) if out else None
    with open_runs(order) as catalogue:
        chosen = choose_runs(
            catalogue, runs or [], parse_where(where or []), every=every
        )
        orders = [
            replace(order, number=n, uid=uid or asked)
            for n, (asked, uid) in enumerate(chosen)
        ]
        told = carry_out(orders, catalogue, spread, ledger, console, quiet=as_json)
    if as_json:
        shown = [json_object(answer) for answer in told]
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    raise typer.Exit(_status(told, compared=order.diff))


def _address(tiled: str | None, profile: str | None) -> str:
    """Address without its secret, which goes where children find it and no file has it.

    Orders are written to ledgers and travel to other processes.
    """
    if tiled is None:
        return "" if profile else LOCAL
    for key in keys_in(tiled):
        os.environ["TILED_API_KEY"] = key
    return public(tiled)


def _spread(processes: int, dask: str | None, workers: int) -> Spread | None:
    """What carries orders out elsewhere, None where that is here."""
    if dask is not None or workers:
        return partial(replay_many.on_dask, address=dask, workers=workers)
    if processes > 1:
        return partial(replay_many.in_processes, processes=processes)
    return None


def _status(answers: list[Answer], *, compared: bool) -> int:
    """0; 1 where a run failed or differs; 2 where one failed that was to be compared.

    As diff(1) has it: trouble is not a difference.
    """
    if any("error" in answer for answer in answers):
        return 2 if compared else 1
    return int(any(answer["diff"]["differ"] for answer in answers if "diff" in answer))
