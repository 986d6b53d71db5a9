"""Compiled loops of the search for a far centre: sharp structure, lines, votes."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.profile_kernels import nth_smallest

__all__ = [
    "join_lines",
    "mirror_alone",
    "score_at",
    "sharp_structure",
    "sharpen",
    "vote",
]

Floats = NDArray[np.float64]

_CLIP = 4.0  # robust standard deviations: a spot must not outvote rings
_HIGH_PASS = 21  # bins
_STANDS_OUT = 5.0  # standard deviations of counting noise
_LEAST_BINS = 60  # of a sector with pixels
_LEAST_SHARP = 5  # bins of a sector that stand out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sharp_structure(
    sector: Floats,
    norm: Floats,
    mean: Floats,
    variance: Floats,
    texture: Floats,
    structured: NDArray[np.bool_],
) -> None:
    """Fill ``texture`` (S, n), sharp structure of each sector in robust units.

    Square roots, so that the noise is even (Anscombe 1948); what is broader than 21
    bins is taken off. ``sector``, ``norm`` are (n, S); 0 where nothing is. A sector is
    ``structured`` (S,) if a few per cent of its bins stand out of counting noise.
    """
    n, sectors = sector.shape
    for i in range(n):
        for s in range(sectors):
            texture[s, i] = math.sqrt(max(sector[i, s], 0.0))
    noise, weight = np.empty(n), np.empty(n)
    for i in range(n):
        level = max(abs(mean[i]), variance[i] * 1e-3)
        noise[i] = _STANDS_OUT * 0.5 * math.sqrt(variance[i] / level)
    height, size = np.empty(n), np.empty(n)
    for s in range(sectors):
        row = texture[s]
        count = 0
        for i in range(n):
            weight[i] = norm[i, s]
            count += weight[i] > 0.0
            height[i] = row[i] if weight[i] > 0.0 else 0.0
        if not count:
            structured[s] = False
            row[:] = 0.0
            continue
        _high_pass(height, weight, row)
        known = out = 0
        for i in range(n):
            if weight[i] > 0.0:
                size[known] = abs(row[i])
                known += 1
                out += row[i] * math.sqrt(weight[i]) > noise[i]
        structured[s] = count >= _LEAST_BINS and out >= _LEAST_SHARP
        unit = 1.4826 * nth_smallest(size, known, max(known // 2 - 1, 0))
        unit = unit if unit > 0.0 else 1.0
        total = 0.0
        for i in range(n):
            row[i] = min(max(row[i] / unit, -_CLIP), _CLIP)
            total += row[i]
        middle = total / count
        for i in range(n):
            row[i] = row[i] - middle if weight[i] > 0.0 else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _high_pass(height: Floats, weight: Floats, sharp: Floats) -> None:
    """Take the mean of 21 bins off; 0 without weight. The ends are mirrored."""
    n = height.size
    half = _HIGH_PASS // 2
    total = 0.0
    count = 0
    for k in range(-half, half + 1):
        i = min(k if k >= 0 else -k - 1, n - 1)
        total += height[i]
        count += weight[i] > 0.0
    for i in range(n):
        sharp[i] = height[i] - total / count if weight[i] > 0.0 else 0.0
        old, new = i - half, i + half + 1
        old = min(old if old >= 0 else -old - 1, n - 1)
        new = max(new if new < n else 2 * n - 1 - new, 0)
        total += height[new] - height[old]
        count += (weight[new] > 0.0) - (weight[old] > 0.0)


@numba.njit(nogil=True, cache=True)
def join_lines(texture: Floats, norm: Floats, inner: int, joined: Floats) -> None:
    """Join facing sectors to lines: values, 0/1 where pixels are, values squared.

    ``texture`` (2 L, n) and ``norm`` (n, 2 L) begin ``inner`` bins from the beam;
    ``joined`` is (3, L, at least 2 (n + inner)) and comes filled with 0.
    """
    lines, n = texture.shape[0] // 2, texture.shape[1]
    for i in range(n):
        for line in range(lines):
            right, left = n + 2 * inner + i, n - 1 - i
            joined[0, line, right] = texture[lines + line, i]
            joined[0, line, left] = texture[line, i]
            joined[1, line, right] = 1.0 if norm[i, lines + line] > 0.0 else 0.0
            joined[1, line, left] = 1.0 if norm[i, line] > 0.0 else 0.0
            joined[2, line, right] = texture[lines + line, i] ** 2
            joined[2, line, left] = texture[line, i] ** 2


@numba.njit(nogil=True, cache=True, error_model="numpy")
def mirror_alone(
    joined: Floats,
    length: int,
    near: int,
    least: float,
    mirrored: Floats,
    correlation: Floats,
    overlap: Floats,
) -> None:
    """Correlation of each line with its mirror image, without what mirrors itself.

    ``mirrored`` (3, L, any) holds the self-convolutions of ``joined`` (values, squares
    with places, places) of ``length``; the results (L, F) are those about the middle.
    Pairs of bins less than ``near`` apart are taken off; 0 where fewer than ``least``
    bins face each other.
    """
    lines, feet = correlation.shape
    first = length - 1 - feet // 2
    for line in range(lines):
        value, where = joined[0, line], joined[1, line]
        match, energy = mirrored[0, line], mirrored[1, line]
        for k in range(feet):
            overlap[line, k] = round(mirrored[2, line, first + k])
        for apart in range(near):
            twice = 1.0 if apart == 0 else 2.0
            begin = first + (first - apart) % 2
            for k in range(max(begin, apart), first + feet, 2):
                left = (k - apart) // 2
                right = left + apart
                if right >= length:
                    break
                a, b = value[left], value[right]
                match[k] -= twice * a * b
                energy[k] -= twice / 2 * (a * a * where[right] + b * b * where[left])
                overlap[line, k - first] -= twice * where[left] * where[right]
        for k in range(feet):
            enough = overlap[line, k] > least and energy[first + k] > 1.0
            correlation[line, k] = match[first + k] / energy[first + k] if enough else 0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def vote(
    correlation: Floats,
    first: float,
    pitch: float,
    directions: Floats,
    reach: float,
    grid: float,
) -> tuple[float, float]:
    """Centre (x, y) for which the lines (L, F) vote, on a grid within ``reach``.

    The feet lie at ``first + k pitch`` along the ``directions`` (L, 2).
    """
    lines, feet = correlation.shape
    side = round(2 * reach / grid) + 1
    most, best_x, best_y = -math.inf, 0.0, 0.0
    votes = np.empty(side)
    for j in range(side):
        y = j * grid - reach
        votes[:] = 0.0
        for line in range(lines):
            along = directions[line, 0] / pitch
            start = (directions[line, 1] * y - first) / pitch
            row = correlation[line]
            for i in range(side):
                at = round(start + (i * grid - reach) * along)
                votes[i] += row[min(max(at, 0), feet - 1)]
        for i in range(side):
            if votes[i] > most:
                most, best_x, best_y = votes[i], i * grid - reach, y
    return best_x, best_y


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sharpen(
    correlation: Floats,
    first: float,
    pitch: float,
    directions: Floats,
    x: float,
    y: float,
) -> tuple[float, float]:
    """Least squares through each line's own best foot near (x, y), three times."""
    lines, feet = correlation.shape
    reach = 3.0
    for _ in range(3):
        a = b = c = u = v = 0.0
        for line in range(lines):
            cosine, sine = directions[line]
            foot = cosine * x + sine * y
            best, top = 0, -math.inf
            for k in range(feet):
                height = correlation[line, k]
                if abs(first + k * pitch - foot) <= reach and height > top:
                    best, top = k, height
            weight = max(correlation[line, best], 1e-3) ** 2
            a += weight * cosine * cosine
            b += weight * cosine * sine
            c += weight * sine * sine
            u += weight * cosine * (first + best * pitch)
            v += weight * sine * (first + best * pitch)
        determinant = a * c - b * b
        x, y = (c * u - b * v) / determinant, (a * v - b * u) / determinant
        reach = 2.0
    return x, y


@numba.njit(nogil=True, cache=True, error_model="numpy")
def score_at(
    correlation: Floats,
    first: float,
    pitch: float,
    directions: Floats,
    x: float,
    y: float,
) -> float:
    """Mean over the lines of the best correlation within two steps of their feet."""
    lines, feet = correlation.shape
    total = 0.0
    for line in range(lines):
        foot = directions[line, 0] * x + directions[line, 1] * y
        middle = min(max(round((foot - first) / pitch), 0), feet - 1)
        total += correlation[line, max(middle - 2, 0) : middle + 3].max()
    return total / lines
