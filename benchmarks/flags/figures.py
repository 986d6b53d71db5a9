"""Figures of the flags' benchmark, drawn from its report alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.stats import chi2

from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.words import CAUSES
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.curve_figure import curve_figure
from ringwatch.benchmarks.flags.curves import curve_name
from ringwatch.benchmarks.flags.sound_tables import complaints, so_far
from ringwatch.benchmarks.flags.tally import FRAME_RATE_HZ

__all__ = [
    "curve_name",
    "draw_alarms",
    "draw_causes",
    "draw_curve",
    "draw_report",
    "save_figure",
    "shown_faults",
]

Row = Mapping[str, Any]

_GREY = "#555555"
_BASELINES = {
    "total counts": ("D", "#c2571a"),
    "I0 suspender": ("s", "#4b3f72"),
    "sigma clip": ("^", "#5a8f3c"),
}
_BY_PIXELS = ("sigma clip",)  # counted on whole frames: a cake has no single pixels
_USUAL = 1e6  # counts a frame, as in the reference scene
_ORDER = [*(flag.label for flag in CAUSES), "none"]
_FRAMES_AN_HOUR = 3600.0 * FRAME_RATE_HZ
_ACCEPTED = QualitySettings().false_alarms_per_hour


def draw_report(found: Row, out: Path) -> list[Path]:
    """Draw all that a report of the benchmark holds, as PNG files in a folder."""
    drawn = []
    for case in CASES:
        rows = [r for r in found["recall"] if r["case"] == case]
        curve = [r for r in rows if r["group"] in ("curve", "no fault")]
        if any(r["group"] == "curve" for r in curve):
            drawn.append(draw_curve(case, curve, out / f"{curve_name(case)}.png"))
    faults = shown_faults(found["recall"])
    if faults:
        drawn.append(draw_causes(faults, out / "root-causes.png"))
    if found["false_alarms"]["frames"]:
        whole = found.get("whole_frames")
        path = out / "false-alarms.png"
        drawn.append(draw_alarms(found["false_alarms"], path, whole))
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
    """Recall against amplitude at each level of counts, see ``curve_figure``.

    Parameters
    ----------
    case : str
        Key of ``CASES``.
    rows : sequence of mapping
        Of ``measure_recall``: the curve and, where there is one, no fault.
    path : Path
        PNG.
    """
    save_figure(curve_figure(case, rows), path, dots=110)
    return path


def draw_alarms(summary: Row, path: Path, whole: Row | None = None) -> Path:
    """False alarms per hour of all frames, by story, and those of the baselines.

    A bar reaches to the upper limit at 95 %, a dot is the rate where there were any.
    The baselines' rates stand beside: what people would hear without flags. Those that
    need single pixels are of the ``whole`` frames, where these are given.
    """
    rows = _rows(summary)
    by_pixels: Mapping[str, Row] = {} if whole is None else _rows(whole)
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
        counted = by_pixels if name in _BY_PIXELS else rows
        rate = np.array([_rate(counted.get(row), name) for row in rows])
        if (rate > 0).any():
            said = f"{name} (whole frames)" if name in _BY_PIXELS else name
            axes.plot(rate[rate > 0], place[rate > 0], mark, color=colour, label=said)
    axes.axvline(_ACCEPTED, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(left=min(5e-3, limit.min() / 2))  # one in 100 hours is seen
    axes.set_yticks(
        place, [f"{n} ({h:.1f} h)" for n, h in zip(rows, hours, strict=True)]
    )
    axes.invert_yaxis()
    axes.set_xlabel("false alarms an hour at 10 Hz; dotted: what the user accepts")
    axes.spines[["top", "right"]].set_visible(False)
    if waiting := so_far(summary):
        axes.set_title(waiting, fontsize=9, loc="left")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    save_figure(figure, path, dots=110)
    return path


def _rows(summary: Row) -> Mapping[str, Row]:
    """The row of all frames, and those of the stories."""
    stories = summary["by"]["story"]
    together = {key: summary[key] for key in ("frames", "alarms")}
    return {"all": together | {"baselines": complaints(summary)}, **stories}


def _rate(row: Row | None, name: str) -> float:
    """Episodes of a baseline an hour; 0 where nothing was counted."""
    if row is None or not row["frames"]:
        return 0.0
    return float(row["baselines"].get(name, 0)) * _FRAMES_AN_HOUR / float(row["frames"])


def shown_faults(recall: Sequence[Row]) -> list[Row]:
    """One row of each case for the figure of root causes, in the order of causes.

    Of what was asked to be seen that amplitude, in the reference scene; of the others
    the strongest that was tried at 1e6 counts, or at the case's own.
    """
    chosen: list[Row] = []
    for name, case in CASES.items():
        rows = [r for r in recall if r["case"] == name]
        asked = [r for r in rows if r["group"] == "target"]
        level = case.counts or _USUAL
        tried = [r for r in rows if r["group"] == "curve" and r["counts"] == level]
        nothing = case.no_fault or 0.0
        tried.sort(key=lambda r: abs(r["amplitude"] - nothing), reverse=True)
        chosen += (asked or tried)[:1]
    return sorted(chosen, key=lambda r: _ORDER.index(r["flag"]))


def draw_causes(rows: Sequence[Row], path: Path) -> Path:
    """Which root cause was named for which fault, in per cent of the trials.

    Framed is the cause that should be named; causes that never were have no column.
    """
    named = {c for r in rows for c in r["causes"]}
    causes = [c for c in _ORDER if c in named | {r["flag"] for r in rows}]
    share = np.zeros((len(rows), len(causes)))
    for i, row in enumerate(rows):
        for cause, count in row["causes"].items():
            share[i, causes.index(cause)] = 100.0 * count / row["trials"]
    figure = Figure(figsize=(2.2 + 0.3 * len(causes), 1.8 + 0.22 * len(rows)))
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
            fontsize=6,
            color=colour,
        )
    for i, row in enumerate(rows):
        corner = (causes.index(row["flag"]) - 0.5, i - 0.5)
        due = Rectangle(corner, 1, 1, fill=False, edgecolor="#c2571a", linewidth=1.0)
        axes.add_patch(due)
    axes.set_yticks(range(len(rows)), [_fault(r) for r in rows], fontsize=7)
    axes.set_xticks(range(len(causes)), causes, rotation=90, fontsize=7)
    axes.set_xlabel("root cause named, % of trials (framed: what was injected)")
    save_figure(figure, path, dots=110)
    return path


def _fault(row: Row) -> str:
    """Name and amplitude; the unit is on the flag's page."""
    several = len(CASES[row["case"]].amplitudes) > 1
    return f"{row['case']}: {row['amplitude']:g}" if several else str(row["case"])
