"""Compiled loops over one radial profile: medians, its slope, itself scaled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "bridged",
    "median_near",
    "median_of",
    "nth_smallest",
    "read_scaled",
    "ring_precision",
    "slope_of",
]

Floats = NDArray[np.float64]

_COMPACT = 1.0 / 3.0  # sixth order compact difference (Lele 1992, J. Comput. Phys. 103)
_CONVERGED = 40  # rows, after which elimination repeats itself to the last bit


@numba.njit(nogil=True, cache=True)
def nth_smallest(values: Floats, count: int, n: int) -> float:
    """The ``n``-th smallest of the first ``count`` values (Hoare); reorders them.

    The partition (Lomuto's) has no branches: half of them would be mispredicted. NaN
    where a pivot is NaN; other NaN are sorted behind the numbers, in no certain order.
    """
    low, high = 0, count - 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        middle = low
        for j in range(low, high + 1):
            value = values[j]
            values[j] = values[middle]
            values[middle] = value
            middle += value < pivot
        if n < middle:
            high = middle - 1
            continue
        low = middle
        for j in range(low, high + 1):  # the pivot and its equals
            value = values[j]
            values[j] = values[middle]
            values[middle] = value
            middle += value == pivot
        if n < middle:
            break
        if middle == low:  # nothing equals the pivot, not even itself
            return math.nan
        low = middle
    return float(values[n])


@numba.njit(nogil=True, cache=True)
def median_of(values: Floats, count: int) -> float:
    """Median of the first ``count`` values, at least one; reorders them."""
    upper = nth_smallest(values, count, count // 2)
    if count % 2:
        return upper
    lower = values[0]
    for i in range(1, count // 2):
        lower = max(lower, values[i])
    return 0.5 * (lower + upper)


@numba.njit(nogil=True, cache=True)
def median_near(values: Floats, count: int, guess: float, scratch: Floats) -> float:
    """Median of the first ``count`` values, at least one, none of which is negative.

    The same as ``median_of`` in less time where ``guess`` is right by a fifth: only
    what lies about it is put in order, in ``scratch`` (count,).
    """
    below = inside = 0
    low, high = 0.8 * guess, 1.25 * guess
    for k in range(count):
        value = values[k]
        scratch[inside] = value
        below += value < low
        inside += (value >= low) & (value <= high)
        if inside == count:
            break
    upper = count // 2 - below
    lower = upper - (1 - count % 2)
    if lower < 0 or upper >= inside:
        scratch[:count] = values[:count]
        return median_of(scratch, count)
    top = nth_smallest(scratch, inside, upper)
    if lower == upper:
        return top
    bottom = scratch[0]
    for k in range(1, upper):
        bottom = max(bottom, scratch[k])
    return 0.5 * (bottom + top)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def slope_of(profile: Floats, whole: Floats) -> Floats:
    """Slope per bin of a profile (n,), bins without weight bridged.

    Sixth-order compact differences: a ring is three or four bins wide, and the usual
    second and fourth order ones read its slope 10 and 5 % too low.
    """
    f = bridged(profile, whole)
    n = f.size
    right, share, slope = np.empty(n), np.empty(n), np.empty(n)
    for i in range(2, n - 2):
        right[i] = 7.0 / 9.0 * (f[i + 1] - f[i - 1]) + (f[i + 2] - f[i - 2]) / 36.0
    for i in (0, 1, n - 2, n - 1):
        a, b = f[min(i + 1, n - 1)], f[max(i - 1, 0)]
        c, d = f[min(i + 2, n - 1)], f[max(i - 2, 0)]
        right[i] = 7.0 / 9.0 * (a - b) + (c - d) / 36.0
    upper = 0.0
    slope[0], share[0] = right[0], 0.0
    for i in range(1, n):  # Thomas; the ends stand by themselves
        lower = _COMPACT if i < n - 1 else 0.0
        if i < _CONVERGED or i == n - 1:
            pivot = 1.0 / (1.0 - lower * upper)
        upper = lower * pivot
        share[i] = upper
        slope[i] = (right[i] - lower * slope[i - 1]) * pivot
    for i in range(n - 2, -1, -1):
        slope[i] -= share[i] * slope[i + 1]
    return slope


@numba.njit(nogil=True, cache=True, error_model="numpy")
def bridged(profile: Floats, seen: Floats) -> Floats:
    """Profile with the bins where ``seen`` is 0 bridged by straight lines."""
    n = profile.size
    out = profile.copy()
    last = -1
    for i in range(n):
        if not seen[i] > 0.0:
            continue
        if last < 0:
            out[:i] = profile[i]
        elif i > last + 1:
            for k in range(last + 1, i):
                part = (k - last) / (i - last)
                out[k] = profile[last] + part * (profile[i] - profile[last])
        last = i
    if last >= 0:
        out[last + 1 :] = profile[last]
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def ring_precision(
    mean: Floats, whole: Floats, raw: Floats, bins: NDArray[np.int64], half: int
) -> float:
    """Relative standard deviation of the five strongest rings, their median.

    A ring is what stands above the line between the ends of its window, ``half`` bins
    either side; ``raw`` (n,) is the variance of each bin's counts. Infinite where no
    ring holds counts.
    """
    n, rings = mean.size, bins.size
    net, error = np.empty(rings), np.empty(rings)
    for ring in range(rings):
        first, last = max(bins[ring] - half, 0), min(bins[ring] + half, n - 1)
        foot = 0.5 * (mean[first] + mean[last])
        total = variance = 0.0
        for i in range(first, last + 1):
            total += whole[i] * (mean[i] - foot)
            variance += max(raw[i], 0.0)
        net[ring], error[ring] = total, np.sqrt(variance)
    order = np.argsort(-net, kind="mergesort")
    share = np.empty(5)
    known = 0
    for ring in order[:5]:
        if net[ring] > 0.0:
            share[known] = error[ring] / net[ring]
            known += 1
    return median_of(share, known) if known else np.inf


@numba.njit(nogil=True, cache=True, error_model="numpy")
def read_scaled(
    radius: Floats,
    smooth: Floats,
    slope: Floats,
    rough: Floats,
    scale: float,
    out: Floats,
) -> None:
    """Two profiles (n,) at ``radius / (1 + scale)``: into ``out`` (2, n).

    ``smooth`` by cubic Hermite polynomials with its ``slope`` per bin: straight lines
    move a ring of three bins by 5 % less than they should. ``rough`` by straight lines.
    """
    n = radius.size
    low = 0
    for i in range(n):
        at = min(max(radius[i] / (1.0 + scale), radius[0]), radius[n - 1])
        while low > 0 and radius[low] > at:
            low -= 1
        while low < n - 2 and radius[low + 1] < at:
            low += 1
        p = (at - radius[low]) / (radius[low + 1] - radius[low])
        q = 1.0 - p
        ends = q * q * (1.0 + 2.0 * p) * smooth[low]
        ends += p * p * (1.0 + 2.0 * q) * smooth[low + 1]
        out[0, i] = ends + p * q * (q * slope[low] - p * slope[low + 1])
        out[1, i] = q * rough[low] + p * rough[low + 1]
