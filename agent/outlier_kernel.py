"""Which pixels are impossible given the rest of their surroundings, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.kernel import MAXIMUM, PIXELS, SQUARES, TOTAL
from ringwatch.agent.nouns import SECTORS

__all__ = [
    "count_lit",
    "join_clusters",
    "noise_of",
    "odds_of",
    "scan_cells",
    "suspicious_cells",
]

_FACTOR = 3.0  # times the brightest surroundings: slopes, texture, grains stay below
_LIT = 8.0  # log of the odds of a neighbour that is lit by chance
_BINS, _FEWEST = 2, 8  # bins to either side; pixels that make surroundings
_PERIMETER = 10  # px; what goes on so far away is part of a line, not a spot
_BESIDE = 0.1  # of its height


@numba.njit(nogil=True, cache=True)
def noise_of(moments: NDArray[np.float64], signed: bool) -> tuple[float, float]:
    """Fano factor of the pixels, and variance of an empty one where counts are signed.

    Each the lower quartile over the rows of cells (rings): where rings are dense, their
    slopes and grains still do not count. A dead pixel spoils its whole row, so that
    one cell of each row has a say as well. The Fano factor is at least 1/4.
    """
    rows = moments.shape[0] // SECTORS
    fano = np.empty(rows)
    alone = np.empty(rows)
    floor = np.empty(rows)
    kept = 0
    lit = 0
    sampled = 0
    for b in range(rows):
        within = 0.0
        free = 0.0
        total = 0.0
        pixels = 0.0
        for c in range(b * SECTORS, (b + 1) * SECTORS):
            n = moments[c, PIXELS]
            if n < 2.0:
                continue
            t = moments[c, TOTAL]
            own = moments[c, SQUARES] - t * t / n
            within += own
            free += n - 1.0
            total += t
            pixels += n
            if c % SECTORS == (5 * b) % SECTORS and n > 8.0 and t > 20.0:
                alone[sampled] = own / (n - 1.0) * n / t
                sampled += 1
        if free <= SECTORS:
            continue
        floor[kept] = within / free
        kept += 1
        if total > 20.0:
            fano[lit] = within / free * pixels / total
            lit += 1
    level = 0.0
    if signed and kept > 0:
        level = np.sort(floor[:kept])[kept // 4]
    if lit < 10 or level > 0.0:
        return 1.0, level
    found = np.sort(fano[:lit])[lit // 4]
    if sampled >= 40:
        # A quarter of the cells of 40 pixels scatter by 15 % less than they should.
        found = min(found, 1.2 * np.sort(alone[:sampled])[sampled // 4])
    return max(found, 0.25), level


@numba.njit(nogil=True, cache=True)
def odds_of(excess: float, variance: float, jump: float) -> float:
    """Bennett's bound: minus the log of the chance of an excess over a Poisson mean.

    ``P(X - mu >= t) <= exp(-V/c^2 h(c t/V))`` with ``h(u) = (1 + u) log(1 + u) - u``,
    variance ``V`` and jumps of ``c`` (Bennett, J. Am. Stat. Assoc. 57, 33, 1962).
    """
    v = max(variance, 1e-12) / (jump * jump)
    u = excess / (jump * v)
    return v * ((1.0 + u) * math.log1p(u) - u)


@numba.njit(nogil=True, cache=True)
def _surroundings(moments: NDArray[np.float64], b: int, s: int, own: int) -> float:
    """Most counts of a pixel that the cells around (b, s) let expect; -1: too few.

    Each without its brightest pixel; the brightest of them counts, or an upper bound of
    their mean where counts are few. Columns wrap around where cells have an azimuth
    (``own`` = SECTORS), else not.
    """
    rows = moments.shape[0] // SECTORS
    most = 0.0
    total = 0.0
    pixels = 0.0
    for db in range(-_BINS, _BINS + 1):
        row = b + db
        if row < 0 or row >= rows:
            continue
        for ds in range(-1, 2):
            column = s + ds
            if own == SECTORS:
                column %= SECTORS
            elif column < 0 or column >= SECTORS:
                continue
            c = row * SECTORS + column
            n = moments[c, PIXELS] - 1.0
            if n < 1.0:
                continue
            rest = moments[c, TOTAL] - moments[c, MAXIMUM]
            total += rest
            pixels += n
            if n >= 3.0:
                most = max(most, rest / n)
    if pixels < _FEWEST:
        return -1.0
    upper = (total + 2.0 * math.sqrt(max(total, 0.0)) + 1.0) / pixels
    return max(most, upper)


@numba.njit(nogil=True, cache=True)
def suspicious_cells(
    moments: NDArray[np.float64],
    fano: float,
    floor: float,
    odds: float,
    wrap: int,
    cells: NDArray[np.int32],
    expected: NDArray[np.float64],
) -> int:
    """List cells whose brightest pixel is impossible; their number.

    ``expected`` gets what the surroundings let expect, ``odds`` is minus the log of the
    chance that a sound pixel may have.
    """
    found = 0
    step = 5.0 * math.sqrt(floor) + 4.0 * fano
    for c in range(moments.shape[0]):
        top = moments[c, MAXIMUM]
        n = moments[c, PIXELS]
        if top <= step or (top - step) * (n - 1.0) <= _FACTOR * (
            moments[c, TOTAL] - top
        ):
            continue
        level = _surroundings(moments, c // SECTORS, c % SECTORS, wrap)
        if level < 0.0 or top <= _FACTOR * level:
            continue
        if odds_of(top - level, fano * level + floor, fano) <= odds:
            continue
        cells[found] = c
        expected[found] = level
        found += 1
    return found


@numba.njit(nogil=True, cache=True)
def scan_cells(
    frame: NDArray[np.generic],
    shape: tuple[int, int],
    first: NDArray[np.int32],
    places: NDArray[np.int32],
    dark: NDArray[np.float64],
    marker: float,
    noise: tuple[float, float, float],
    isolate: bool,
    cells: NDArray[np.int32],
    expected: NDArray[np.float64],
    place: NDArray[np.int32],
    value: NDArray[np.float64],
    level: NDArray[np.float64],
) -> tuple[int, float]:
    """Find the pixels themselves: how many, and the counts above expectation.

    ``place``, ``value`` and ``level`` (all of one length) hold the first of them.
    ``dark`` is the mean dark, or empty.
    ``isolate``: drop what is a tenth as bright 10 px away.
    """
    fano, floor, odds = noise
    found = 0
    counts = 0.0
    for k in range(cells.size):
        mean = expected[k]
        for j in range(first[cells[k]], first[cells[k] + 1]):
            i = places[j]
            x = float(frame[i])
            if not x < math.inf or x == marker or x <= _FACTOR * mean:
                continue
            own = mean
            if dark.size and dark[i] > mean:  # hot in the dark as well
                own += dark[i]
            if x <= _FACTOR * own:
                continue
            if odds_of(x - own, fano * own + floor, fano) <= odds:
                continue
            if isolate and _line(frame, shape, i, own + _BESIDE * (x - own), marker):
                continue
            counts += x - own
            if found < place.size:
                place[found] = i
                value[found] = x
                level[found] = own
            found += 1
    return found, counts


@numba.njit(nogil=True, cache=True)
def _line(
    frame: NDArray[np.generic],
    shape: tuple[int, int],
    i: int,
    limit: float,
    marker: float,
) -> bool:
    """Whether a pixel of the square 10 px around is brighter than ``limit``."""
    rows, columns = shape
    y, x = i // columns, i % columns
    for d in range(-_PERIMETER, _PERIMETER + 1):
        for e in (-_PERIMETER, _PERIMETER):
            for v, u in ((y + e, x + d), (y + d, x + e)):
                if 0 <= v < rows and 0 <= u < columns:
                    beside = float(frame[v * columns + u])
                    if limit < beside < math.inf and beside != marker:
                        return True
    return False


@numba.njit(nogil=True, cache=True)
def count_lit(
    frame: NDArray[np.generic],
    shape: tuple[int, int],
    marker: float,
    fano: float,
    floor: float,
    place: NDArray[np.int32],
    level: NDArray[np.float64],
    lit: NDArray[np.int32],
) -> None:
    """Count the pixels of each 3 x 3 square that are brighter than chance allows."""
    rows, columns = shape
    for k in range(place.size):
        y, x = place[k] // columns, place[k] % columns
        mean = level[k]
        for v in range(max(y - 1, 0), min(y + 2, rows)):
            for u in range(max(x - 1, 0), min(x + 2, columns)):
                beside = float(frame[v * columns + u])
                if not mean < beside < math.inf or beside == marker:
                    continue
                lit[k] += odds_of(beside - mean, fano * mean + floor, fano) > _LIT


@numba.njit(nogil=True, cache=True)
def join_clusters(
    place: NDArray[np.int32], columns: int, lit: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Size of the 8-connected cluster of each pixel, ``place`` rising, (n,).

    At least the number of lit pixels about one of its members: the wings of a spot do
    not stand out enough to be listed themselves.
    """
    n = place.size
    root = np.arange(n).astype(np.int32)
    for k in range(n):
        for step in (1, columns - 1, columns, columns + 1):
            j = np.searchsorted(place[k + 1 :], place[k] + step) + k + 1
            if j >= n or place[j] != place[k] + step:
                continue
            if abs(place[j] % columns - place[k] % columns) > 1:
                continue
            a, b = k, j
            while root[a] != a:
                a = root[a]
            while root[b] != b:
                b = root[b]
            root[max(a, b)] = min(a, b)
    members = np.zeros(n, np.int32)
    widest = np.zeros(n, np.int32)
    for k in range(n):
        while root[k] != root[root[k]]:
            root[k] = root[root[k]]
        members[root[k]] += 1
        widest[root[k]] = max(widest[root[k]], lit[k])
    size = np.empty(n, np.int32)
    for k in range(n):
        size[k] = max(members[root[k]], widest[root[k]])
    return size
