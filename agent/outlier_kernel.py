"""Which pixels are impossible given the rest of their surroundings, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.kernel import NO_COUNT
from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.stretch_kernel import fano_of_stretches

__all__ = [
    "count_lit",
    "noise_of",
    "odds_of",
    "scan_cells",
    "suspicious_cells",
]

_FACTOR = 3.0  # times the brightest surroundings: slopes, texture, grains stay below
_STEP = 1.0  # counts; less than what noise of the least Fano factor adds
_LIT = 8.0  # log of the odds of a neighbour that is lit by chance
_BINS, _FEWEST = 2, 8  # bins to either side; pixels that make surroundings
_PERIMETER = 10  # px; what goes on so far away is part of a line, not a spot
_BESIDE = 0.1  # of its height
_DISPERSED = 1.05  # Fano factor; no less than that of sound counts, measured


@numba.njit(nogil=True, cache=True, error_model="numpy")
def noise_of(
    pixels: NDArray[np.int64],
    total: NDArray[np.float64],
    total_sq: NDArray[np.float64],
    maximum: NDArray[np.float64],
    signed: bool,
    doubtful: NDArray[np.bool_],
) -> tuple[float, float]:
    """Fano factor of the pixels, and variance of an empty one where counts are signed.

    Each the lower quartile over the rows of cells (rings), (n_q, 32): where rings are
    dense, their slopes and grains still do not count. A dead pixel spoils its whole
    row, so that one cell of each row has a say as well. The Fano factor is at least
    1/4. ``doubtful`` (n_q,) gets the rows that may hold a suspicious cell.
    """
    rows = total.shape[0]
    fano, alone, floor = np.empty(rows), np.empty(rows), np.empty(rows)
    kept = lit = sampled = 0
    # Of the cells of a row: sum of squares about the mean, counts, pixels.
    cells = np.empty((3, SECTORS))
    for b in range(rows):
        bright = known = 0
        for s in range(SECTORS):
            n, t = float(pixels[b, s]), total[b, s]
            many = n >= 2.0
            own = total_sq[b, s] - t * t / max(n, 1.0)
            cells[0, s] = own if many else 0.0
            cells[1, s] = t if many else 0.0
            cells[2, s] = n if many else 0.0
            known += 1 if many else 0
            top = maximum[b, s]
            over = (top - _STEP) * (n - 1.0) > _FACTOR * (t - top)
            bright += 1 if over & (top > _STEP) else 0
        doubtful[b] = bright > 0
        within, counts, number = _row_sums(cells)
        s = (5 * b) % SECTORS
        n, t = cells[2, s], cells[1, s]
        if n > 8.0 and t > 20.0:
            alone[sampled] = cells[0, s] / (n - 1.0) * n / t
            sampled += 1
        free = number - known
        if free <= SECTORS:
            continue
        floor[kept] = within / free
        kept += 1
        if counts > 20.0:
            fano[lit] = within / free * number / counts
            lit += 1
    level = 0.0
    if signed and kept > 0:
        level = np.partition(floor[:kept], kept // 4)[kept // 4]
    if lit < 10 or level > 0.0:
        return 1.0, level
    found = np.partition(fano[:lit], lit // 4)[lit // 4]
    if sampled >= 40:
        # A quarter of the cells of 40 pixels scatter by 15 % less than they should.
        quarter = np.partition(alone[:sampled], sampled // 4)[sampled // 4]
        found = min(found, 1.2 * quarter)
    if found > _DISPERSED:
        # Zingers in most rows of a dim frame would hide behind their own scatter.
        found = fano_of_stretches(pixels, total, total_sq, found)
    return max(found, 0.25), level


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _row_sums(cells: NDArray[np.float64]) -> tuple[float, float, float]:
    """Sums of three rows of 32, each in two halves that do not wait for each other."""
    a0 = a1 = b0 = b1 = c0 = c1 = 0.0
    for s in range(0, SECTORS, 2):
        a0 += cells[0, s]
        a1 += cells[0, s + 1]
        b0 += cells[1, s]
        b1 += cells[1, s + 1]
        c0 += cells[2, s]
        c1 += cells[2, s + 1]
    return a0 + a1, b0 + b1, c0 + c1


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
def _surroundings(
    pixels: NDArray[np.int64],
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    b: int,
    s: int,
    own: int,
) -> float:
    """Most counts of a pixel that the cells around (b, s) let expect; -1: too few.

    Each without its brightest pixel; the brightest of them counts, or an upper bound of
    their mean where counts are few. Columns wrap around where cells have an azimuth
    (``own`` = SECTORS), else not.
    """
    rows = total.shape[0]
    most = 0.0
    counts = 0.0
    number = 0.0
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
            n = pixels[row, column] - 1.0
            if n < 1.0:
                continue
            rest = total[row, column] - maximum[row, column]
            counts += rest
            number += n
            if n >= 3.0:
                most = max(most, rest / n)
    if number < _FEWEST:
        return -1.0
    upper = (counts + 2.0 * math.sqrt(max(counts, 0.0)) + 1.0) / number
    return max(most, upper)


@numba.njit(nogil=True, cache=True)
def suspicious_cells(
    pixels: NDArray[np.int64],
    total: NDArray[np.float64],
    maximum: NDArray[np.float64],
    fano: float,
    floor: float,
    odds: float,
    wrap: int,
    doubtful: NDArray[np.bool_],
    cells: NDArray[np.int32],
    expected: NDArray[np.float64],
) -> int:
    """List cells whose brightest pixel is impossible; their number.

    Of the rows that are ``doubtful``. ``expected`` gets what the surroundings let
    expect, ``odds`` is minus the log of the chance that a sound pixel may have.
    """
    found = 0
    step = 5.0 * math.sqrt(floor) + 4.0 * fano
    for b in range(doubtful.size):
        if not doubtful[b]:
            continue
        for s in range(SECTORS):
            top, n = maximum[b, s], float(pixels[b, s])
            rest = total[b, s] - top
            if top <= step or (top - step) * (n - 1.0) <= _FACTOR * rest:
                continue
            level = _surroundings(pixels, total, maximum, b, s, wrap)
            if level < 0.0 or top <= _FACTOR * level:
                continue
            if odds_of(top - level, fano * level + floor, fano) <= odds:
                continue
            cells[found] = b * SECTORS + s
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
            if not x < NO_COUNT or x == marker or x <= _FACTOR * mean:
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
                    if limit < beside < NO_COUNT and beside != marker:
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
                if not mean < beside < NO_COUNT or beside == marker:
                    continue
                lit[k] += odds_of(beside - mean, fano * mean + floor, fano) > _LIT
