"""What the benchmark's report says of a flag, in words and tables of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.curve_tables import (
    CAPTION,
    curve_words,
    has_amplitudes,
)
from ringwatch.benchmarks.flags.curves import amount
from ringwatch.benchmarks.flags.sound_tables import TRUE_ONES

__all__ = ["confused", "sight"]

Row = Mapping[str, Any]

_CONFUSED = 0.05  # of the trials
_HOW = (
    "Simulated faults in photon-counting frames; `cheap` is 1 Mpx at 0.5 m, "
    "`reference` 4 Mpx at 1 m; of the others `total_scattering` is at 0.2 m, "
    "`small` 256 kpx, `quarter` has the beam in its corner. The trials of a row share "
    "one sample; the fault is injected in a number of directions, signs or places in "
    "turn, and new in each trial is the counting noise."
)
_ASKED = (
    " In brackets the Wilson interval at 95 %; the worst of the directions is told "
    "beside all."
)
_CLASSIFIER = (
    "Not measured here: the classifier raises it, and the benchmark of the flags runs "
    "none. How well the classifier knows what it does not know is told by its "
    "[card](../../models/weights/MODEL_CARD.md) (`ringwatch evaluate`)."
)
_NOT_INJECTED = {
    Flag.NOVEL: _CLASSIFIER,
    Flag.UNSURE: _CLASSIFIER,
    Flag.PIPELINE: (
        "Not measured here: it tells what the agent itself did (left out, late, "
        "failed), which is known and needs no estimate, and the benchmark of the flags "
        "runs no queue. Its tests say what was tried."
    ),
}
"""Flags without a fault to be injected: why."""


def sight(flag: Flag, report: Row) -> list[str]:
    """How well a flag sees its faults: lines of Markdown."""
    rows = [r for r in report["recall"] if r["flag"] == flag.label]
    if not rows:
        untried = "Not among the injected faults of the benchmark; its tests say what "
        return [_NOT_INJECTED.get(flag, untried + "was tried.")]
    asked = any(r["group"] in ("target", "confirm") for r in rows)
    lines = [_HOW + _ASKED if asked else _HOW]
    for name in dict.fromkeys(r["case"] for r in rows):
        case = [r for r in rows if r["case"] == name]
        lines += ["", f"### {name[0].upper()}{name[1:]}"]
        lines += _table([r for r in case if r["group"] in ("target", "confirm")])
        lines += _elsewhere([r for r in case if r["group"] == "grid"])
        lines += curve_words(case)
    return [*lines, "", CAPTION] if any(map(has_amplitudes, rows)) else lines


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    lines = [
        "",
        "| amplitude | scene | drawn as | seen | worst direction | named as cause |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["recall_95"]
        named = "-" if row["named_share"] is None else f"{row['named_share']:.1%}"
        lines.append(
            f"| {amount(row['amplitude'], row['unit'])} | {row['geometry']}, "
            f"{row['sample']}, {row['counts']:.0e} counts | {row['level']} | "
            f"{row['seen']} of {row['trials']} ({low:.1%} to {high:.1%})"
            f"{_within(row)} | {_worst(row)} | {named} |"
        )
    return lines + [
        f"\nRecovered along what was injected ({row['level']}, {row['geometry']}): "
        f"{row['recovered_median']:.3f} of it, median."
        for row in rows
        if row.get("recovered_median") is not None
    ]


def confused(report: Row) -> list[str]:
    """Where the cause that was named is another than what was injected: Markdown."""
    true = {"none"} | {flag.label for flag in TRUE_ONES}
    lines = []
    for row in report["recall"]:
        other = {
            cause: n
            for cause, n in row["causes"].items()
            if cause not in true | {row["flag"]} and n >= _CONFUSED * row["trials"]
        }
        if not other:
            continue
        named = ", ".join(f"`{cause}` {n}" for cause, n in other.items())
        lines.append(
            f"| {row['case']}, {amount(row['amplitude'], row['unit'])} | "
            f"{row['geometry']}, {row['sample']}, {row['counts']:.0e} counts | "
            f"{named} of {row['trials']} |"
        )
    if not lines:
        return []
    return [
        (
            "Another cause than the injected one was named in at least one of 20 "
            "trials here, and nowhere else (that dim frames have too few counts and "
            "amorphous samples no rings is true, and left out):"
        ),
        "",
        "| injected | into | named |",
        "|---|---|---|",
        *lines,
    ]


def _elsewhere(rows: Sequence[Row]) -> list[str]:
    """What is seen of the same fault on other detectors and in other samples."""
    if not rows:
        return []
    scenes: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda r: -r["recall"]):
        place = row["geometry"]
        if row["sample"] != "cubic":
            place = f"{row['sample'].replace('_', ' ')} ({place})"
        scenes.setdefault(f"{row['seen']} of {row['trials']}", []).append(place)
    said = "; ".join(f"{seen} {', '.join(at)}" for seen, at in scenes.items())
    first = rows[0]
    amplitude = amount(first["amplitude"], first["unit"])
    about = f"{amplitude}, {first['counts']:.0e} counts, cubic unless told"
    return [f"\nThe same elsewhere ({about}): {said}."]


def _within(row: Row) -> str:
    """How long the flag may take, where that is more than one frame."""
    if row["patience"] == 1:
        return ""
    said = f" within {row['patience']} frames"
    if row["delay_median"] is not None:
        said += f", median {row['delay_median'] + 1:g}"
    return said


def _worst(row: Row) -> str:
    if row["directions"] == 1:
        return "no direction"
    return f"{row['worst_seen']} of {row['worst_trials']} (of {row['directions']})"
