"""What the report says of frames without a fault: of the flags, and of simple rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ringwatch.agent.nouns import Flag, Severity
from ringwatch.benchmarks.flags.baselines import Baselines

__all__ = [
    "TRUE_ONES",
    "calm",
    "complaints",
    "false_alarms",
    "simple_rules",
    "so_far",
    "whole_frames",
]

Row = Mapping[str, Any]

TRUE_ONES = {
    Flag.AMORPHOUS_ONLY: "The amorphous samples among them have no rings.",
    Flag.LOW_COUNTS: "The dim runs among them do have too few counts.",
    Flag.GRAINY: "The coarse powders among them are grainy.",
}
"""Of frames without a fault: flags that say there what is true."""
_CLIP = "sigma clip"
_NO_PIXELS = "a cake drawn cell by cell has no single pixels"
_CONSTANT = {
    Flag.INVALID_VALUES: "the counts drawn are always numbers, and never negative",
    Flag.SATURATED: "none of its pixels is ever at full scale",
    Flag.DUPLICATE: "each is drawn with a checksum of its own",
}
"""Why a cake cannot raise a flag: it is no test of it that none did."""
_NOT_ASKED = {
    Flag.COUNT_RATE_LOSS: "no run's settings give a dead time",
    Flag.MASK_MISMATCH: _NO_PIXELS,
    Flag.HOT_PIXELS: _NO_PIXELS,
    Flag.ZINGERS: _NO_PIXELS,
    Flag.SPOTS: _NO_PIXELS,
    Flag.SAMPLE_DISPLACED: "no run's settings say that the sample is flat",
    Flag.ICE: "no run's temperature is below the melting point of ice",
    Flag.NOVEL: "it is the classifier's, which the benchmark leaves out",
    Flag.UNSURE: "it is the classifier's, which the benchmark leaves out",
}
_EXACT = {
    Flag.SEQUENCE: "the detector's frame numbers are right in all of them, and free of "
    "noise",
    Flag.PIPELINE: "it is the agent's own: the benchmark runs no queue",
}


def so_far(found: Row) -> str:
    """How many runs are done, where it is not all that were asked for; else empty.

    Parameters
    ----------
    found : mapping
        Of ``summarize``, with ``runs`` and ``frames_a_run``: what was asked for.
    """
    if "frames_a_run" not in found:
        return ""
    done = found["frames"] // found["frames_a_run"]
    return f"so far: {done:,} of {found['runs']:,} runs" if done < found["runs"] else ""


def calm(flag: Flag, report: Row) -> list[str]:
    """How often a flag was asked, and raised, on frames without a fault: Markdown."""
    lines = []
    for key, name in (("false_alarms", "cakes"), ("whole_frames", "whole frames")):
        found = report[key]
        row = found["flags"][flag.label]
        waiting = so_far(found)
        drawn = f"{name} ({waiting})" if waiting else name
        if key == "false_alarms" and flag in _CONSTANT:
            said = f"- {drawn}: cannot raise it, {_CONSTANT[flag]}; not counted"
        elif not found["frames"]:
            said = f"- {drawn}: nothing is known yet"
        elif not row["evaluated"]:
            why = f": {_NOT_ASKED[flag]}" if flag in _NOT_ASKED else ""
            said = f"- {drawn}: evaluated on none of {row['of']:,}{why}"
        else:
            said = _evaluated(flag, found, drawn)
        lines.append(said)
    if flag in _EXACT:
        lines += ["", f"Little is proved by that: {_EXACT[flag]}."]
    if flag in TRUE_ONES:
        lines += ["", TRUE_ONES[flag]]
    return lines


def _evaluated(flag: Flag, found: Row, drawn: str) -> str:
    row = found["flags"][flag.label]
    said = (
        f"- {drawn}: evaluated on {row['evaluated']:,} of {row['of']:,}; raised as "
        f"more than information in {row['raises']} episodes "
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
    return said


def false_alarms(report: Row) -> str:
    """A sentence on the cakes without a fault, and on how many of them are done."""
    found = report["false_alarms"]
    made = (
        f"Seed {report['seed']}, version {report['version']}, "
        f"`ringwatch bench flags --form {report['form']}`."
    )
    waiting = so_far(found)
    said = "False alarms (episodes of `bad` or `misaligned` in frames without a fault"
    said += f"; {waiting}): " if waiting else "): "
    if not found["frames"]:
        return f"{said}nothing is known yet. {made}"
    return said + (
        f"{found['alarms']} in {found['frames']:,} simulated frames, "
        f"{found['hours']:.1f} hours at 10 Hz: at most "
        f"{found['upper_limit_per_hour']:.3g} an hour (95 %). {made}"
        f"{_earlier(report)}"
    )


def _earlier(report: Row) -> str:
    """What was judged by earlier code than today's, where anything was."""
    codes, repeated = report["codes"], report["rechecked"].get("alarms", [])
    today = codes["recall"]
    old = [row for row in report["recall"] if row.get("code", today) != today]
    parts = ["these cakes"] if codes["alarms"] != today else []
    parts += ["the whole frames"] if codes["frames"] != today else []
    if old:
        parts.append(f"{len(old)} of {len(report['recall'])} measurements of recall")
    if parts:
        return (
            f" Judged by code before {today}, and being judged again: "
            f"{', '.join(parts)}."
        )
    if repeated:
        pieces = sum(each["pieces"] for each in repeated)
        said = f" Code changed since: {pieces} runs done again came out the same"
        anew = sum(each.get("forgotten", 0) for each in repeated)
        touched = sorted({name for each in repeated for name in each.get("anew", ())})
        if anew:
            done = "are being" if so_far(report["false_alarms"]) else "were"
            said += f", and {anew} that it could touch ({', '.join(touched)})"
            said += f" {done} judged anew"
        return said + "."
    return ""


