"""Compiled search for ranges of sectors with too little or too much light."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.azimuth.radial_bands import (
    FEW,
    level_bands,
    median_bands,
    sum_against,
    sum_alone,
)
from ringwatch.agent.quality.azimuth.sector_steps import (
    MOST_WIDE,
    find_step,
    lay_out,
    measure_step,
    weigh,
)

__all__ = [
    "ALL_AROUND",
    "BANDS",
    "STARTS",
    "WIDEST_STREAK",
    "find_shades",
    "find_streaks",
]

Floats = NDArray[np.float64]

BANDS = 16
"""Radial bands from the beamstop to the edge of the detector."""

STARTS = (0, BANDS // 4, BANDS // 2, 3 * BANDS // 4)
"""Bands from which on a shadow is looked for: it may cover large radii only."""

ALL_AROUND = 24
"""Sectors that must be seen to do without a reference."""

WIDEST_STREAK = 3
"""Sectors of a streak; 34 degrees."""

_STREAK_BANDS = 6
_FLAT_FIELD = 0.003  # relative scatter of a sector that counting does not explain
_COARSE_FLAT_FIELD = 0.01  # at least, where too few sectors are seen to show it
_HINT = 3.0  # sigma; less than that isn't worth a closer look


@numba.njit(nogil=True, cache=True, error_model="numpy")
def find_shades(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    mean: Floats,
    expected: Floats,
    expected_norm: Floats,
    in_ring: NDArray[np.bool_],
    first: int,
) -> Floats:
    """Deepest shadows, (3, 7), of the light between the rings and of all light.

    Against what is expected, against facing sectors, and against what is expected with
    the rings' light. Arguments as for ``sum_against`` and ``sum_alone``. Rows as
    ``_deepest_shade`` gives them, and then how many sectors are covered; the last two
    need ``ALL_AROUND``.
    """
    sums = np.empty((4, BANDS, SECTORS))
    ratio, spread = np.empty((BANDS, SECTORS)), np.empty((BANDS, SECTORS))
    out = np.zeros((3, 7))
    for row in range(3):
        facing = row == 1
        if not facing and expected.size == 0:
            continue
        if facing:
            sum_alone(sector, norm, variance, mean, in_ring, first, mean.size, sums)
        else:
            sum_against(
                sector,
                norm,
                variance,
                expected,
                expected_norm,
                in_ring if row < 2 else np.zeros_like(in_ring),
                first,
                mean.size,
                sums,
            )
        covered = level_bands(sums, ratio, spread, 1)
        # Rings of a moved detector, seen in part, look shaded where they were.
        if row > 0 and covered < ALL_AROUND:
            continue
        # Texture of the background, an off-centre beam, polarization: all smooth.
        order = 1 if covered >= FEW else 0
        if covered >= ALL_AROUND:
            order = 3 if facing else 2
        floor = _COARSE_FLAT_FIELD if covered < FEW else _FLAT_FIELD
        out[row, :6] = _deepest_shade(ratio, spread, floor, order, facing)
        out[row, 6] = covered
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _deepest_shade(
    ratio: Floats, variance: Floats, floor: float, order: int, facing: bool
) -> Floats:
    """Most significant lack of light beyond any of the bands ``STARTS``.

    Gives start and width of the range of sectors, band, depth, sigma, degrees of
    freedom; freedom 0 where nothing is known. With ``facing`` what the sectors that
    face the range lack too doesn't count. ``floor`` adds to the standard deviation of a
    sector.
    """
    sectors = ratio.shape[1]
    level, spread = np.empty(sectors), np.empty(sectors)
    best = np.array([0.0, 0.0, 0.0, 0.0, math.inf, 0.0])
    for band in STARTS:
        median_bands(ratio, variance, band, level, spread)
        for s in range(sectors):
            if spread[s] > 0.0:
                spread[s] += floor * floor
        weight, y, columns = weigh(level, spread, order, 0)
        rows = lay_out(weight, y, columns)
        start, width = find_step(rows, -1.0, MOST_WIDE, False)
        # A sector at either end may be shaded in part: it is then left free as well.
        for trim in range(3 if width > 1 else 1):
            begin, wide = start + trim % 2, width - (1 if trim else 0)
            step, sigma, free, scatter = measure_step(rows, begin, wide, 0)
            if facing:
                odd = measure_step(rows, begin, wide, -1)
                if odd[0] / odd[1] > step / sigma:
                    step, sigma, free, scatter = odd
            known = best[5] > 0.0
            if free >= 3.0 and (not known or -step / sigma > best[3] / best[4]):
                best[0], best[1], best[2] = begin % sectors, wide, band
                best[3], best[4] = -step, sigma
                best[5] = _freedom(free, scatter)
            if trim == 0 and not -step > _HINT * sigma:
                break
    return best


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _freedom(free: float, scatter: float) -> float:
    """Degrees of freedom of a standard deviation of which counting statistics is part.

    After Welch and Satterthwaite: only what exceeds the known variance was estimated,
    and no better than ``free`` sectors tell an excess from none.
    """
    unsure = scatter - 1.0 + math.sqrt(2.0 / free)
    return free * max(scatter / unsure, 1.0) ** 2


@numba.njit(nogil=True, cache=True, error_model="numpy")
def find_streaks(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    mean: Floats,
    expected: Floats,
    expected_norm: Floats,
    in_ring: NDArray[np.bool_],
    first: int,
    last: int,
) -> Floats:
    """Ranges of few sectors that hold most light too many, (n, 6).

    Arguments as for ``sum_against`` and ``sum_alone``. With something expected two
    rows: the best range, and the best one of those to which the facing sectors belong;
    without it one, which stands out against the facing sectors. Start and width of the
    range, step, sigma, degrees of freedom, and the counts in it.
    """
    shape = (_STREAK_BANDS, SECTORS)
    sums = np.empty((4, *shape))
    compared = expected.size > 0
    if compared:
        sum_against(
            sector,
            norm,
            variance,
            expected,
            expected_norm,
            in_ring,
            first,
            last,
            sums,
        )
    else:
        sum_alone(sector, norm, variance, mean, in_ring, first, last, sums)
    ratio, spread_of = np.empty(shape), np.empty(shape)
    level_bands(sums, ratio, spread_of, 1)
    level, spread = np.empty(SECTORS), np.empty(SECTORS)
    median_bands(ratio, spread_of, 0, level, spread)
    for s in range(SECTORS):
        spread[s] += _FLAT_FIELD * _FLAT_FIELD if spread[s] > 0.0 else 0.0
    weight, y, columns = weigh(level, spread, 2, 0)
    rows = lay_out(weight, y, columns)
    out = np.zeros((2 if compared else 1, 6))
    for row in range(out.shape[0]):
        facing = row if compared else -1
        start, width = find_step(rows, 1.0, WIDEST_STREAK, facing == 1)
        if width == 0:
            continue
        step, sigma, free, _ = measure_step(rows, start, width, facing)
        held = 0.0
        for k in range(_STREAK_BANDS):
            for wide in range(width):
                s = (start + wide) % SECTORS
                held += sums[0, k, s]
                if facing == 1:
                    held += sums[0, k, (s + SECTORS // 2) % SECTORS]
        out[row, 0], out[row, 1], out[row, 2] = start, width, step
        out[row, 3], out[row, 4], out[row, 5] = sigma, free, held
    return out
