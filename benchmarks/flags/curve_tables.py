"""What the benchmark's curves of recall say, in words and tables of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from ringwatch.benchmarks.flags.case import Case
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.curves import (
    ENOUGH,
    SIGMAS,
    Limit,
    amount,
    curve_name,
    limits,
    place_of,
    statistical_limit,
)

__all__ = ["CAPTION", "curve_words", "has_amplitudes"]

Row = Mapping[str, Any]

_BRIGHT = (1e6, 1e8)  # counts a frame
_RIGHT = 0.1  # of what was injected
CAPTION = (
    "In the figures the bars are Wilson intervals at 95 %, hollow marks are frames "
    "into which nothing was injected, and a thin line falls from the weakest amplitude "
    "tried that is seen in 95 of 100 trials. The marks of a level of counts stand a "
    "little beside those of the others, to be told apart. A flag that is silent at the "
    "lowest amplitudes may measure them all the same: the lower panel, where there is "
    "one, has the median of what was found, with the scatter of single trials (one "
    "standard deviation, from the median absolute deviation) as bars, where the report "
    "has it. A triangle on the axis is the statistical limit: three times that scatter."
)
"""Of all the figures of a page."""


def curve_words(case: Sequence[Row]) -> list[str]:
    """How weak a fault a flag sees at each level of counts: lines of Markdown.

    Parameters
    ----------
    case : sequence of mapping
        All rows of one case, of ``measure_recall``.
    """
    curve = [r for r in case if r["group"] == "curve"]
    if not curve:
        return []
    lines = [""]
    if has_amplitudes(curve[0]):
        lines += [*_tried(case), ""]
    lines += [*_least(curve), *_still_right(curve), *_noise(case), *_nothing(case)]
    return [*lines, "", f"![recall](images/{curve_name(curve[0]['case'])}.png)"]


def has_amplitudes(row: Row) -> bool:
    """Whether a row is of a curve with more than one amplitude."""
    return row["group"] == "curve" and len(CASES[row["case"]].amplitudes) > 1


def _tried(case: Sequence[Row]) -> list[str]:
    """Recall at all amplitudes of the curve, a column for each level of counts."""
    rows = [r for r in case if r["group"] in ("curve", "no fault")]
    levels = sorted({r["counts"] for r in rows})
    unit, first = rows[0]["unit"], rows[0]
    trials = {r["trials"] for r in rows}
    each = f", {trials.pop()} trials each" if len(trials) == 1 else ""
    if CASES[first["case"]].counts:
        columns = ["seen"]  # the amplitude itself says how many there are
    else:
        columns = [f"{counts:.0e} counts" for counts in levels]
    lines = [
        (
            f"Seen at the amplitudes of the curve ({place_of(first)}, drawn as "
            f"{first['level']}{each}; in italics: nothing injected):"
        ),
        "",
        f"| {'amplitude' if unit == '1' else unit} | {' | '.join(columns)} |",
        "|---|" + "---|" * len(columns),
    ]
    for amplitude in sorted({r["amplitude"] for r in rows}):
        here = {r["counts"]: r for r in rows if r["amplitude"] == amplitude}
        nothing = any(r["group"] == "no fault" for r in here.values())
        said = f"*{amplitude:g}*" if nothing else f"{amplitude:g}"
        seen = [f"{here[c]['recall']:.0%}" if c in here else "-" for c in levels]
        lines.append(f"| {said} | {' | '.join(seen)} |")
    return lines


def _least(curve: Sequence[Row]) -> list[str]:
    """The weakest amplitudes of the curve that are seen in 95 of 100 trials."""
    about, unit = CASES[curve[0]["case"]], curve[0]["unit"]
    several = has_amplitudes(curve[0])
    found: dict[float, list[Limit]] = {}
    lines = []
    for counts in sorted({r["counts"] for r in curve}):
        found[counts] = list(limits([r for r in curve if r["counts"] == counts], about))
        said = " and ".join(_from(limit, unit, several) for limit in found[counts])
        within = f" within {about.patience} frames" if about.patience > 1 else ""
        level = "" if about.counts else f"{counts:.0e} counts a frame: "
        where = f"{said}" if said else "at none of those tried"
        lines.append(f"- {level}seen in {100 * ENOUGH:.0f} %{within} {where}")
    return lines + (_who_decides(found, about) if several else [])


def _from(limit: Limit, unit: str, several: bool) -> str:
    """Where a limit lies, in words."""
    if not several:
        return f"at {amount(limit.amplitude, unit)}"
    said = f"{limit.side} {amount(limit.amplitude, unit)}"
    if limit.weakest:
        said += ", the weakest tried"
    if limit.missed:
        missed = ", ".join(f"{amplitude:g}" for amplitude in limit.missed)
        said += f" (but not at {missed})"
    return said


def _who_decides(found: Mapping[float, Sequence[Limit]], about: Case) -> list[str]:
    """Whether it is the counting noise that sets the limits of the bright frames."""
    fewer, more = (found.get(counts, []) for counts in _BRIGHT)
    if not fewer or len(fewer) != len(more) or any(each.weakest for each in fewer):
        return []
    nothing = about.no_fault or 0.0
    dim, bright = (
        [abs(each.amplitude - nothing) for each in side] for side in (fewer, more)
    )
    if dim == bright:
        said = (
            "- the same one of the amplitudes tried at 1e+06 and at 1e+08 counts, "
            "though counting noise falls tenfold between them: a tolerance that is "
            "set, or the way of measuring, decides there, and not the statistical limit"
        )
    elif all(b <= d for d, b in zip(dim, bright, strict=True)):
        said = (
            "- weaker faults are seen at 1e+08 counts than at 1e+06: counting noise "
            "has a part in it"
        )
    else:
        return []
    return [said]


def _still_right(curve: Sequence[Row]) -> list[str]:
    """Down to which amplitude the value is right, whether the flag speaks or not."""
    lines = []
    for counts in sorted({r["counts"] for r in curve}):
        told = [r for r in curve if r["counts"] == counts]
        told = [r for r in told if r.get("recovered_median") is not None]
        told.sort(key=lambda r: abs(r["amplitude"]), reverse=True)
        right = list(takewhile(_is_right, told))
        if right:
            down = amount(right[-1]["amplitude"], right[-1]["unit"])
            weakest = ", the weakest tried" if len(right) == len(told) else ""
            lines.append(f"down to {down} at {counts:.0e} counts{weakest}")
        elif told:
            lines.append(f"at none tried with {counts:.0e} counts")
    if not lines:
        return []
    said = (
        f"- the value is within {_RIGHT:.0%} of what was injected (median of the "
        f"trials), whether the flag speaks or not, {'; '.join(lines)}"
    )
    return [said]


def _is_right(row: Row) -> bool:
    return abs(float(row["recovered_median"]) - 1.0) <= _RIGHT


def _noise(case: Sequence[Row]) -> list[str]:
    """The statistical limit of what a single frame tells."""
    about, unit = CASES[case[0]["case"]], case[0]["unit"]
    rows = [r for r in case if r["group"] in ("curve", "no fault")]
    if about.patience > 1 or about.counts:
        return []
    lines = []
    for counts in sorted({r["counts"] for r in rows}):
        here = [r for r in rows if r["counts"] == counts]
        if about.injected is not None:
            least = statistical_limit(here, about)
            if least is not None:
                lines.append(f"{amount(float(f'{least:.2g}'), unit)} at {counts:.0e}")
            continue
        still = [r for r in here if r["group"] == "no fault"]
        scatter = still[0].get("value_scatter") if still else None
        if scatter:
            lines.append(f"{SIGMAS * scatter:.2g} at {counts:.0e}")
    if not lines:
        return []
    what = "what single trials find" if about.injected else "its value without a fault"
    said = f"- the statistical limit, {SIGMAS:g} times the scatter of {what}: "
    return [f"{said}{', '.join(lines)} counts"]


def _nothing(case: Sequence[Row]) -> list[str]:
    """How often the flag came although nothing was injected."""
    rows = [r for r in case if r["group"] == "no fault"]
    if not rows:
        return []
    seen, trials = (sum(r[key] for r in rows) for key in ("seen", "trials"))
    amplitude = amount(rows[0]["amplitude"], rows[0]["unit"])
    return [f"- no fault ({amplitude}), all counts: raised in {seen} of {trials}"]
