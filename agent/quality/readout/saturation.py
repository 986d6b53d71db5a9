"""``saturated``: pixels that reached the end of their scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d

from ringwatch.agent.nouns import Cake, Flag, Severity
from ringwatch.agent.pixel_values import saturation_of
from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.readout.pixel_kernels import cells_below
from ringwatch.agent.quality.readout.pixels import count_wrapped
from ringwatch.agent.quality.readout.totals import Totals
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_saturated"]


_DENSE = 20.0  # counts; below, the largest value of a sound frame is shared by chance
_AMID = 0.05  # of the plateau, that the other pixels of its cells hold
_BY_CHANCE = 3.0  # cells that share it all the same


def judge_saturated(facts: FrameFacts, settings: QualitySettings) -> Finding:
    """Raise where pixels are clipped; bad where that costs counts that matter.

    Three ways to know: values at or above the known saturation; pixels marked by the
    largest unsigned value amid pixels that are nearly as bright (a gap or a dead pixel
    sits amid dim ones); and, where nobody told the scale, a plateau - many cells whose
    largest value is exactly that of the frame, and which are bright as a whole.
    """
    cake = facts.cake
    if count_wrapped(facts):
        return not_evaluated(
            Flag.SATURATED, "the frame is wrapped around: its top values mean nothing"
        )
    totals = facts.totals
    level = saturation_of(facts.dtype, settings.saturation)
    clipped = _clipped(cake, totals, facts.dtype, level)
    if not clipped and settings.saturation is None:
        clipped, level = _plateau(cake, totals)
    if not clipped:
        return clear(Flag.SATURATED, 0.0)
    share = _least_share(cake, totals, clipped, level)
    bad = share > settings.saturated_tolerance
    are, hold = ("pixel is", "holds") if clipped == 1 else ("pixels are", "hold")
    return raised(
        Flag.SATURATED,
        float(clipped),
        f"{clipped} {are} saturated at {level:.0f} counts and {hold} at least "
        f"{share:.2%} of the frame's counts"
        + (": ring intensities are wrong" if bad else "")
        + "; shorten the exposure or attenuate the beam",
        severity=Severity.BAD if bad else Severity.SUSPECT,
        further={"saturated_share": share},
    )


def _least_share(cake: Cake, totals: Totals, clipped: int, level: float) -> float:
    """Share of the counts in clipped pixels: at least, as nobody knows what they lost.

    Each holds the level; the brightest of each cell is known, and may be far above it.
    Those that the detector marked are not among the counts of the frame.
    """
    held = clipped * level + float(np.maximum(cake.maximum - level, 0.0).sum())
    apart = held if cake.marked else 0.0
    return held / max(totals.counts + apart, held, 1.0)


def _clipped(cake: Cake, totals: Totals, dtype: np.dtype[Any], level: float) -> int:
    """Pixels at or above a known saturation, markers apart."""
    count = totals.saturated
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


def _plateau(cake: Cake, totals: Totals) -> tuple[int, float]:
    """Cells that share the frame's largest value exactly, and that value.

    Counts near the top of a sound frame lie a Poisson standard deviation apart, so a
    value shared by more cells than a few times the density just below it was clipped.
    """
    top, at = totals.top, totals.at_top
    if top < _DENSE or at <= _BY_CHANCE:
        return 0, 0.0
    below = cells_below(cake.maximum, top)
    by_chance = _BY_CHANCE + 5.0 * below / (3 * math.sqrt(top))
    if at <= by_chance:
        return 0, 0.0
    # Stuck pixels share a value too, but stand in the dark.
    clipped = cake.maximum == top
    rest = (cake.total - cake.maximum) / np.maximum(cake.pixels - 1, 1)
    amid = float((rest[clipped] > _AMID * top).mean())
    return (at, top) if amid > 0.5 else (0, 0.0)
