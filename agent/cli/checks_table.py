"""All that the flags say of frames, a line each: ``ringwatch classify --checks``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ringwatch.agent.nouns import Flag, FlagState, Quality, Severity, Verdict

__all__ = ["print_checks"]

_STATES = {
    FlagState.RAISED: "raised",
    FlagState.CLEAR: "clear",
    FlagState.NOT_EVALUATED: "not evaluated",
}


def print_checks(verdicts: Sequence[tuple[Path, Verdict]]) -> None:
    """Print state, value and reason of each flag, a table a file."""
    console = Console()
    for path, verdict in verdicts:
        console.print(_table(path.name, verdict.quality), highlight=False)


def _table(name: str, quality: Quality) -> Table:
    table = Table(title=escape(name), title_justify="left", box=None, pad_edge=False)
    for column in ("check", "state", "value", "z", "why"):
        numeric = column in ("value", "z")
        table.add_column(column, justify="right" if numeric else "left")
    for flag in Flag:
        state = quality.states[flag]
        z = quality.z.get(flag, math.nan)
        table.add_row(
            flag.label,
            _STATES[state] + _severity(quality, flag),
            _value(quality, flag),
            "" if math.isnan(z) else f"{z:.1f}",
            escape(quality.why_not.get(flag) or quality.sentences.get(flag, "")),
            style="dim" if state is FlagState.NOT_EVALUATED else None,
        )
    return table


def _severity(quality: Quality, flag: Flag) -> str:
    """What a raised flag means: one of information is no fault."""
    severity = quality.severities.get(flag)
    if severity is None:
        return ""
    shown = "(i)" if severity is Severity.INFORMATION else f"({severity.value})"
    return f" {shown}"


def _value(quality: Quality, flag: Flag) -> str:
    value = quality.values.get(flag.value_key, math.nan)
    if math.isnan(value):
        return ""
    return f"{value:.4g}" + ("" if flag.unit == "1" else f" {flag.unit}")
