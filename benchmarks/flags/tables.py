"""What the benchmark's report says of a flag, in words and tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.figures import curve_name

__all__ = ["calm", "confused", "sight", "whole_frames"]

Row = Mapping[str, Any]

_TRUE_ONES = {
    Flag.AMORPHOUS_ONLY: "The amorphous samples among them have no rings.",
    Flag.LOW_COUNTS: "The dim runs among them do have too few counts.",
    Flag.GRAINY: "The coarse powders among them are grainy.",
}
"""Of frames without a fault: flags that say there what is true."""


_CONFUSED = 0.05  # of the trials


def sight(flag: Flag, report: Row) -> list[str]:
    """How well a flag sees its faults: lines of Markdown."""
    rows = [r for r in report["recall"] if r["flag"] == flag.label]
    if not rows:
        return [
            (
                "Not among the injected faults of the benchmark; its tests say what "
                "was tried."
            )
        ]
    lines = [
        (
            "Simulated faults in photon-counting frames; `cheap` is 1 Mpx at 0.5 m, "
            "`reference` 4 Mpx at 1 m; of the others `total_scattering` is at 0.2 m, "
            "`small` 256 kpx, `quarter` has the beam in its corner. In brackets the "
            "Wilson interval at 95 %. The "
            "trials of a row share one sample; the fault is injected in the stated "
            "number of directions, signs or places in turn, and new in each trial is "
            "the counting noise. The worst of them is told beside all."
        ),
    ]
    for name in dict.fromkeys(r["case"] for r in rows):
        case = [r for r in rows if r["case"] == name]
        lines += ["", f"### {name[0].upper()}{name[1:]}", ""]
        lines += _table([r for r in case if r["group"] in ("target", "confirm")])
        lines += _elsewhere([r for r in case if r["group"] == "grid"])
        least = _least(case)
        if least:
            lines += ["", *least, *_nothing(case)]
            lines += ["", f"![recall](images/{curve_name(name)}.png)"]
    return lines


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    lines = [
        "| amplitude | scene | drawn as | seen | worst direction | named as cause |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["recall_95"]
        named = "-" if row["named_share"] is None else f"{row['named_share']:.1%}"
        lines.append(
            f"| {_amount(row['amplitude'], row['unit'])} | {row['geometry']}, "
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
    true = {"none"} | {flag.label for flag in _TRUE_ONES}
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
            f"| {row['case']}, {_amount(row['amplitude'], row['unit'])} | "
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


def _amount(value: float, unit: str) -> str:
    """A number with its unit; shares have none."""
    return f"{value:g}" if unit == "1" else f"{value:g} {unit}"


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
    amplitude = _amount(first["amplitude"], first["unit"])
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


def _least(case: Sequence[Row]) -> list[str]:
    """The smallest amplitudes of the curve that are seen in 95 of 100 trials."""
    about = CASES[case[0]["case"]]
    lines = []
    for counts in sorted({r["counts"] for r in case if r["group"] == "curve"}):
        curve = [r for r in case if r["group"] == "curve" and r["counts"] == counts]
        said = " and ".join(_from(curve, about.no_fault or 0.0, about.unit))
        within = f" within {about.patience} frames" if about.patience > 1 else ""
        where = f"from {said} on" if said else "at none of those tried"
        lines.append(f"- {counts:.0e} counts a frame: seen in 95 %{within} {where}")
    return lines


def _from(curve: Sequence[Row], nothing: float, unit: str) -> Iterator[str]:
    """The weakest amplitude that is seen, below and above what is no fault."""
    for side in (-1, 1):
        away = {side * (r["amplitude"] - nothing): r for r in curve}
        strengths = sorted(s for s in away if s > 0)
        seen = [s for s in strengths if away[s]["recall"] >= 0.95]
        if not seen:
            continue
        missed = [
            f"{away[s]['amplitude']:g}"
            for s in strengths
            if s > seen[0] and s not in seen
        ]
        but = f" (but not at {', '.join(missed)})" if missed else ""
        yield _amount(away[seen[0]]["amplitude"], unit) + but


def _nothing(case: Sequence[Row]) -> list[str]:
    """How often the flag came although nothing was injected."""
    rows = [r for r in case if r["group"] == "no fault"]
    if not rows:
        return []
    seen, trials = (sum(r[key] for r in rows) for key in ("seen", "trials"))
    amplitude = _amount(rows[0]["amplitude"], rows[0]["unit"])
    return [f"- no fault ({amplitude}), all counts: raised in {seen} of {trials}"]


def calm(flag: Flag, report: Row) -> list[str]:
    """How often a flag was asked, and raised, on frames without a fault: Markdown."""
    lines = []
    for key, drawn in (("false_alarms", "cakes"), ("whole_frames", "whole frames")):
        found = report[key]
        row = found["flags"][flag.label]
        said = f"- {drawn}: evaluated on {row['evaluated']:,} of {row['of']:,}"
        if row["evaluated"]:
            said += (
                f"; raised as more than information in {row['raises']} episodes "
                f"({row['raises_per_hour']:.3g} an hour of 10 Hz)"
            )
        stories = {
            story: about["raises_per_hour"][flag.label]
            for story, about in found["by"]["story"].items()
            if flag.label in about["raises_per_hour"]
        }
        if stories:
            said += ", an hour of each story: " + ", ".join(
                f"{story} {rate:.3g}" for story, rate in stories.items()
            )
        lines.append(said)
    if flag in _TRUE_ONES:
        lines += ["", _TRUE_ONES[flag]]
    return lines


def whole_frames(report: Row) -> str:
    """A sentence on the runs of whole frames, which the cakes are not pooled with."""
    found = report["whole_frames"]
    return (
        f"Apart from these, whole frames pixel by pixel ({found['runs']} runs, some "
        "with a tight mask, a dark, or the setting for flat samples), for the flags "
        f"that no cake can raise: {found['alarms']} false alarms in "
        f"{found['frames']:,} frames, {found['hours']:.2f} hours: at most "
        f"{found['upper_limit_per_hour']:.3g} an hour (95 %)."
    )
