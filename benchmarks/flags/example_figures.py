"""Pictures of the flags' examples: the frame, and what gives the fault away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ringwatch.agent.cakes import Cake
from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.examples import EXAMPLES, Shown
from ringwatch.benchmarks.flags.figures import save_figure

__all__ = ["draw_example"]

_SERIES = frozenset({Flag.SEQUENCE, Flag.BEAM_DROP, Flag.I0_SUSPECT})
"""Flags that no picture of a frame gives away: their numbers do, frame by frame."""


def draw_example(flag: Flag, shown: Shown, path: Path) -> Path:
    """The frame, and beside it what gives the fault away, as PNG.

    That is its cake against the run's first frame, or against itself; or the numbers of
    the frames so far.
    """
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    image, beside = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
    _draw_frame(image, shown.frame)
    if flag in _SERIES:
        _draw_series(beside, flag, shown)
    else:
        _draw_cake(figure, beside, shown, static=EXAMPLES[flag].from_start)
    save_figure(figure, path, dots=75)
    return path


def _draw_frame(axes: Axes, frame: NDArray[Any]) -> None:
    pixels = frame.astype(np.float64)
    pixels[~np.isfinite(pixels)] = np.nan
    top = float(np.nanquantile(pixels, 0.999)) or 1.0
    step = max(1, pixels.shape[0] // 512)
    height, width = (n // step * step for n in pixels.shape)
    blocks = pixels[:height, :width].reshape(height // step, step, width // step, step)
    axes.imshow(
        np.sqrt(np.clip(np.nanmean(blocks, axis=(1, 3)), 0.0, top)), cmap="magma"
    )
    axes.set_axis_off()
    axes.set_title("the frame (square root of counts)", fontsize=9)


def _draw_series(axes: Axes, flag: Flag, shown: Shown) -> None:
    index = np.arange(shown.light.size)
    if flag is Flag.SEQUENCE:
        axes.plot(index, index, color="#9a9a9a", label="none missing")
        axes.plot(index, shown.numbers, "o", color="#1f6f8b", label="the detector's")
        axes.set_ylabel("frame number")
    else:
        for values, style, name in (
            (shown.light, "o-", "light of the frame"),
            (shown.i0, "s--", "I0"),
        ):
            axes.plot(index, values / values[0], style, label=name)
        axes.set_ylabel("over that of the first frame")
    axes.set_xticks(index)
    axes.set_xlabel("frame")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _draw_cake(figure: Figure, axes: Axes, shown: Shown, *, static: bool) -> None:
    away = _unevenness(shown.cake) if static else _difference(shown.cake, shown.before)
    drawn = axes.imshow(
        away.T, cmap="RdBu_r", vmin=-6, vmax=6, aspect="auto", extent=(0, 1, 180, -180)
    )
    axes.set_xlabel("radius (share of the largest)")
    axes.set_ylabel("azimuth (degrees)")
    than = "the mean of its ring" if static else "the run's first frame"
    axes.set_title(f"against {than}", fontsize=9)
    figure.colorbar(drawn, ax=axes, label="standard deviations")


def _difference(now: Cake, then: Cake) -> NDArray[np.float64]:
    """Per cell, in standard deviations of counting; (n_q / 4, 32)."""
    n = now.total.shape[0] // 4 * 4

    def summed(values: NDArray[Any]) -> NDArray[np.float64]:
        return values[:n].reshape(-1, 4, values.shape[1]).sum(axis=1).astype(float)

    a, b = summed(now.total - now.dark), summed(then.total - then.dark)
    sigma = np.sqrt(np.maximum(summed(now.total) + summed(then.total), 1.0))
    lit = summed(now.pixels) > 0
    return np.where(lit, (a - b) / sigma, np.nan)


def _unevenness(now: Cake) -> NDArray[np.float64]:
    """Per cell, against the mean over its ring, in standard deviations; (n_q, 32)."""
    net = now.total - now.dark
    whole = np.maximum(now.norm.sum(axis=1, keepdims=True), 1e-9)
    expected = net.sum(axis=1, keepdims=True) / whole * now.norm
    raw = now.total.sum(axis=1, keepdims=True) / whole * now.norm
    away = (net - expected) / np.sqrt(np.maximum(raw, 1.0))
    return np.where(now.pixels > 0, away, np.nan)
