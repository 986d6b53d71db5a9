"""The table that ``ringwatch evaluate`` prints, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE
from rich.table import Table

from ringwatch.models.evaluation.datasets import Part, Reasons, told_reasons
from ringwatch.models.evaluation.scoring import LabelledLogits, Scores

__all__ = ["part_heading", "scores_table", "skipped_lines", "without_parts"]

_RATES = {
    "class, top 1": "class_top1",
    "class, top 3": "class_top3",
    "class, top 5": "class_top5",
    "crystal system": "system",
    "space group, top 1": "space_group",
    "space group, top 5": "space_group_top5",
    "surest half, class": "surest_half",
    "label set holds it": "coverage",
}
_NUMBERS = {
    "classes in a label set": "mean_set_size",
    "calibration error": "ece",
    "  beyond chance": "ece_excess",
    "commonest class": "majority",
    "  five commonest": "majority_top5",
    "  commonest system": "majority_system",
}


def scores_table(scores: Mapping[str, Scores], title: str) -> Table:
    """One column per set of patterns, narrow enough for a terminal."""
    table = Table(title=f"percent, with 95 % intervals: {title}", box=SIMPLE)
    table.add_column("", no_wrap=True)
    for name in scores:
        table.add_column(name, justify="right")
    found = [s.to_dict() for s in scores.values()]
    for label, key in _RATES.items():
        table.add_row(
            label,
            *("{percent:.1f} ({low:.1f}-{high:.1f})".format(**s[key]) for s in found),
        )
    for label, key in _NUMBERS.items():
        table.add_row(label, *(f"{s[key]:.1f}" for s in found))
    table.add_row("patterns", *(str(s["class_top1"]["n"]) for s in found))
    table.add_row("types or groups", *(str(s["class_top1"]["clusters"]) for s in found))
    table.add_row("rows skipped", *(str(s["skipped"]) for s in found))
    return table


def without_parts(found: LabelledLogits) -> bool:
    """Whether rows belong to no part, so that calibration has seen what is scored."""
    return not any(fact.part for fact in found.facts)


def part_heading(sets: Mapping[str, LabelledLogits], part: Part) -> str:
    """Which rows were scored: of files that tell no parts all, whatever was asked."""
    whole = [name for name, found in sets.items() if without_parts(found)]
    if not whole:
        return f"part {part}"
    lacking = "groups" if whole == ["measured"] else "structure types"
    rows = f"all rows (no {lacking}: may hold training data)"
    if len(whole) == len(sets):
        return rows
    return f"part {part}; {', '.join(whole)}: {rows}"


def skipped_lines(reasons: Mapping[str, Reasons]) -> list[str]:
    """Why rows were skipped, a line for each table of which some were."""
    return [
        f"{name}: rows skipped: {told_reasons(why)}"
        for name, why in reasons.items()
        if why
    ]
