"""Counting noise drawn for the cells of a cake at once, not for each pixel.

A benchmark of false alarms needs millions of cakes. What a photon counter would have
summed per cell follows from a few moments of the expected counts of its pixels, made
once for an image; a cake then costs four random numbers a cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.cell_rates import LAW, NEVER, CellRates
from ringwatch.simulated_beamline.counting import (
    normal_quantile,
    poisson_quantile,
    uniform_of,
)

__all__ = ["CellMoments", "CellRates", "draw_moments"]

(
    _N, _SUM, _PER_SUM, _PER_N, _P2, _P3, _PEAK, _NEAR,
    _VOID, _EMPTY, _DECLINE, _LINK, _LOOSE,
) = range(len(LAW))  # fmt: skip
_FEW_PAIRS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellMoments:
    """What one frame of a photon counter sums up to in each cell, all (n_cells,).

    Attributes
    ----------
    pixels : int64
        Pixels that count.
    total, total_sq, maximum : float64
        Sum, sum of squares and largest of the counts; whole numbers.
    zeros : int64
        Pixels of 0 counts.
    """

    pixels: NDArray[np.int64]
    total: NDArray[np.float64]
    total_sq: NDArray[np.float64]
    maximum: NDArray[np.float64]
    zeros: NDArray[np.int64]

    def with_pixels(
        self, cells: NDArray[np.integer], values: NDArray[np.float64]
    ) -> CellMoments:
        """The same where one average pixel of each named cell reads a value instead.

        Parameters
        ----------
        cells : (m,) int
            Each at most once, none without pixels.
        values : (m,) float64
            Counts above the cell's maximum: a hot or saturated pixel.

        Raises
        ------
        ValueError
            If a cell is named twice, has no pixel, or holds larger counts already.
        """
        once = len(np.unique(cells)) == len(cells)
        if not once or not (self.pixels[cells] > 0).all():
            msg = "Cells to be struck must have pixels and be named once each."
            raise ValueError(msg)
        if not (values >= self.maximum[cells]).all():
            msg = "A struck pixel must read at least what its cell's largest reads."
            raise ValueError(msg)
        new = {f.name: getattr(self, f.name).copy() for f in fields(self)}
        old = np.floor(self.total[cells] / self.pixels[cells] + 0.5)
        old = np.minimum(old, self.maximum[cells])
        new["total"][cells] += values - old
        new["total_sq"][cells] += values**2 - old**2
        new["maximum"][cells] = values
        all_zero = self.zeros[cells] > 0
        new["zeros"][cells] -= (old == 0.0) & all_zero & (values > 0.0)
        return CellMoments(**new)


def draw_moments(rates: CellRates, *, scale: float = 1.0, key: int) -> CellMoments:
    """Counts of one frame per cell, from its key alone.

    The sum T is Poisson's. Given T the counts of the pixels are multinomial with
    shares p; the other moments get mean and variance from that:

    - pairs of counts in one pixel, ``(total_sq - T) / 2``: mean ``T (T-1) P2 / 2`` and
      variance from P2 and P3, the sums of p^2 and p^3 (N. L. Johnson and S. Kotz, Urn
      Models and Their Application, 1977, ch. 3), in the shape of a Poisson
      distribution, which it has where pairs are rare;
    - the largest count: that of independent pixels of one rate, as many as vie for it
      (within 0.05 of a standard deviation, scatter within 10 %; at 0.1 counts a pixel
      up to 0.13 too small);
    - empty pixels: mean of ``exp(-rate)``, regressed on T and on the pairs.

    All then obey the inequalities that hold for any whole counts, and are exact for up
    to two pairs. Maximum and squares are correlated by these bounds alone: less than
    they should be (0.2 instead of 0.4).

    Parameters
    ----------
    rates : CellRates
    scale : float
        Factor of all rates: the beam. T and total_sq are right at any, maximum and
        zeros between 0.8 and 1.25; make other rates for other exposures.
    key : int
        From ``frame_key``.

    Raises
    ------
    ValueError
        If ``scale`` is negative or not finite.
    """
    if not 0.0 <= scale < math.inf:
        msg = f"scale is {scale}; expected a finite number, 0 or more."
        raise ValueError(msg)
    out = np.zeros((3, len(rates.mean)))
    zeros = rates.pixels.copy()
    _draw(rates.law, scale, np.uint64(key), out, zeros)
    return CellMoments(
        pixels=rates.pixels,
        total=out[0],
        total_sq=out[1],
        maximum=out[2],
        zeros=zeros,
    )


_LEVELS = 4096
_SEARCHED = 16
_LOGARITHM = -np.log(np.maximum(np.arange(_LEVELS + 1), 0.5) / _LEVELS)
"""Minus the logarithm at 0, 1/4096 .. 1; the first two are never used."""


@nb.njit(cache=True, nogil=True, inline="always")
def _counts(mean, u):  # type: ignore[no-untyped-def]
    """``poisson_quantile``, for large means with its terms gathered."""
    if mean < 8.0:
        return poisson_quantile(mean, u)
    z = normal_quantile(u)
    root = math.sqrt(mean - 1.0 / 12.0)
    bend = (z * z - 1.0) * (1.0 / 6.0 - z * (1.0 / 72.0) / root)
    count = np.floor(mean + root * z + bend + 0.5)
    return count if count > 0.0 else 0.0


@nb.njit(cache=True, nogil=True, inline="always")
def _best_of(near, w):  # type: ignore[no-untyped-def]
    """Quantile that the largest of ``near`` draws has: w^(1 / near)."""
    x = w * _LEVELS
    low = int(x)
    if low < _SEARCHED:
        return math.exp(math.log(w) / near)
    part = x - low
    y = (_LOGARITHM[low] + part * (_LOGARITHM[low + 1] - _LOGARITHM[low])) / near
    if y > 0.7:
        return math.exp(-y)
    half, square = 0.5 * y, y * y / 12.0  # Pade's fraction of exp(-y)
    return (1.0 - half + square) / (1.0 + half + square)


@nb.njit(cache=True, nogil=True, inline="always")
def _draw_pairs(total, law, u, v):  # type: ignore[no-untyped-def]
    """Pairs of counts in one pixel, given a sum of 2 or more.

    With T(k) = T (T-1) .. (T-k+1), the factorial moments of a multinomial give
    2 E = T(2) P2 and 4 Var = 2 T(2) P2 + 4 T(3) P3 - T(2) (4 T - 6) P2^2.
    """
    n, p2 = law[_N], law[_P2]
    two = total * (total - 1.0)
    mean = 0.5 * two * p2
    drawn = _counts(mean, u)
    if mean >= _FEW_PAIRS:
        excess = (total - 2.0) * law[_P3] - (total - 1.5) * p2 * p2
        # Rounding at random adds 1/6.
        variance = mean + two * excess - 1.0 / 6.0
        share = variance / mean if variance > 0.0 else 0.0
        drawn = np.floor(mean + (drawn - mean) * math.sqrt(share) + v)
    if drawn < 0.5 * total * (total * law[_PER_N] - 1.0) + 0.125 * n:
        each = np.floor(total * law[_PER_N] + 1e-12)
        rest = total - each * n
        least = 0.5 * each * ((each - 1.0) * n + 2.0 * rest)
        drawn = least if drawn < least else drawn
    # All counts in one pixel, or all but one: nothing lies between.
    top, next_top = 0.5 * two, 0.5 * (total - 1.0) * (total - 2.0)
    if drawn > next_top:
        share = (drawn - next_top) / (top - next_top)
        drawn = top if v < share or n == 1.0 else next_top
    return drawn


@nb.njit(cache=True, nogil=True, inline="always")
def _draw_maximum(total, law, pairs, scale, w):  # type: ignore[no-untyped-def]
    """Largest count, within what sum and squares allow (P. A. Samuelson, 1968)."""
    near = law[_NEAR]
    if scale != 1.0:  # rivals thin out as the root of the rate
        near = law[_N] / (1.0 + (law[_N] / near - 1.0) * math.sqrt(scale))
    bright = total * law[_PER_SUM]
    top = _counts(law[_PEAK] * bright, _best_of(near, w))
    squares = total + 2.0 * pairs
    mean = total * law[_PER_N]
    away = top - mean
    above = (squares - total * mean) * (1.0 - law[_PER_N]) + 1e-9 * squares
    if away > 0.0 and away * away > above:
        top = np.floor(mean + math.sqrt(above))
    # One pixel's pairs, m (m - 1) / 2, are not more than all of them.
    if top * (top - 1.0) > 2.0 * pairs:
        top = np.floor(0.5 + math.sqrt(0.25 + 2.0 * pairs))
    if top * total < squares:
        top = np.ceil(squares / total)
    return top


@nb.njit(cache=True, nogil=True)
def _emptiness(law, bright):  # type: ignore[no-untyped-def]
    """Minus the logarithm of the share of empty pixels, far from the image's own.

    ``m s / (1 + b s^c)`` has the mean rate m as slope at brightness s = 0, and value
    and logarithmic slope of the image at 1.
    """
    mean = law[_SUM] * law[_PER_N]
    bent = mean / law[_EMPTY] - 1.0
    if bent < 1e-6:
        return mean * bright
    power = (1.0 - law[_DECLINE]) * (1.0 + bent) / bent
    return mean * bright / (1.0 + bent * bright**power)


@nb.njit(cache=True, nogil=True, inline="always")
def _draw_zeros(total, law, pairs, top, x):  # type: ignore[no-untyped-def]
    """Empty pixels given sum, pairs and the largest count."""
    n = law[_N]
    most = n - total + pairs
    if pairs <= 2.0:
        return most  # at most two in a pixel: all is known
    bright = total * law[_PER_SUM]
    if law[_EMPTY] * bright > NEVER and total > n:
        return 0.0
    slope, off = law[_DECLINE], bright - 1.0
    if -0.2 < off < 0.2:  # a series of the power less 1, within 1e-4
        curve = 0.5 * (slope - 1.0) * off * (1.0 + (slope - 2.0) * off * (1.0 / 3.0))
        more = slope * off * (1.0 + curve)
    else:
        more = _emptiness(law, bright) / law[_EMPTY] - 1.0
    less = law[_EMPTY] * more
    # The mean over the sums' own scatter must be that of independent pixels.
    less += 0.5 * (slope * law[_EMPTY] * (1.0 + more)) ** 2 * law[_PER_SUM] / bright
    if -0.3 < less < 0.3:  # a series of exp(-less), within 1e-4
        kept = 1.0 - less * (1.0 - less * (0.5 - less * (1.0 / 6.0 - less / 24.0)))
        loose = 0.5 * law[_LOOSE] * (1.0 + kept)  # near the root of it
    else:
        kept = math.exp(-less)
        loose = law[_LOOSE] * math.sqrt(kept)
    surplus = pairs - 0.5 * total * (total - 1.0) * law[_P2]
    none = kept * (law[_VOID] + law[_LINK] * surplus)
    if none < 3.0 and loose * loose > 0.75 * none:
        none = poisson_quantile(none, x)  # the few empty pixels of a bright cell
    else:
        none = np.floor(none + loose * normal_quantile(x) + 0.5)
    # Each count of a pixel beyond its first leaves another pixel empty.
    least = n - total + top - 1.0
    least = least if least > 0.0 else 0.0
    if top * (n - none) < total:
        none = n - np.ceil(total / top)
    none = none if none < most else most
    return none if none > least else least


@nb.njit(cache=True, nogil=True)
def _draw(laws, scale, key, out, zeros):  # type: ignore[no-untyped-def]
    for c in range(len(laws)):
        law = laws[c]
        counter = nb.uint64(5) * nb.uint64(c)
        total = _counts(law[_SUM] * scale, uniform_of(key, counter))
        if total == 0.0:
            continue
        pairs, top = 0.0, 1.0
        if total > 1.0:
            u = uniform_of(key, counter + nb.uint64(1))
            v = uniform_of(key, counter + nb.uint64(2))
            pairs = _draw_pairs(total, law, u, v)
            w = uniform_of(key, counter + nb.uint64(3))
            top = _draw_maximum(total, law, pairs, scale, w)
        x = uniform_of(key, counter + nb.uint64(4))
        out[0, c] = total
        out[1, c] = total + 2.0 * pairs
        out[2, c] = top
        zeros[c] = nb.int64(_draw_zeros(total, law, pairs, top, x))
