"""``invalid_values`` and ``misread``: pixels that no detector would have written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ringwatch.agent.nouns import Cake, Flag
from ringwatch.agent.quality.facts import FrameFacts, Reference
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.readout.mirror import beam_pixel, mirror_of
from ringwatch.agent.quality.readout.pixel_kernels import (
    BLANK,
    constant_pixels,
    dim_pixels,
    empty_pixels,
    lit_ratio,
)
from ringwatch.agent.quality.readout.totals import Totals
from ringwatch.agent.quality.readout.where_lost import where_lost
from ringwatch.agent.quality.settings import QualitySettings

__all__ = [
    "beam_pixel",
    "count_wrapped",
    "judge_invalid_values",
    "judge_misread",
    "mirror_of",
]

_EXPECTED = 50.0  # counts; where so many are expected, none is no chance
_STRETCH = 31  # bins

_NOWHERE = np.empty((0, 0))


def judge_invalid_values(facts: FrameFacts) -> Finding:
    """Raise on what is no number of counts, negative counts and unsigned wrap-around.

    No number of counts are NaN, infinities and values beyond 1e18 (see ``Cake``).

    The markers of a detector's own invalid pixels (-1, -2, the largest unsigned value)
    are no invalid values. Floating point frames may be negative: their dark was
    subtracted before.
    """
    cake, integer = facts.cake, facts.dtype.kind in "ui"
    negative = cake.negative if integer else 0
    wrapped = count_wrapped(facts)
    invalid = cake.non_finite + negative + wrapped
    if not invalid:
        return clear(Flag.INVALID_VALUES, 0.0)
    parts = [
        f"{count} {what}"
        for count, what in (
            (
                cake.non_finite,
                "that are no number of counts (NaN, infinite or beyond 1e18)",
            ),
            (negative, "negative counts"),
            (wrapped, "wrapped around below zero (a dark larger than the frame?)"),
        )
        if count
    ]
    return raised(
        Flag.INVALID_VALUES,
        float(invalid),
        f"{invalid} pixels hold invalid values: {', '.join(parts)}",
    )


def judge_misread(
    facts: FrameFacts,
    reference: Reference | None,
    settings: QualitySettings,
    *,
    has_geometry: bool,
) -> Finding:
    """Raise where pixels are empty or constant although counts are expected there.

    Expected is what the rest of the same ring shows, or what the run's reference shows
    in the same cell. Without either only a frame that is the same everywhere is known
    to be misread. Not evaluated where so few counts are expected that half of the frame
    could be missing unseen.
    """
    cake, totals = facts.cake, facts.totals
    every = totals.pixels
    if not every:
        return raised(Flag.MISREAD, 1.0, "no pixel of the frame holds a usable value")
    flat = _constant_pixels(cake, totals)
    if not has_geometry:
        if flat >= every:
            return raised(Flag.MISREAD, 1.0, "all pixels hold the same value")
        return not_evaluated(
            Flag.MISREAD, "no geometry that says where counts are expected"
        )
    empty = _empty_pixels(cake, totals, reference)
    lost = 0.0 if reference is None else max(cake.marked - reference.marked, 0.0)
    share = (flat + empty + lost) / (every + lost)
    if share <= settings.misread_tolerance:
        needed = _counts_needed(cake, totals, reference, settings)
        if needed:
            return not_evaluated(
                Flag.MISREAD,
                f"{totals.counts:.0f} counts are too few to tell an empty part of the "
                f"frame from chance: about {needed:.2g} are needed",
            )
        return clear(Flag.MISREAD, share)
    worst = max((empty, "exactly 0"), (flat, "constant"), (lost, "marked invalid"))
    what = worst[1] + where_lost(cake, reference)
    since = "in the run's reference" if reference else "elsewhere on their rings"
    return raised(
        Flag.MISREAD,
        share,
        f"{share:.1%} of the pixels are {what} though counts are seen {since}: "
        "half-read frame, lost module, or a dead area that the mask leaves out",
    )


def count_wrapped(facts: FrameFacts) -> int:
    """Pixels just below the overflow whose neighbours are dim, scattered wide."""
    cake, dtype = facts.cake, facts.dtype
    if dtype.kind != "u" or dtype.itemsize < 2:
        return 0
    full = 256.0**dtype.itemsize
    if not facts.totals.top > full / 2:
        return 0
    high = cake.maximum > full / 2
    count = np.rint(cake.total / full)
    # In a cell of dim and wrapped pixels only, the squares say the same as the sums;
    # a bright ring has every value between.
    left = np.abs(cake.total - count * full)
    alike = high & (count > 0) & (left < 0.05 * full * count)
    alike &= np.abs(cake.total_sq - count * full**2) < 0.1 * full**2 * count
    if high.sum() < 20 or alike.sum() < 0.8 * high.sum():
        return 0
    return int(count[alike].sum())


def _constant_pixels(cake: Cake, totals: Totals) -> float:
    """Pixels in cells that do not scatter at all though they hold many counts."""
    if not totals.flat_cells:
        return 0.0
    cells = cake.pixels, cake.total, cake.maximum, cake.saturated
    return float(constant_pixels(*cells, totals.top))


def _empty_pixels(cake: Cake, totals: Totals, reference: Reference | None) -> float:
    """Pixels in stretches of 31 bins of a sector that are all 0 against expectation.

    Stretches, because a single cell may well miss the few grains of its ring.
    """
    if not totals.empty_cells:
        return 0.0
    none = 1e-9 * _STRETCH * totals.brightest
    half = _STRETCH // 2
    cells = cake.pixels, cake.total
    dim = dim_pixels(*cells, half, none)
    if not dim.any():
        return 0.0
    own = _ring_level(cake) if reference is None else _ring_mean(cake)
    if reference is None:
        level, empty, bright = own[:, None], _NOWHERE, 1.0
    else:
        level, empty = reference.counts, reference.empty
        bright = lit_ratio(*cells, level)
    # A few pixels beside the mask are dark by chance: not where they could hold much.
    most = float(level.max()) * bright
    if not most > 0.0:
        return 0.0
    sectors = np.flatnonzero(dim > 0.99 * _EXPECTED / most)
    if not sectors.size:
        return 0.0
    lost = empty_pixels(
        *cells, level, empty, bright, half, _EXPECTED, none, sectors, own
    )
    return float(lost)


def _counts_needed(
    cake: Cake, totals: Totals, reference: Reference | None, settings: QualitySettings
) -> float:
    """Counts of a frame of which half could be seen to be missing; 0 where it has them.

    Half of the pixels of all stretches that hold ``_EXPECTED`` counts must be more than
    what may be missing.
    """
    bins, most = cake.pixels.shape
    if totals.counts >= _EXPECTED * most * bins / _STRETCH:
        return 0.0
    sectors = int(cake.pixels.any(axis=0).sum())
    ample = _EXPECTED * sectors * bins / _STRETCH
    if totals.counts >= ample:
        return 0.0
    if reference is None:
        due = _ring_level(cake)[:, None] * cake.pixels
    else:
        bright = lit_ratio(cake.pixels, cake.total, reference.counts)
        # As in ``empty_pixels``: nothing is expected where nearly all pixels are 0.
        due = np.where(reference.empty < BLANK, reference.counts * bright, 0.0)
        due *= cake.pixels
    due = uniform_filter1d(due, _STRETCH, axis=0, mode="nearest").ravel() * _STRETCH
    order = np.argsort(-due)
    judged = np.cumsum(cake.pixels.ravel()[order])
    last = np.searchsorted(judged, 2.0 * settings.misread_tolerance * totals.pixels)
    least = float(due[order[min(int(last), due.size - 1)]])
    if least > _EXPECTED:
        return 0.0
    return min(totals.counts * _EXPECTED / least, ample) if least > 0.0 else ample


def _ring_mean(cake: Cake) -> NDArray[np.float64]:
    """Counts per pixel of each ring, (n_q,)."""
    mean = cake.total.sum(axis=1) / np.maximum(cake.pixels.sum(axis=1), 1)
    return np.asarray(mean, np.float64)


def _ring_level(cake: Cake) -> NDArray[np.float64]:
    """Counts per pixel that a sound sector of each ring holds, (n_q,).

    The upper quartile over the sectors: right though two thirds of the frame are lost.
    """
    level = np.where(cake.pixels > 0, cake.total / np.maximum(cake.pixels, 1), -np.inf)
    level = np.sort(level, axis=1)
    seen = (cake.pixels > 0).sum(axis=1)
    place = np.clip(level.shape[1] - 1 - seen // 4, 0, level.shape[1] - 1)
    found = np.take_along_axis(level, place[:, None], axis=1)[:, 0]
    # One sector must not accuse another of a bright spot: six at least make a ring.
    return np.where(seen >= 6, np.maximum(found, 0.0), 0.0)
