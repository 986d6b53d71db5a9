"""Labels and the review queue, as people read them in a terminal."""

from __future__ import annotations

import math
import time
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ringwatch.agent.labels.agreement import Agreement, Measure, agreement
from ringwatch.agent.labels.label import Label
from ringwatch.agent.labels.opinions import opinions
from ringwatch.agent.labels.queue import Queued

__all__ = ["labels_object", "labels_table", "queue_table"]


def labels_object(uid: str, labels: list[Label]) -> dict[str, Any]:
    """Labels of a run with what stands and how far people agree, fit for JSON."""
    said = opinions(labels)
    found = agreement(labels)
    return {
        "run": uid,
        "labels": [each.to_object() for each in labels],
        "standing": [each.uid for one in said.values() for each in one.standing],
        "settled": [
            {"stream": stream, "data_key": data_key, "index": index, "class": name}
            for (_, stream, data_key, index), one in said.items()
            if (name := one.settled_class)
        ],
        "agreement": {
            "people": list(found.people),
            "machine": found.machine.to_object(),
            "classes": found.classes.to_object(),
            "disputed": [frame[3] for frame in found.disputed],
            "open": [frame[3] for frame in found.open],
        },
    }


def labels_table(uid: str, labels: list[Label]) -> Group:
    """A line a label, by frame; what no longer stands is dim. Below, the agreement."""
    if not labels:
        return Group(Text(f"Nobody has said anything of run {uid}."))
    said = opinions(labels)
    standing = {each.uid for one in said.values() for each in one.standing}
    title = Text(f"run {uid}")
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for name in ("frame", "by", "when", "says", "comment", "the machine said"):
        table.add_column(name, overflow="fold")
    for each in sorted(labels, key=lambda label: (label.frame, label.time)):
        style = "" if each.uid in standing else "dim strike"
        cells = (
            str(each.index),
            each.by,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.time)),
            _says(each),
            each.comment,
            _machine(each),
        )
        table.add_row(*(Text(cell, style) for cell in cells))
    return Group(table, Text(_told(agreement(labels))))


def queue_table(queue: list[Queued]) -> Table:
    """A line a frame, the most telling first."""
    table = Table(box=None, pad_edge=False)
    for name in ("run", "frame", "label", "p", "margin", "novelty", "why"):
        numeric = name in {"frame", "p", "margin", "novelty"}
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for each in queue:
        run_uid, _, _, index = each.frame
        cells = (
            run_uid[:8],
            str(index),
            each.label,
            f"{each.label_prob:.2f}",
            f"{each.pick.margin:.2f}",
            f"{each.pick.novelty:.1f}",
            each.pick.reason,
        )
        table.add_row(*map(Text, cells))
    return table


def _says(label: Label) -> str:
    told = f"{label.says} {label.value}".strip()
    return f"{told} (adjudicated)" if label.adjudicated else told


def _machine(label: Label) -> str:
    cause = f" ({label.primary_flag})" if label.primary_flag else ""
    known = "" if math.isnan(label.label_prob) else f" {label.label_prob:.2f}"
    return f"{label.verdict}{cause} {label.label}{known}".strip() or "-"


def _told(found: Agreement) -> str:
    """One paragraph on how far people agree."""
    if len(found.people) < 2:
        return ""
    told = [f"{len(found.people)} people judged frames."]
    for name, measured in (
        ("whether the machine is right", found.machine),
        ("the class", found.classes),
    ):
        if measured.frames:
            told.append(f"On {name} they agree{_measured(measured)}.")
    if found.open:
        frames = ", ".join(str(frame[3]) for frame in found.open[:20])
        more = ", ..." if len(found.open) > 20 else ""
        told.append(f"Disputed and open: {frames}{more}; settle with --adjudicate.")
    return " ".join(told)


def _measured(found: Measure) -> str:
    share = f" in {found.share:.0%} of the {found.frames} frames that several judged"
    if math.isnan(found.kappa):
        return share
    return f"{share} ({found.kind}'s kappa {found.kappa:.2f})"
