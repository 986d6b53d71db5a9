"""Compiled passes over the cells of a cake: from sums per cell to radial profiles."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.profile_kernels import nth_smallest

__all__ = [
    "LIT",
    "NET",
    "RAW",
    "WHOLE",
    "blur_sectors",
    "count_lit",
    "move_sectors",
    "sum_cells",
    "sum_sectors",
]

Floats = NDArray[np.float64]

WHOLE, NET, RAW, LIT = range(4)
"""Rows of sums over the azimuth: weight, dark-subtracted and raw counts, sectors."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_cells(
    total: Floats,
    total_sq: Floats,
    dark: Floats,
    pixels: NDArray[np.int64],
    weight: Floats,
    dark_share: float,
    sector: Floats,
    norm: Floats,
    sums: Floats,
) -> tuple[float, float, float]:
    """Fill ``sector``, ``norm`` (n_q, 32) and ``sums`` (4, n_q); counts and dispersion.

    Gives the frame's raw counts, its dark counts, and the variance over the mean of the
    pixels between the rings: the lower quartile over the bins of the variance within
    cells over their mean. Where rings are dense, their slopes and grains don't count.
    """
    bins, sectors = total.shape
    ratio = np.empty(bins)
    known = 0
    all_counts = all_dark = 0.0
    for i in range(bins):
        whole = net = dark_sum = seen = within = 0.0
        count = free = lit = 0
        for s in range(sectors):
            t, d, n, w = total[i, s], dark[i, s], pixels[i, s], weight[i, s]
            if n > 0 and w > 0.0:
                value = t - d
                sector[i, s] = value / w
                norm[i, s] = w
                whole += w
                net += value
                lit += 1
            else:
                sector[i, s] = 0.0
                norm[i, s] = 0.0
            within += total_sq[i, s] - t * t / max(n, 1)
            free += max(n - 1, 0)
            seen += t
            dark_sum += d
            count += n
        sums[WHOLE, i], sums[NET, i], sums[LIT, i] = whole, net, lit
        sums[RAW, i] = seen + dark_share * dark_sum
        all_counts += seen
        all_dark += dark_sum
        if free > sectors and seen > 20.0:
            ratio[known] = within / free / (seen / count)
            known += 1
    if known < 10:
        return all_counts, all_dark, 1.0
    place = 0.25 * (known - 1)
    low = int(place)
    first = nth_smallest(ratio, known, low)
    second = ratio[low + 1]  # what is left of it above is no smaller
    for i in range(low + 2, known):
        second = min(second, ratio[i])
    fano = first + (place - low) * (second - first)
    return all_counts, all_dark, max(fano, 0.25)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_sectors(
    net: Floats, raw: Floats, weight: Floats, sector: Floats, norm: Floats, sums: Floats
) -> None:
    """Like ``sum_cells`` from net and raw counts of each cell, all (n_q, 32)."""
    bins, sectors = net.shape
    for i in range(bins):
        whole = net_sum = raw_sum = 0.0
        lit = 0
        for s in range(sectors):
            w = weight[i, s]
            net_sum += net[i, s]
            raw_sum += raw[i, s]
            sector[i, s] = net[i, s] / w if w > 0.0 else 0.0
            norm[i, s] = w if w > 0.0 else 0.0
            if w > 0.0:
                whole += w
                lit += 1
        sums[WHOLE, i], sums[NET, i] = whole, net_sum
        sums[RAW, i], sums[LIT, i] = raw_sum, lit


@numba.njit(nogil=True, cache=True, error_model="numpy")
def move_sectors(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    radius: Floats,
    shift: Floats,
    sums_of: Floats,
) -> None:
    """Read sectors along a moved radius: net, raw, weight into ``sums_of`` (3, n, 32).

    ``shift`` (3, 32) holds for each sector the offset along and across its direction,
    and the tilt along it in 1/px: ``r -> sqrt(r^2 - across^2) + along + tilt
    r^2``. Between bins cubic (Lagrange: straight lines blur a ring, unevenly), straight
    next to gaps and for the raw counts; 0 where the frame does not reach.
    """
    bins, sectors = sector.shape
    for s in range(sectors):
        along, across, tilt = shift[0, s], shift[1, s], shift[2, s]
        low = 0
        for i in range(bins):
            r = radius[i]
            wanted = np.sqrt(max(r * r - across * across, 0.0)) + along + tilt * r * r
            if wanted < radius[0] or wanted > radius[bins - 1]:
                sums_of[:, i, s] = 0.0
                continue
            while low > 0 and radius[low] > wanted:
                low -= 1
            while low < bins - 2 and radius[low + 1] < wanted:
                low += 1
            p = (wanted - radius[low]) / (radius[low + 1] - radius[low])
            n0, n1 = norm[low, s], norm[low + 1, s]
            net0, net1 = sector[low, s] * n0, sector[low + 1, s] * n1
            raw0, raw1 = variance[low] * n0, variance[low + 1] * n1
            sums_of[0, i, s] = net0 + p * (net1 - net0)
            sums_of[1, i, s] = raw0 + p * (raw1 - raw0)
            sums_of[2, i, s] = n0 + p * (n1 - n0)
            if low < 1 or low > bins - 3 or n0 * n1 <= 0.0:
                continue
            before, after = norm[low - 1, s], norm[low + 2, s]
            if before * after <= 0.0:
                continue
            bend = p * (p - 1.0) / 6.0
            left, right = bend * (p - 2.0), bend * (p + 1.0)
            net_left = sector[low - 1, s] * before - 2.0 * net0 + net1
            net_right = sector[low + 2, s] * after - 2.0 * net1 + net0
            sums_of[0, i, s] += right * net_right - left * net_left
            sums_of[2, i, s] += right * (after - 2.0 * n1 + n0) - left * (
                before - 2.0 * n0 + n1
            )


@numba.njit(nogil=True, cache=True)
def blur_sectors(
    sector: Floats, norm: Floats, variance: Floats, sums_of: Floats
) -> None:
    """Blur sectors along the radius by 1:2:1: net, raw, weight into ``sums_of``."""
    bins, sectors = sector.shape
    for i in range(bins):
        below, above = max(i - 1, 0), min(i + 1, bins - 1)
        for s in range(sectors):
            a, b, c = 0.25 * norm[below, s], 0.5 * norm[i, s], 0.25 * norm[above, s]
            sums_of[0, i, s] = (
                a * sector[below, s] + b * sector[i, s] + c * sector[above, s]
            )
            sums_of[1, i, s] = (
                a * variance[below] + b * variance[i] + c * variance[above]
            )
            sums_of[2, i, s] = a + b + c


@numba.njit(nogil=True, cache=True)
def count_lit(norm: Floats) -> int:
    """Sectors of (n_q, 32) weights that hold any pixel."""
    lit = 0
    for s in range(norm.shape[1]):
        for i in range(norm.shape[0]):
            if norm[i, s] > 0.0:
                lit += 1
                break
    return lit
