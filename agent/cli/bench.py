"""``ringwatch bench``: the claims of the README, measured here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ringwatch.agent.cli.out_folder import check_out
from ringwatch.agent.errors import SettingsError

__all__ = ["bench"]

_PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True}


def bench(
    name: Annotated[
        Literal["flags", "flags-cost"],
        typer.Argument(help="What to measure: flags, or flags-cost."),
    ],
    form: Annotated[
        Literal["quick", "standard", "slow"],
        typer.Option(
            help="quick: minutes. standard: curves and grids, an hour or two. slow: "
            "also 3.6 million frames without a fault, hours."
        ),
    ] = "quick",
    out: Annotated[
        Path, typer.Option(help="Folder for ledgers, report and figures.")
    ] = Path("bench-flags"),
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 20261121,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes, each with one thread.")
    ] = 2,
    recheck: Annotated[
        int,
        typer.Option(
            min=0,
            help="Take over what earlier code has finished in --out, if so many pieces "
            "of each kind come out the same again.",
        ),
    ] = 0,
    anew: Annotated[
        list[str] | None,
        typer.Option(
            help="With --recheck: a flag or a story (`sample change`) that new code "
            "changed; pieces that have to do with it are done anew. May be repeated.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON.")
    ] = False,
) -> None:
    """Measure what each flag sees, and how often it cries for nothing.

    `flags` injects faults of known size into simulated frames and counts how often they
    are seen and named, and judges frames without a fault, decoys included (thermal
    ramps, transitions, strain, texture, other samples, top-up, darks, wanted motion of
    the detector), cell by cell and, fewer, pixel by pixel. It writes down each finished
    piece in the folder of --out: interrupted, the same command goes on where it
    stopped. `flags-cost` times the flags beside the reduction.

    For example: `ringwatch bench flags --form standard --out bench-flags`.
    """
    if name == "flags-cost":
        _cost(as_json)
        return
    check_out(out)
    if anew and not recheck:
        raise SettingsError("--anew goes with --recheck: say how many are repeated")
    found = _flags(form, out, seed, processes, recheck, anew or [])
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    _print_flags(found, Console())
    Console().print(f"report and figures: {out}", style="dim", highlight=False)


def _cost(as_json: bool) -> None:
    from ringwatch.benchmarks.flags.cost import measure_cost  # noqa: PLC0415

    rows = measure_cost()
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in (
        "Mpx",
        "pixels",
        "centre off",
        "reduction",
        "second look",
        "judging",
        "flags / reduction",
    ):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            f"{row['pixels'] / 2**20:.0f}",
            row["dtype"],
            f"{row['moved_px']:g} px",
            *(
                f"{row[key]:.2f} ms"
                for key in ("reduction_ms", "second_look_ms", "judging_ms")
            ),
            f"{row['flags_over_reduction']:.2f}",
        )
    Console().print(table)


def _flags(
    form: Literal["quick", "standard", "slow"],
    out: Path,
    seed: int,
    processes: int,
    recheck: int,
    anew: list[str],
) -> dict[str, Any]:
    from ringwatch.benchmarks.flags.figures import draw_report  # noqa: PLC0415
    from ringwatch.benchmarks.flags.ledger import LedgerError  # noqa: PLC0415
    from ringwatch.benchmarks.flags.recheck import check_names  # noqa: PLC0415
    from ringwatch.benchmarks.flags.run import (  # noqa: PLC0415
        open_ledgers,
        recheck_ledgers,
        report,
        save,
        tasks,
        work,
    )

    try:
        check_names(anew)
    except LedgerError as error:
        raise SettingsError(f"--anew: {error}") from error
    out.mkdir(parents=True, exist_ok=True)
    err = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    try:
        if recheck:
            again = recheck_ledgers(form, seed, out, recheck, anew)
            with Progress(*columns, console=err) as progress:
                bar = progress.add_task("flags: again", total=len(again))
                for _ in again.repeat(processes):
                    progress.advance(bar)
            err.print(f"{len(again)} pieces came out the same again", **_PLAIN)
        ledgers = open_ledgers(form, seed, out)
    except LedgerError as error:
        raise SettingsError(f"--out: {error}") from error
    every = tasks(form, seed)

    def kept() -> int:
        return sum(task.name in ledgers[task.ledger] for task in every)

    if (done := kept()) == len(every):
        err.print(f"all {done} pieces are in {out} already", **_PLAIN)
    try:
        with Progress(*columns, console=err) as progress:
            bar = progress.add_task("flags", total=len(every), completed=done)
            for task in work(every, ledgers, processes):
                progress.update(bar, advance=1, description=f"flags: {task.ledger}")
    except KeyboardInterrupt:
        err.print(
            f"interrupted: {kept()} of {len(every)} pieces are kept in {out}; the same "
            "command goes on from there",
            **_PLAIN,
        )
        raise typer.Exit(130) from None
    found = report(form, seed, ledgers)
    save(found, out / f"report-{form}.json")
    draw_report(found, out)
    return found


def _print_flags(found: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("fault", "amplitude", "seen", "95 %", "named", "counts alone"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for row in found["recall"]:
        if row["group"] != "target":
            continue
        low, high = row["recall_95"]
        named = row["named_share"]
        table.add_row(
            row["case"],
            f"{row['amplitude']:g} {row['unit']}",
            f"{row['seen']} of {row['trials']}"
            + (f" in {row['patience']} frames" if row["patience"] > 1 else ""),
            f"{low:.1%}-{high:.1%}",
            "-" if named is None else f"{named:.1%}",
            f"{row['baselines']['total counts']:.0%}",
        )
    console.print(table)
    for key, how in (("false_alarms", "cell by cell"), ("whole_frames", "by pixels")):
        alarms = found[key]
        console.print(
            f"{alarms['alarms']} false alarms in {alarms['frames']} frames without a "
            f"fault, drawn {how} ({alarms['hours']:.1f} h at 10 Hz): at most "
            f"{alarms['upper_limit_per_hour']:.3g} an hour (95 %)",
            highlight=False,
        )
