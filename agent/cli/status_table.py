"""How an agent is, as people read it in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ringwatch.agent.status_report import Report

__all__ = ["status_table"]

_STATES = {
    "starting": "yellow",
    "idle": "green",
    "working": "green",
    "behind": "bold yellow",
}
_BAD = "bold red"


def status_table(report: Report) -> Group:
    """A short table, and below it what is wrong with its remedy."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    style = _STATES.get(report.state, _BAD)
    table.add_row("agent", escape(report.url))
    table.add_row("state", f"[{style}]{report.state}[/]")
    if report.numbers:
        for name, told in _rows(report.numbers):
            table.add_row(name, escape(told))
    problems = [
        Text.assemble((f"{p.what}. ", _BAD), f"Remedy: {p.remedy}.")
        for p in report.problems
    ]
    return Group(table, *problems)


def _rows(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    queue, spool, newest = (
        numbers[key] for key in ("queue", "spool", "last_verdict_age_s")
    )
    done, announced = numbers["frames_analysed"], numbers["frames_announced"]
    rows = [
        ("runs", f"{numbers['runs_open']} not through"),
        ("analysed", f"{done} of {announced} frames"),
        ("verdicts", _list_of(numbers["words"]) or "none"),
        ("left out", _list_of(numbers["shed"])),
        ("alarms", _list_of(numbers["alarms"])),
        ("knob", _knob(numbers["knob"])),
        ("latency", _milliseconds(numbers["latency_ms"])),
        *(
            (f"  {stage}", _milliseconds(taken))
            for stage, taken in numbers["stages_ms"].items()
        ),
        ("queue", f"{queue['documents']} documents, {queue['age_s']:.1f} s old"),
        ("newest verdict", "none" if newest is None else f"{newest:.1f} s ago"),
        *(
            (f"to {kind}", f"{of['pending']} waiting, {of['failed']} given up")
            for kind, of in numbers["sinks"].items()
        ),
    ]
    if "spooled" in numbers["sinks"]:
        refused = f", {spool['refused']} refused" if spool["refused"] else ""
        rows.append(("spool", f"{spool['bytes'] / 1e6:.1f} MB{refused}"))
    return [(name, told) for name, told in rows if told]


def _knob(told: dict[str, float]) -> str:
    """What the thresholds of the flags follow from."""
    return (
        f"{told['false_alarms_per_hour']:g} false alarms an hour at "
        f"{told['frame_rate_hz']:g} frames a second: from "
        f"{told['threshold_sigma']:.1f} sigma on"
    )


def _list_of(counted: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counted.items() if n)


def _milliseconds(taken: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f} ms" for name, value in taken.items())
