"""The figure of recall against amplitude, at each level of counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.axis_scale import scale
from ringwatch.benchmarks.flags.case import Case
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.curves import (
    ENOUGH,
    Limit,
    limits,
    place_of,
    statistical_limit,
)

__all__ = ["curve_figure"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Style:
    """How a level of counts is drawn: told apart where the lines coincide."""

    colour: str
    marker: str
    line: str
    width: float
    shift: float  # of the points, to the right, in points of 1/72 inch


_LEVELS = {
    1e4: _Style("#c2571a", "o", "-", 2.6, -4.0),
    1e6: _Style("#1f6f8b", "s", "--", 1.8, 0.0),
    1e8: _Style("#4b3f72", "^", ":", 1.4, 4.0),
}
_GREY = "#555555"
_OTHER = _Style(_GREY, "D", "-.", 1.6, 0.0)
_ASKED = "asked to be seen"
_FLOOR = -0.05  # of the axis of recall: marks at 0 are seen whole
_NEAR = 50.0  # no fault is drawn where that widens the axis by less than this factor


def curve_figure(case: str, rows: Sequence[Row]) -> Figure:
    """Recall against amplitude at each level of counts, and the values beneath it.

    From the weakest amplitude that is seen in 95 of 100 trials a line falls to the
    axis; a triangle on it is the statistical limit. Where nothing is injected the marks
    are hollow. The values show whether a flag that is silent measures the fault all the
    same.

    Parameters
    ----------
    case : str
        Key of ``CASES``.
    rows : sequence of mapping
        Of ``measure_recall``: the curve and, where there is one, no fault.
    """
    about = CASES[case]
    if len(about.amplitudes) == 1:
        return _by_counts(case, rows)
    shown = [r for r in rows if r["group"] == "curve" or _is_near(about)]
    values = _values(about, shown)
    ratios = {"height_ratios": (2, 1)} if values else None
    figure = Figure(figsize=(6.4, 5.2 if values else 4.2), layout="constrained")
    every = figure.subplots(
        1 + bool(values), 1, sharex=True, squeeze=False, gridspec_kw=ratios
    )[:, 0]
    _draw_recall(every[0], case, shown)
    if values:
        _draw_values(every[1], about, values)
    least = [statistical_limit(line, about) for _, _, line in _levels(shown)]
    most = max(r["amplitude"] for r in shown)
    within = [limit for limit in least if limit is not None and limit < most]
    scale(every[0], "x", [r["amplitude"] for r in shown] + within)
    every[-1].set_xlabel(f"{case} ({_unit(about.unit)})")
    _draw_legend(figure, every[0])
    return figure


def _draw_legend(figure: Figure, axes: Axes) -> None:
    """Levels of counts first: matplotlib puts plain lines before those with bars."""
    named = list(zip(*axes.get_legend_handles_labels(), strict=True))
    named.sort(key=lambda each: each[1] == _ASKED)
    handles, labels = zip(*named, strict=True)
    figure.legend(
        handles,
        labels,
        frameon=False,
        fontsize=8,
        loc="outside lower center",
        ncols=2,
    )


def _unit(unit: str) -> str:
    return "a share" if unit == "1" else unit


def _is_near(about: Case) -> bool:
    """Whether what is no fault fits on the axis of the faults."""
    tried = [a for a in about.amplitudes if a > 0]
    if not about.no_fault:
        return True
    return min(tried) / _NEAR <= about.no_fault <= max(tried) * _NEAR


def _levels(rows: Sequence[Row]) -> Iterator[tuple[float, _Style, list[Row]]]:
    """Rows of each level of counts in the order of their amplitude."""
    for counts in sorted({r["counts"] for r in rows}):
        line = [r for r in rows if r["counts"] == counts]
        line.sort(key=lambda r: r["amplitude"])
        yield counts, _LEVELS.get(counts, _OTHER), line


def _beside(axes: Axes, style: _Style) -> Transform:
    """Where the points of a level stand: beside those of the others."""
    figure = axes.get_figure()
    assert figure is not None
    moved = ScaledTranslation(style.shift / 72, 0, figure.dpi_scale_trans)
    return axes.transData + moved


def _draw_recall(axes: Axes, case: str, rows: Sequence[Row]) -> None:
    about = CASES[case]
    for counts, style, line in _levels(rows):
        found = list(limits([r for r in line if r["group"] == "curve"], about))
        _draw_points(
            axes,
            line,
            [r["amplitude"] for r in line],
            style,
            label=_label(counts, found, about),
        )
        for limit in found:
            axes.plot(
                [limit.amplitude] * 2,
                [_FLOOR, ENOUGH],
                color=style.colour,
                linewidth=0.8,
                transform=_beside(axes, style),
            )
        least = statistical_limit(line, about)
        if least is not None:
            axes.plot(
                [least],
                [_FLOOR],
                marker="^",
                markersize=9,
                color=style.colour,
                markeredgecolor="white",
                clip_on=False,
                zorder=4,
            )
    if about.target is not None:
        axes.axvline(about.target, color=_GREY, linewidth=6, alpha=0.2, label=_ASKED)
    _frame(axes, about)
    axes.set_title(_title(case, rows), fontsize=9, loc="left")


def _draw_points(
    axes: Axes, rows: Sequence[Row], places: Sequence[float], style: _Style, label: str
) -> None:
    """Recall with its Wilson intervals; hollow where nothing was injected."""
    recall = np.array([r["recall"] for r in rows])
    low, high = np.array([r["recall_95"] for r in rows]).T
    beside = _beside(axes, style)
    axes.errorbar(
        places,
        recall,
        yerr=np.clip([recall - low, high - recall], 0.0, 1.0),
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        linewidth=style.width,
        elinewidth=1.0,
        markersize=5,
        capsize=2,
        label=label,
        transform=beside,
    )
    nothing = [k for k, row in enumerate(rows) if row["group"] == "no fault"]
    axes.plot(
        [places[k] for k in nothing],
        recall[nothing],
        style.marker,
        color=style.colour,
        markerfacecolor="white",
        markersize=5,
        transform=beside,
        zorder=3,
    )


def _label(counts: float, found: Sequence[Limit], about: Case) -> str:
    name = "" if about.counts else f"$10^{{{int(np.log10(counts))}}}$ counts: "
    said = ", ".join(f"{limit.side} {limit.amplitude:g}" for limit in found)
    return f"{name}95 % {said}" if said else f"{name}95 % at none tried"


def _title(case: str, rows: Sequence[Row]) -> str:
    first = rows[0]
    return (
        f"{case}: {place_of(first)}\n"
        f"{first['trials']} trials a point, drawn as {first['level']}; bars: 95 %"
    )


def _frame(axes: Axes, about: Case) -> None:
    axes.axhline(ENOUGH, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(_FLOOR, 1.05)
    within = f"\nwithin {about.patience} frames" if about.patience > 1 else ""
    axes.set_ylabel(f"share with {about.flag}{within}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _by_counts(case: str, rows: Sequence[Row]) -> Figure:
    """A fault without an amplitude: recall at each level of counts."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    for counts, style, line in _levels(rows):
        at = [counts] * len(line)
        _draw_points(axes, line, at, replace(style, shift=0.0), label="")
    axes.set_xscale("log")
    axes.set_xlim(min(_LEVELS) / 3, max(_LEVELS) * 3)
    axes.set_xticks(list(_LEVELS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("counts a frame")
    _frame(axes, CASES[case])
    axes.set_title(_title(case, rows), fontsize=9, loc="left")
    return figure


def _values(about: Case, rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """What was measured at each amplitude, median of the trials, where that is told.

    None of a flag that takes several frames: its value is of the one that raised it.
    """
    key = "value_median" if about.injected is None else "recovered_median"
    told = [(r, float(r[key])) for r in rows if r.get(key) is not None]
    several = len({value for _, value in told}) > 2
    return told if several and about.patience == 1 else []


def _draw_values(axes: Axes, about: Case, values: Sequence[tuple[Row, float]]) -> None:
    """Found over injected, or the flag's value, against the amplitude."""
    value_of = {id(row): value for row, value in values}
    scatter = "value_scatter" if about.injected is None else "recovered_scatter"
    for _, style, line in _levels([row for row, _ in values]):
        axes.errorbar(
            [r["amplitude"] for r in line],
            [value_of[id(r)] for r in line],
            yerr=[r.get(scatter) or 0.0 for r in line],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=4,
            linewidth=1.0,
            elinewidth=0.8,
            transform=_beside(axes, style),
        )
    axes.spines[["top", "right"]].set_visible(False)
    if about.injected is not None:
        axes.axhline(1.0, color=_GREY, linewidth=0.8, linestyle=":")
        axes.set_ylim(0.0, 2.0)
        axes.set_ylabel("found / injected\n(median)", fontsize=8)
        return
    key = next(flag.value_key for flag in Flag if flag.label == about.flag)
    axes.set_ylabel(f"{key}\n(median)", fontsize=8)
    scale(axes, "y", [value for _, value in values])
