"""``saturated``: pixels that reached the end of their scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d

from ringwatch.agent.nouns import Cake, Flag, Severity
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.pixel_kernels import plateau_cells
from ringwatch.agent.quality.pixels import count_wrapped
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.reduction import saturation_of

__all__ = ["judge_saturated"]


_DENSE = 20.0  # counts; below, the largest value of a sound frame is shared by chance


def judge_saturated(facts: FrameFacts, settings: QualitySettings) -> Finding:
    """Raise where pixels are clipped; bad where that costs counts that matter.

    Three ways to know: values at or above the known saturation; pixels marked by the
    largest unsigned value amid pixels that are nearly as bright (a gap or a dead pixel
    sits amid dim ones); and, where the scale is unknown, a plateau - many cells whose
    largest value is exactly that of the frame.
    """
    cake = facts.cake
    if count_wrapped(cake, facts.dtype):
        return not_evaluated(
            Flag.SATURATED, "the frame is wrapped around: its top values mean nothing"
        )
    level = saturation_of(facts.dtype, settings.saturation)
    clipped = _clipped(cake, facts.dtype, level)
    if not clipped:
        clipped, level = _plateau(cake)
    if not clipped:
        return clear(Flag.SATURATED, 0.0)
    # Each clipped pixel lost as much as it shows, or more: nobody can know.
    share = clipped * level / max(float(cake.total.sum()) + clipped * level, 1.0)
    bad = share > settings.saturated_tolerance
    return raised(
        Flag.SATURATED,
        float(clipped),
        f"{clipped} pixels are saturated at {level:.0f} counts and hold {share:.2%} of "
        "the frame's counts" + (": ring intensities are wrong" if bad else ""),
        severity=Severity.BAD if bad else Severity.SUSPECT,
        further={"saturated_share": share},
    )


def _clipped(cake: Cake, dtype: np.dtype[Any], level: float) -> int:
    """Pixels at or above a known saturation, markers apart."""
    count = int(cake.saturated.sum())
    if not count or not math.isfinite(level):
        return 0
    if dtype.kind != "u" or dtype.itemsize == 1:
        return count
    marked = cake.marked
    sure = max(count - marked, 0)
    if not marked:
        return sure
    # A clipped ring has pixels just below the end of the scale beside the clipped
    # ones, and is bright as a whole; a hot pixel or a gap across a ring is not both.
    rest = (cake.total - cake.maximum) / np.maximum(cake.pixels - 1, 1)
    top = np.where(rest > 0.3 * level, cake.maximum, 0.0)
    bright = maximum_filter1d(top, 7, axis=0) > 0.9 * level
    amid = int(cake.saturated[bright].sum())
    return max(sure, amid)


def _plateau(cake: Cake) -> tuple[int, float]:
    """Cells that share the frame's largest value exactly, and that value.

    Counts near the top of a sound frame lie a Poisson standard deviation apart, so a
    value shared by more cells than a few times the density just below it was clipped.
    """
    top = float(cake.maximum.max(initial=0.0))
    if top < _DENSE:
        return 0, 0.0
    at, below = plateau_cells(cake.pixels, cake.maximum, top)
    width = math.sqrt(top)
    by_chance = 3.0 + 5.0 * below / (3 * width)
    return (at, top) if at > by_chance else (0, 0.0)
