"""How a replay is told at a terminal: one line a run, and what differs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["json_object", "tell_diff", "tell_failure", "tell_run"]

_SHOWN = ("run", "frames", "analysed", "words", "paragraph", "attempt")


def tell_run(console: Console, answer: dict[str, Any], *, with_name: bool) -> None:
    """One line: frames analysed, and their verdicts; of a run alone also the words."""
    told = ", ".join(f"{n} {word}" for word, n in answer["words"].items())
    name = f"{answer['run'][:8]}  " if with_name else ""
    console.print(
        f"{name}{answer['analysed']} of {answer['frames']} frames analysed"
        + (f": {told}." if told else "."),
        highlight=False,
    )
    if not with_name and answer.get("paragraph"):
        console.print(answer["paragraph"], highlight=False, markup=False)


def tell_failure(console: Console, asked: str, error: str) -> None:
    """One line: what failed, and which run, where the message does not say it."""
    name = "" if asked in error else f"run {asked}: "
    console.print(
        f"[bold red]error:[/] {escape(name + error)}", highlight=False, soft_wrap=True
    )


def tell_diff(console: Console, answer: dict[str, Any]) -> None:
    """How a replay differs from the stored pass: words, fields, the first frames."""
    diff = answer["diff"]
    console.print(
        f"{diff['differ']} of {diff['frames']} frames differ from attempt "
        f"{diff['attempt']} of run {answer['run'][:8]}.",
        style="bold" if diff["differ"] else "green",
        highlight=False,
    )
    if diff["analysis_id"] != answer["analysis_id"]:
        console.print(
            f"The analysis id was {diff['analysis_id'][:12]} and is "
            f"{answer['analysis_id'][:12]}: settings, geometry, mask, weights or "
            "version are others.",
            highlight=False,
        )
    if diff["words"]:
        table = Table(box=None, pad_edge=False)
        for column in ("was", "is", "frames"):
            table.add_column(column, justify="right" if column == "frames" else "left")
        for row in diff["words"]:
            table.add_row(row["old"], row["new"], str(row["frames"]))
        console.print(table)
    if diff["fields"]:
        fields = [f"{field} ({n})" for field, n in list(diff["fields"].items())[:8]]
        more = len(diff["fields"]) - len(fields)
        if more > 0:
            fields.append(f"{more} more")
        console.print(f"Fields: {', '.join(fields)}.", highlight=False)
    for frame in diff["first"]:
        console.print(
            f"{frame['stream']} frame {frame['index']}:\n"
            f"  was {frame['old']}: {frame['old_reason']}\n"
            f"  is  {frame['new']}: {frame['new_reason']}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if diff["not_compared"]:
        console.print(
            f"Not compared, only one of the two has them: "
            f"{', '.join(diff['not_compared'])}.",
            style="dim",
            highlight=False,
        )


def json_object(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as ``--json`` prints it."""
    if "error" in answer:
        return answer
    shown = {key: answer[key] for key in _SHOWN if key in answer}
    if "diff" in answer:
        shown["diff"] = answer["diff"]
    if "verdicts" in answer:
        shown |= {key: answer[key] for key in ("analysis_id", "digest", "verdicts")}
    return shown