def whole_frames(report: Row) -> str:
    """A sentence on the runs of whole frames, which the cakes are not pooled with."""
    found = report["whole_frames"]
    runs = so_far(found) or f"{found['runs']} runs"
    said = (
        f"Apart from these, whole frames pixel by pixel ({runs}, some with a tight "
        "mask, a dark, or the setting for flat samples), for the flags that no cake "
        "can raise: "
    )
    if not found["frames"]:
        return said + "nothing is known yet."
    return said + (
        f"{found['alarms']} false alarms in {found['frames']:,} frames, "
        f"{found['hours']:.2f} hours: at most "
        f"{found['upper_limit_per_hour']:.3g} an hour (95 %)."
    )


def simple_rules(report: Row) -> list[str]:
    """What three rules that people use would have said instead: Markdown.

    The sigma clip needs single pixels: of frames without a fault it is counted on the
    whole ones alone.
    """
    lines = [
        (
            "What simple rules say instead: a change of the total counts by 20 %, a "
            "beam monitor below 80 % of the first frames', and twice the first frames' "
            "share of cells with a pixel 5 sigma above them. On frames without a "
            "fault, episodes an hour of 10 Hz (`suspect` are those of all its flags "
            "but the ones that are true there, see their pages; most of the stories "
            "hold a change that a flag may well mention):"
        ),
        "",
        "| | flags: `bad` or `misaligned` | flags: `suspect` | "
        + " | ".join(Baselines.NAMES)
        + " |",
        "|---|---|---|" + "---|" * len(Baselines.NAMES),
    ]
    for key, drawn in (("false_alarms", "cakes"), ("whole_frames", "whole frames")):
        found = report[key]
        about = f"{drawn}, {found['hours']:.3g} h"
        if waiting := so_far(found):
            about += f" ({waiting})"
        told = complaints(found)
        cells = [
            "not asked: no single pixels"
            if name == _CLIP and key == "false_alarms"
            else _an_hour(told[name], found)
            for name in Baselines.NAMES
        ]
        flagged = [
            _an_hour(episodes, found) for episodes in (found["alarms"], _mild(found))
        ]
        row = [about, *flagged, *cells]
        lines.append(f"| {' | '.join(row)} |")
    asked = "Faults that each sees, of the amplitudes asked for (the flag that is"
    lines += ["", f"{asked} meant, whatever its severity):", ""]
    lines += ["| fault | flags | " + " | ".join(Baselines.NAMES) + " |"]
    lines += ["|---|---|" + "---|" * len(Baselines.NAMES)]
    for row in report["recall"]:
        if row["group"] == "target":
            seen = [row["recall"], *(row["baselines"][n] for n in Baselines.NAMES)]
            shares = " | ".join(f"{share:.0%}" for share in seen)
            lines.append(f"| {row['case']} | {shares} |")
    return lines


def _mild(found: Row) -> int:
    """Episodes of the flags that say ``suspect``, without those that are true."""
    mild = [f for f in Flag if f.severity is Severity.SUSPECT and f not in TRUE_ONES]
    return sum(found["flags"][flag.label]["raises"] for flag in mild)


def _an_hour(episodes: int, found: Row) -> str:
    return f"{episodes / found['hours']:.3g}" if found["hours"] else "-"


def complaints(found: Row) -> Counter[str]:
    """Episodes of each simple rule, over all stories."""
    every = (Counter(row["baselines"]) for row in found["by"]["story"].values())
    return sum(every, Counter())
