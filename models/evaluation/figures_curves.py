"""Figures of an evaluation: curves and the confusion of lattices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ringwatch.models.evaluation.scaling import PUBLISHED, PUBLISHED_CEILING
from ringwatch.models.symmetry import BRAVAIS_LATTICES

__all__ = [
    "COLOURS",
    "draw_lattices",
    "draw_reliability",
    "draw_scaling",
    "draw_selectivity",
    "draw_sweeps",
    "style",
    "table_title",
]

Report = Mapping[str, Any]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Told apart by those who are colour-blind (Okabe and Ito, 2008)."""
_COLUMNS = 3
_TRAINING = {
    "clean_top1": "ours: new simulated crystals, clean",
    "disturbed_top1": "ours: new simulated crystals, disturbed",
    "real_clean_top1": "ours: real structures, clean",
    "real_beamline_top1": "ours: real structures, as at a beamline",
    "real_measured_top1": "ours: measured patterns",
}


def style(axes: Axes, title: str, *, xlabel: str = "", ylabel: str = "") -> None:
    """Title, labels and a light grid."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def table_title(name: str) -> str:
    """What a table is called in figures."""
    return {
        "clean": "real structures, clean",
        "beamline": "real structures, as at a beamline",
        "measured": "measured patterns",
    }.get(name, name)


def draw_selectivity(report: Report) -> Figure:
    """Top-1 of the surest share of the patterns."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, (name, table) in enumerate(report["tables"].items()):
        points = table["selectivity"]
        share = [point["share"] for point in points]
        axes.plot(
            share,
            [point["percent"] for point in points],
            "o-",
            color=COLOURS[k],
            label=f"{table_title(name)} (n = {points[-1]['n']})",
        )
        low, high = ([point[end] for point in points] for end in ("low", "high"))
        axes.fill_between(share, low, high, color=COLOURS[k], alpha=0.15, linewidth=0)
    style(
        axes,
        "Accuracy of the surest answers",
        xlabel="share that is answered, the surest first (percent)",
        ylabel="first class right (percent)",
    )
    axes.set_ylim(0, 105)
    axes.legend(frameon=False)
    return figure


def draw_reliability(report: Report) -> Figure:
    """Accuracy over stated confidence, one panel a table; dots as large as counts."""
    tables = report["tables"]
    figure = Figure(figsize=(4 * len(tables), 4.2), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
    for k, (axes, (name, table)) in enumerate(zip(panels, tables.items(), strict=True)):
        bins, scores = table["reliability"], table["scores"]
        confidence = np.array([b["confidence"] for b in bins])
        percent = np.array([b["percent"] for b in bins])
        ends = [percent - [b["low"] for b in bins], [b["high"] for b in bins] - percent]
        axes.plot([0, 100], [0, 100], color="0.6", linewidth=1)
        axes.errorbar(
            confidence,
            percent,
            np.maximum(ends, 0),
            fmt="none",
            ecolor=COLOURS[k],
            alpha=0.5,
        )
        total = sum(b["n"] for b in bins)
        size = [10 + 400 * b["n"] / total for b in bins]
        axes.scatter(confidence, percent, size, color=COLOURS[k], zorder=3)
        title = (
            f"{table_title(name)}\nECE {scores['ece']:.1f} %,"
            f" {scores['ece_excess']:+.1f} beyond chance"
        )
        style(axes, title, xlabel="stated probability (percent)")
        axes.set_xlim(0, 102)
        axes.set_ylim(0, 105)
    panels[0].set_ylabel("first class right (percent)")
    return figure


def draw_lattices(report: Report) -> Figure:
    """Answered against true Bravais lattice, rows scaled to 100 %."""
    tables = report["tables"]
    n = len(BRAVAIS_LATTICES)
    figure = Figure(figsize=(5 * len(tables), 5.2), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        counts = np.array(table["lattices"], float)
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for i in range(n):
            for j in range(n):
                if share[i, j] >= 1:
                    axes.text(
                        j,
                        i,
                        f"{share[i, j]:.0f}",
                        ha="center",
                        va="center",
                        fontsize=7,
                        color="white" if share[i, j] > 55 else "black",
                    )
        rows = counts.sum(axis=1).astype(int)
        labels = [
            f"{of} ({m})" for of, m in zip(BRAVAIS_LATTICES, rows.tolist(), strict=True)
        ]
        axes.set_xticks(range(n), BRAVAIS_LATTICES, fontsize=8)
        axes.set_yticks(range(n), labels, fontsize=8)
        axes.set_title(f"{table_title(name)}\npercent of each row", fontsize=10)
        axes.set_xlabel("lattice of the first answer")
        axes.set_ylabel("true lattice (patterns)")
    return figure


def draw_sweeps(report: Report) -> Figure:
    """One disturbance at a time, one panel each."""
    sweeps = report["sweeps"]
    rows = -(-len(sweeps) // _COLUMNS)
    figure = Figure(figsize=(12, 3 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True).ravel()
    lines = {"class_top1": "class, first", "class_top5": "class, first 5"}
    lines["system"] = "crystal system"
    for axes, sweep in zip(panels, sweeps.values(), strict=False):
        points = sweep["points"]
        at = np.arange(len(points))  # evenly: steps are chosen to be told apart
        for k, (key, label) in enumerate(lines.items()):
            rates = [point[key] for point in points]
            percent = [rate["percent"] for rate in rates]
            axes.plot(at, percent, "o-", color=COLOURS[k], label=label, markersize=4)
            low, high = ([rate[end] for rate in rates] for end in ("low", "high"))
            axes.fill_between(at, low, high, color=COLOURS[k], alpha=0.15, linewidth=0)
        axes.set_xticks(at, [f"{point['value']:g}" for point in points])
        style(axes, "", xlabel=sweep["label"])
        axes.set_ylim(0, 100)
    for axes in panels[::_COLUMNS]:
        axes.set_ylabel("percent")
    for axes in panels[len(sweeps) :]:
        axes.set_visible(False)
    first = next(iter(sweeps.values()))["points"][0]["class_top1"]
    figure.suptitle(
        f"Clean patterns of {first['n']} real structures but for one thing", fontsize=11
    )
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    return figure


def draw_scaling(report: Report) -> Figure:
    """Accuracy over training samples, beside a published curve."""
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axes = figure.subplots()
    rows = report["training"]
    for k, (key, label) in enumerate(_TRAINING.items()):
        points = [(row["samples"], row[key]) for row in rows if key in row]
        if points:
            form = "o:" if key.startswith("real") else ".-"
            at, percent = zip(*points, strict=True)
            axes.plot(at, percent, form, color=COLOURS[k], label=label, markersize=4)
    label = "published: transformer, 2.7 M, reflections only"
    axes.plot(*zip(*PUBLISHED, strict=True), "s--", color="0.35", label=label)
    label = "published: where ResNet-18 stops, reflections only"
    axes.axhline(PUBLISHED_CEILING, color="0.6", linestyle=":", label=label)
    axes.set_xscale("log")
    style(
        axes,
        "Growth with samples (tasks differ: heights do not compare)",
        xlabel="training samples",
        ylabel="first class right (percent)",
    )
    axes.set_ylim(0, 100)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure
