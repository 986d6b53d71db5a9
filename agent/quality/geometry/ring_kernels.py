"""Compiled passes over the cells of a cake: from sums per cell to radial profiles."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.profile_kernels import nth_smallest

__all__ = [
    "LIT",
    "MEAN",
    "RAW",
    "VARIANCE",
    "WHOLE",
    "blur_sectors",
    "count_lit",
    "move_sectors",
    "sum_cells",
    "sum_sectors",
]

Floats = NDArray[np.float64]

WHOLE, MEAN, VARIANCE, RAW, LIT = range(5)
"""Rows of sums over the azimuth: weight, mean, its variance, raw counts, sectors."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_cells(
    total: Floats,
    total_sq: Floats,
    dark: Floats,
    pixels: NDArray[np.int64],
    weight: Floats,
    dark_share: float,
    sector: Floats,
    sums: Floats,
) -> tuple[float, float, float, bool]:
    """Fill ``sector`` (n_q, 32) and ``sums`` (5, n_q): the profiles of a frame.

    Gives the frame's raw counts, its dark counts, the variance over the mean of the
    pixels between the rings, and whether ``weight`` is 0 in each cell without pixels.
    Where it is not, the sums are those of ``used_weight``. Loops over all cells are
    kept apart from sums over the azimuth: the compiler vectorizes one, not the other.
    """
    bins, sectors = total.shape
    _scatter_within(total, total_sq, pixels, sector)  # kept there until summed
    ratio = np.empty(bins)
    known = 0
    all_counts = all_dark = 0.0
    for i in range(bins):
        count = free = lit = 0
        for s in range(sectors):
            n = pixels[i, s]
            count += n
            free += max(n - 1, 0)
            lit += (n > 0) & (weight[i, s] > 0.0)
        whole = seen = dark_sum = within = 0.0
        for s in range(sectors):
            whole += weight[i, s]
            seen += total[i, s]
            dark_sum += dark[i, s]
            within += sector[i, s]
        sums[WHOLE, i], sums[MEAN, i], sums[LIT, i] = whole, seen - dark_sum, lit
        sums[RAW, i] = seen + dark_share * dark_sum
        all_counts += seen
        all_dark += dark_sum
        if free > sectors and seen > 20.0:
            ratio[known] = within / free / (seen / count)
            known += 1
    fano = _lower_quartile(ratio, known)
    if not _per_pixel(total, dark, pixels, weight, sector):
        _sum_used(total, dark, pixels, weight, sums)
        _finish(sums, fano)
        return all_counts, all_dark, fano, False
    _finish(sums, fano)
    return all_counts, all_dark, fano, True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _scatter_within(
    total: Floats, total_sq: Floats, pixels: NDArray[np.int64], out: Floats
) -> None:
    """Squares about the mean of each cell, summed over its pixels."""
    t, squares = total.reshape(-1), total_sq.reshape(-1)
    n, flat = pixels.reshape(-1), out.reshape(-1)
    for k in range(t.size):
        flat[k] = squares[k] - t[k] * t[k] / max(n[k], 1)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _per_pixel(
    total: Floats,
    dark: Floats,
    pixels: NDArray[np.int64],
    weight: Floats,
    out: Floats,
) -> bool:
    """Net counts over weight, 0 in cells without; whether those truly hold nothing."""
    t, d, n = total.reshape(-1), dark.reshape(-1), pixels.reshape(-1)
    w, flat = weight.reshape(-1), out.reshape(-1)
    odd = 0
    for k in range(t.size):
        lit = (n[k] > 0) & (w[k] > 0.0)
        value = (t[k] - d[k]) / (w[k] if lit else 1.0)
        flat[k] = value if lit else 0.0
        odd |= (not lit) & ((w[k] != 0.0) | (t[k] != d[k]))
    return odd == 0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sum_used(
    total: Floats,
    dark: Floats,
    pixels: NDArray[np.int64],
    weight: Floats,
    sums: Floats,
) -> None:
    """Weights and net counts of the cells that hold pixels alone."""
    for i in range(total.shape[0]):
        whole = net = 0.0
        for s in range(total.shape[1]):
            if pixels[i, s] > 0 and weight[i, s] > 0.0:
                whole += weight[i, s]
                net += total[i, s] - dark[i, s]
        sums[WHOLE, i], sums[MEAN, i] = whole, net


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _lower_quartile(ratio: Floats, known: int) -> float:
    """Lower quartile of the first ``known`` values, at least 1/4; 1 if they are few."""
    if known < 10:
        return 1.0
    place = 0.25 * (known - 1)
    low = int(place)
    first = nth_smallest(ratio, known, low)
    second = ratio[low + 1]  # what is left of it above is no smaller
    for i in range(low + 2, known):
        second = min(second, ratio[i])
    return max(first + (place - low) * (second - first), 0.25)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _finish(sums: Floats, fano: float) -> None:
    """Turn net counts into means, and raw ones into the variance of those.

    The mean over the ring, not the cell's own counts: weights that follow the counts
    would favour low fluctuations. A bin without counts is worth at most one; one
    without pixels has mean 0 and variance 1, and weight in nothing.
    """
    for i in range(sums.shape[1]):
        if sums[WHOLE, i] > 0.0:
            per_pixel = 1.0 / sums[WHOLE, i]
            sums[MEAN, i] *= per_pixel
            sums[VARIANCE, i] = max(fano * sums[RAW, i], 1.0) * per_pixel
        else:
            sums[MEAN, i], sums[VARIANCE, i] = 0.0, 1.0


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
        sums[WHOLE, i], sums[MEAN, i] = whole, net_sum
        sums[RAW, i], sums[LIT, i] = raw_sum, lit
    _finish(sums, 1.0)


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
    first, last = radius[0], radius[bins - 1]
    lows = np.zeros(sectors, np.int64)
    for i in range(bins):
        square = radius[i] * radius[i]
        for s in range(sectors):
            across = shift[1, s]
            wanted = np.sqrt(max(square - across * across, 0.0)) + shift[0, s]
            wanted += shift[2, s] * square
            if wanted < first or wanted > last:
                sums_of[0, i, s] = sums_of[1, i, s] = sums_of[2, i, s] = 0.0
                continue
            low = lows[s]
            while low > 0 and radius[low] > wanted:
                low -= 1
            while low < bins - 2 and radius[low + 1] < wanted:
                low += 1
            lows[s] = low
            p = (wanted - radius[low]) / (radius[low + 1] - radius[low])
            n0, n1 = norm[low, s], norm[low + 1, s]
            net0, net1 = sector[low, s] * n0, sector[low + 1, s] * n1
            raw0, raw1 = variance[low] * n0, variance[low + 1] * n1
            net, raw, weight = (
                net0 + p * (net1 - net0),
                raw0 + p * (raw1 - raw0),
                n0 + p * (n1 - n0),
            )
            if 1 <= low <= bins - 3 and n0 * n1 > 0.0:
                before, after = norm[low - 1, s], norm[low + 2, s]
                if before * after > 0.0:
                    bend = p * (p - 1.0) / 6.0
                    left, right = bend * (p - 2.0), bend * (p + 1.0)
                    net += right * (sector[low + 2, s] * after - 2.0 * net1 + net0)
                    net -= left * (sector[low - 1, s] * before - 2.0 * net0 + net1)
                    weight += right * (after - 2.0 * n1 + n0)
                    weight -= left * (before - 2.0 * n0 + n1)
            sums_of[0, i, s], sums_of[1, i, s], sums_of[2, i, s] = net, raw, weight


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
