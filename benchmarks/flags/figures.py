"""Figures of the flags' benchmark, drawn from its report alone."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import chi2

from ringwatch.agent.quality import QualitySettings
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.tally import FRAME_RATE_HZ

__all__ = [
    "curve_name",
    "draw_alarms",
    "draw_causes",
    "draw_curve",
    "draw_report",
    "save_figure",
]

Row = Mapping[str, Any]

_COLOURS = {1e4: "#c2571a", 1e6: "#1f6f8b", 1e8: "#4b3f72"}
_GREY = "#555555"
_BASELINES = {"total counts": ("D", "#c2571a"), "I0 suspender": ("s", "#4b3f72")}
_FRAMES_AN_HOUR = 3600.0 * FRAME_RATE_HZ
_ACCEPTED = QualitySettings().false_alarms_per_hour


def curve_name(case: str) -> str:
    """Name of the figure of a case."""
    return "recall-" + "-".join("".join(c for c in case if c not in ",.").split())


def draw_report(found: Row, out: Path) -> list[Path]:
    """Draw all that a report of the benchmark holds, as PNG files in a folder."""
    drawn = []
    for case in CASES:
        rows = [r for r in found["recall"] if r["case"] == case]
        curve = [r for r in rows if r["group"] == "curve"]
        if curve:
            drawn.append(draw_curve(case, curve, out / f"{curve_name(case)}.png"))
    targets = [r for r in found["recall"] if r["group"] == "target"]
    if targets:
        drawn.append(draw_causes(targets, out / "root-causes.png"))
    if found["false_alarms"]["frames"]:
        drawn.append(draw_alarms(found["false_alarms"], out / "false-alarms.png"))
    return drawn


def save_figure(figure: Figure, path: Path, *, dots: int) -> None:
    """Write a figure as a PNG of 256 of its own colours: half the size, as clear."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dots)
    with Image.open(drawn) as image:
        plain = image.convert("RGB")
        kept = plain.quantize(256, kmeans=4, dither=Image.Dither.NONE)
        kept.save(path, optimize=True)


def draw_curve(case: str, rows: Sequence[Row], path: Path) -> Path:
    """Recall against amplitude, one line per level of counts, with Wilson intervals.

    Parameters
    ----------
    case : str
        Key of ``CASES``.
    rows : sequence of mapping
        Of ``measure_recall``.
    path : Path
        PNG.
    """
    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for counts, colour in _COLOURS.items():
        line = sorted(
            (r for r in rows if r["counts"] == counts), key=lambda r: r["amplitude"]
        )
        if not line:
            continue
        x = np.array([r["amplitude"] for r in line], np.float64)
        y = np.array([r["recall"] for r in line])
        low, high = np.array([r["recall_95"] for r in line]).T
        ends = np.clip([y - low, high - y], 0.0, 1.0)
        axes.errorbar(
            x,
            y,
            yerr=ends,
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.4,
            label=f"$10^{{{int(np.log10(counts))}}}$ counts a frame",
        )
    _finish(axes, case)
    save_figure(figure, path, dots=110)
    return path


def _finish(axes: Axes, case: str) -> None:
    about = CASES[case]
    amplitudes = np.array(about.amplitudes, np.float64)
    if (amplitudes > 0).all() and amplitudes.max() > 4 * amplitudes.min():
        axes.set_xscale("log")
    if about.target is not None:
        axes.axvline(about.target, color=_GREY, linewidth=0.8, linestyle=":")
    axes.axhline(0.95, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(f"{case} ({about.unit})")
    within = f" within {about.patience} frames" if about.patience > 1 else ""
    axes.set_ylabel(f"share of trials with {about.flag}{within}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def draw_alarms(summary: Row, path: Path) -> Path:
    """False alarms per hour of all frames, by story, and those of the baselines.

    A bar reaches to the upper limit at 95 %, a dot is the rate where there were any.
    The baselines' rates stand beside: what people would hear without flags.
    """
    stories = summary["by"]["story"]
    rows = {"all": _together(summary, stories)} | dict(stories)
    hours = np.array([row["frames"] / _FRAMES_AN_HOUR for row in rows.values()])
    alarms = np.array([row["alarms"] for row in rows.values()], np.float64)
    limit = chi2.ppf(0.95, 2 * (alarms + 1)) / 2 / hours
    figure = Figure(figsize=(6.8, 3.8), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(rows))
    axes.barh(place, limit, color="#cfe0e6", height=0.55, label="flags: at most (95 %)")
    seen = alarms > 0
    if seen.any():
        rate = (alarms / hours)[seen]
        axes.plot(rate, place[seen], "o", color="#1f6f8b", label="flags")
    for name, (mark, colour) in _BASELINES.items():
        told = [row["baselines"].get(name, 0) for row in rows.values()]
        rate = np.array(told, np.float64) / hours
        if rate.any():
            axes.plot(rate[rate > 0], place[rate > 0], mark, color=colour, label=name)
    axes.axvline(_ACCEPTED, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(left=min(5e-3, limit.min() / 2))  # one in 100 hours is seen
    axes.set_yticks(
        place, [f"{n} ({h:.1f} h)" for n, h in zip(rows, hours, strict=True)]
    )
    axes.invert_yaxis()
    axes.set_xlabel("false alarms an hour at 10 Hz; dotted: what the user accepts")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    save_figure(figure, path, dots=110)
    return path


def _together(summary: Row, stories: Row) -> Row:
    """The row of all frames."""
    complaints = sum((Counter(row["baselines"]) for row in stories.values()), Counter())
    return {key: summary[key] for key in ("frames", "alarms")} | {
        "baselines": complaints
    }


def draw_causes(rows: Sequence[Row], path: Path) -> Path:
    """Which root cause was named for which fault, in per cent of the trials."""
    cases = [r["case"] for r in rows]
    causes = sorted({c for r in rows for c in r["causes"]})
    share = np.zeros((len(rows), len(causes)))
    for i, row in enumerate(rows):
        for cause, count in row["causes"].items():
            share[i, causes.index(cause)] = 100.0 * count / row["trials"]
    figure = Figure(figsize=(1.6 + 0.42 * len(causes), 1.4 + 0.3 * len(rows)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=130, aspect="auto")
    for i, j in zip(*np.nonzero(share >= 0.5), strict=True):
        colour = "white" if share[i, j] > 70 else "black"
        axes.text(
            j,
            i,
            f"{share[i, j]:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color=colour,
        )
    axes.set_yticks(range(len(cases)), cases, fontsize=8)
    axes.set_xticks(range(len(causes)), causes, rotation=55, ha="right", fontsize=8)
    axes.set_xlabel("root cause named, % of trials")
    save_figure(figure, path, dots=110)
    return path
