"""Figures of an evaluation: who is how good at what. Bars with their intervals.

Drawn from the report alone, so that they can be drawn again from its JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ringwatch.models.evaluation.figures_curves import (
    COLOURS,
    draw_lattices,
    draw_reliability,
    draw_scaling,
    draw_selectivity,
    draw_sweeps,
    style,
    table_title,
)

__all__ = ["draw_figures"]

Report = Mapping[str, Any]

_MEASURES = {
    "class_top1": "class,\nfirst",
    "class_top3": "class,\nfirst 3",
    "class_top5": "class,\nfirst 5",
    "system": "crystal\nsystem",
    "space_group": "space group,\nfirst",
    "space_group_top5": "space group,\nfirst 5",
    "surest_half": "class, surest\nhalf",
    "coverage": "label set\nholds it",
}
_DOTS_PER_INCH = 100
_WIDEST_NAME = 34
_FEWEST = 5
"""Clusters that an interval must rest on to be drawn."""


def draw_figures(report: Report, out: Path) -> list[Path]:
    """Draw what the report holds, as PNG files in the folder ``out``.

    Parameters
    ----------
    report : mapping
        Of `ringwatch.models.evaluation.report`.
    out : Path
        Made if absent.

    Returns
    -------
    list of Path
        What was written.
    """
    figures: dict[str, Figure | None] = {}
    if report["tables"]:
        figures = {
            "accuracy": _accuracy(report),
            "systems": _groups(report, "systems", "by crystal system"),
            "classes": _classes(report),
            "parts": _groups(report, "parts", "by part of the development data"),
            "volumes": _groups(report, "volumes", "by volume of the cell"),
            "selectivity": draw_selectivity(report),
            "reliability": draw_reliability(report),
            "lattices": draw_lattices(report),
        }
    if "sweeps" in report:
        figures["sweeps"] = draw_sweeps(report)
    if "training" in report:
        figures["scaling"] = draw_scaling(report)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures.items():
        if figure is not None:
            path = out / f"{name}.png"
            figure.savefig(path, dpi=_DOTS_PER_INCH)
            written.append(path)
    return written


def _bars(
    axes: Axes, rates: Sequence[Mapping[str, float]], at: Any, width: float, **kind: Any
) -> None:
    """Bars of percent with their 95 % intervals, where there is enough for one."""
    percent = np.array([rate["percent"] for rate in rates])
    low = np.array([rate["low"] for rate in rates])
    high = np.array([rate["high"] for rate in rates])
    # A percentile interval need not hold the share itself where clusters are few.
    error = np.maximum([percent - low, high - percent], 0)
    error[:, [rate["clusters"] < _FEWEST for rate in rates]] = np.nan
    axes.bar(at, percent, width, **kind)
    axes.errorbar(at, percent, error, fmt="none", ecolor="0.25", elinewidth=1)


def _accuracy(report: Report) -> Figure:
    """All measures of all tables, and what a constant answer scores."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    tables = report["tables"]
    width = 0.8 / len(tables)
    at = np.arange(len(_MEASURES))
    for k, (name, table) in enumerate(tables.items()):
        scores = table["scores"]
        place = at + (k - (len(tables) - 1) / 2) * width
        rates = [scores[key] for key in _MEASURES]
        label = f"{table_title(name)} (n = {scores['class_top1']['n']})"
        _bars(axes, rates, place, width * 0.9, color=COLOURS[k], label=label)
        constant = {0: "majority", 2: "majority_top5", 3: "majority_system"}
        for index, key in constant.items():
            axes.hlines(
                scores[key],
                place[index] - width / 2,
                place[index] + width / 2,
                color="black",
                linewidth=2,
                label="" if k or index else "the same answer to all",
            )
    axes.set_xticks(at, list(_MEASURES.values()))
    style(axes, "Accuracy", ylabel="percent, with 95 % interval")
    axes.set_ylim(0, 112)
    axes.legend(ncols=2, loc="upper center", frameon=False)
    return figure


def _groups(report: Report, key: str, title: str) -> Figure | None:
    """Top-1, top-5 and system of groups of patterns, one panel a table."""
    tables = {n: t for n, t in report["tables"].items() if len(t[key]) > 1}
    if not tables:
        return None
    names = {entry["name"] for table in tables.values() for entry in table[key]}
    long = max(len(name) for name in names) > _WIDEST_NAME
    figure = Figure(figsize=(4.2 * len(tables) + 0.5, 4.8), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
    measures = {"class_top1": "class, first", "class_top5": "class, first 5"}
    measures["system"] = "crystal system"
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        entries = table[key]
        at = np.arange(len(entries))
        for k, (measure, label) in enumerate(measures.items()):
            rates = [entry[measure] for entry in entries]
            _bars(axes, rates, at + (k - 1) * 0.27, 0.25, color=COLOURS[k], label=label)
        labels = [
            f"{entry['name'].split(':')[0] if long else entry['name']}\n"
            f"n = {entry['class_top1']['n']}"
            for entry in entries
        ]
        axes.set_xticks(at, labels, rotation=60 if len(entries) > 2 else 0)
        style(axes, f"{table_title(name)},\n{title}")
        axes.set_ylim(0, 105)
    panels[0].set_ylabel("percent")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    return figure


def _classes(report: Report) -> Figure:
    """Top-1 and top-5 of every class, one row a table."""
    tables = report["tables"]
    figure = Figure(figsize=(16, 3.4 * len(tables)), layout="constrained")
    rows = figure.subplots(len(tables), 1, squeeze=False)[:, 0]
    for axes, (name, table) in zip(rows, tables.items(), strict=True):
        entries = table["classes"]
        at = np.arange(len(entries))
        top5 = [entry["class_top5"]["percent"] for entry in entries]
        axes.bar(at, top5, 0.8, color="0.85", label="among the first 5")
        rates = [entry["class_top1"] for entry in entries]
        _bars(axes, rates, at, 0.55, color=COLOURS[0], label="first")
        labels = [
            f"{e['number']}: {e['name']} (n = {e['class_top1']['n']})" for e in entries
        ]
        axes.set_xticks(at, labels, rotation=90, fontsize=6)
        axes.set_xlim(-1, len(entries))
        style(axes, f"{table_title(name)}, by powder class", ylabel="percent")
        axes.set_ylim(0, 105)
    handles = rows[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=2)
    return figure
