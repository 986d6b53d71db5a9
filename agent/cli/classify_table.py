"""What ``ringwatch classify`` prints: a row a file, its reason, its second opinion."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ringwatch.agent.cli.present import word_style
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.files.pattern_axes import Axis
from ringwatch.agent.geometry import load_geometry
from ringwatch.agent.nouns import Verdict
from ringwatch.models.inputs import PatternError
from ringwatch.models.nearest import Library, LibraryError, Neighbours

__all__ = [
    "as_nearest",
    "note_assumed",
    "note_unchecked",
    "print_table",
    "read_library",
]


def note_assumed(axes: dict[Path, Axis]) -> None:
    """Say once which unit was taken where nobody told one."""
    assumed = {axis.unit for axis in axes.values() if axis.assumed}
    if assumed:
        units = " or ".join(sorted(assumed))
        note = f"no unit told: the first column was taken as {units} (see --unit)"
        Console().print(note, style="dim", highlight=False)


def note_unchecked(poni: Path | None, any_frame: bool) -> None:
    """Say where nobody can tell whether the frames are of the geometry's detector."""
    if poni is None or not any_frame or load_geometry(poni).detector.max_shape:
        return
    note = (
        f"{poni.name} names no detector whose shape is known: it was not checked that "
        "the frames are of that shape"
    )
    Console().print(note, style="dim", highlight=False)


def read_library(path: Path) -> Library:
    """Known structures of ``--library``.

    Raises
    ------
    SettingsError
        Where the file holds none.
    """
    try:
        return Library.read(path)
    except LibraryError as error:
        raise SettingsError(str(error)) from error


def _nearest(library: Library, verdict: Verdict) -> Neighbours:
    """Known structures most alike to a verdict's pattern; none without a pattern."""
    pattern = verdict.pattern
    if pattern is None:
        return ()
    q, intensity, sigma = pattern.measured()
    try:
        return library.search(q, intensity, k=3, sigma=sigma)
    except PatternError:
        return ()


def as_nearest(library: Library | None, verdict: Verdict) -> dict[str, Any]:
    """What JSON says of the known structures, if there is a library."""
    if library is None:
        return {}
    return {"nearest": [asdict(found) for found in _nearest(library, verdict)]}


def _second_opinion(library: Library, verdict: Verdict) -> str:
    """Name the nearest known structure in a few words."""
    found = _nearest(library, verdict)
    if not found:
        return ""
    best = found[0]
    if not best.known:
        return f"; like no known structure (nearest {best.name})"
    group = f", space group {best.space_group}" if best.space_group else ""
    return f"; nearest known: {best.name}{group}, distance {best.distance:.2f}"


def print_table(verdicts: list[tuple[Path, Verdict]], library: Library | None) -> None:
    """One row a file and, below it, why: reasons are too long for a column."""
    console = Console()
    unsure = False
    longest = max(len(path.name) for path, _ in verdicts)
    for i, (path, verdict) in enumerate(verdicts):
        prediction = verdict.prediction
        label, probability = "-", "-"
        if prediction is not None:
            unsure |= prediction.unsure
            label = prediction.label + "?" * prediction.unsure
            probability = f"{prediction.label_prob:.2f}"
        table = Table(box=None, pad_edge=False, show_header=i == 0)
        width = max(4, min(longest, console.width - 36))  # what the others leave
        table.add_column("file", overflow="fold", width=width)
        for column, width in (("verdict", 10), ("label", 8), ("probability", 11)):
            table.add_column(column, width=width)
        style = word_style(verdict.word)
        # Names and reasons may hold square brackets.
        row = (escape(path.name), f"[{style}]{verdict.word.value}[/]", label)
        table.add_row(*row, probability)
        console.print(table)
        opinion = _second_opinion(library, verdict) if library else ""
        reason = Padding(escape(verdict.reason + opinion), (0, 0, 0, 2))
        console.print(reason, highlight=False)
    if unsure:
        console.print(
            "? the classifier is unsure of this label: --json lists all that are not "
            "excluded (label_set)",
            style="dim",
            highlight=False,
        )
