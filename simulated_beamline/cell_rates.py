"""What the cells of a cake expect: moments of the expected counts of their pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

__all__ = ["LAW", "NEVER", "CellRates"]

_MASKED = 65535
NEVER = 25.0
"""Expected counts beyond which a pixel is never empty: exp(-25) = 1e-11."""
LAW = (
    "pixels",
    "total",
    "per_total",
    "per_pixel",
    "share_squares",
    "share_cubes",
    "peak",
    "rivals",
    "void",
    "emptiness",
    "decline",
    "link",
    "loose",
)
"""Columns of ``CellRates.law``; see ``_law``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellRates:
    """Expected counts of the pixels of each cell.

    Attributes
    ----------
    pixels : (n_cells,) int64
        Pixels that count.
    mean : (n_cells,) float64
        Expected counts of a pixel, mean over the cell.
    spread : (n_cells,) float64
        Variance of the expected counts between the pixels of the cell, counts^2.
    most : (n_cells,) float64
        Largest expected count of a pixel.
    law : (n_cells, 13) float64
        What ``draw_moments`` needs, columns as in ``LAW``.
    """

    pixels: NDArray[np.int64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    most: NDArray[np.float64]
    law: NDArray[np.float64]

    @classmethod
    def from_image(
        cls, rate: NDArray[np.float32], cell: NDArray[np.uint16], n_cells: int
    ) -> CellRates:
        """Gather an image per cell.

        Parameters
        ----------
        rate : (y, x) float32
            Expected counts per pixel and frame; negative pixels have no sensor.
        cell : (y * x,) uint16
            Cell of each pixel; 65535 for a masked one.
        n_cells : int

        Raises
        ------
        ValueError
            If image and map differ in size, or a cell lies beyond ``n_cells``.
        """
        top = np.where(cell == _MASKED, -1, cell.astype(np.int32)).max(initial=-1)
        if cell.size != rate.size or top >= n_cells:
            msg = (
                f"The image has {rate.size} pixels, the map {cell.size} in cells up to "
                f"{top}; expected one size and cells below {n_cells}. Use the map made "
                "for this detector."
            )
            raise ValueError(msg)
        sums = np.zeros((n_cells, _SUMS))
        _gather(np.ascontiguousarray(rate, dtype=np.float32).ravel(), cell, sums)
        pixels = sums[:, _PIXELS]
        mean = sums[:, _RATE] / np.maximum(pixels, 1.0)
        # Rounding of float32 rates may leave a little below zero.
        spread = np.maximum(sums[:, _SQUARE] / np.maximum(pixels, 1.0) - mean**2, 0.0)
        return cls(
            pixels=pixels.astype(np.int64),
            mean=mean,
            spread=spread,
            most=sums[:, _MOST].copy(),
            law=_law(sums),
        )


_PIXELS, _RATE, _SQUARE, _CUBE, _MOST, _RIVALS, _GAP = range(7)
_NONE, _NONE_RATE, _NONE_SQUARE, _NONE_TWICE = range(7, 11)
_SUMS = 11


@nb.njit(cache=True, nogil=True)
def _typical_maximum(n, top):  # type: ignore[no-untyped-def]
    """Largest count of n pixels of rate ``top``, roughly; it only centres a series."""
    return top + 1.0 + 0.85 * math.sqrt(2.0 * math.log(n + 1.0) * top)


@nb.njit(cache=True, nogil=True)
def _gather(rate, cell, sums):  # type: ignore[no-untyped-def]
    """Sums per cell of powers of the rate x, then of what needs the largest rate m.

    A count k in the tail is less likely from x than from m by ``(x / m)^k exp(m - x)``,
    to second order ``exp(-d (k - m) - k d^2 / 2)`` with ``d = 1 - x / m``; summed at
    the typical largest count k it says how many pixels vie for the maximum.
    """
    for i in range(len(rate)):
        c, x = cell[i], nb.float64(rate[i])
        if c == _MASKED or x < 0.0:
            continue
        row = sums[c]
        row[_PIXELS] += 1.0
        row[_RATE] += x
        row[_SQUARE] += x * x
        row[_CUBE] += x * x * x
        row[_MOST] = max(row[_MOST], x)
    high = np.empty(len(sums))
    for c in range(len(sums)):
        high[c] = _typical_maximum(sums[c, _PIXELS], sums[c, _MOST])
    for i in range(len(rate)):
        c, x = cell[i], nb.float64(rate[i])
        if c == _MASKED or x < 0.0:
            continue
        row = sums[c]
        if x < NEVER:
            none = math.exp(-x)
            row[_NONE] += none
            row[_NONE_RATE] += x * none
            row[_NONE_SQUARE] += x * x * none
            row[_NONE_TWICE] += none * none
        if row[_MOST] > 0.0:
            d = 1.0 - x / row[_MOST]
            less = d * (high[c] - row[_MOST]) + 0.5 * high[c] * d * d
            if less < 20.0:
                rival = math.exp(-less)
                row[_RIVALS] += rival
                row[_GAP] += rival * d


(
    _N, _SUM, _PER_SUM, _PER_N, _P2, _P3, _PEAK, _NEAR,
    _VOID, _EMPTY, _DECLINE, _LINK, _LOOSE,
) = range(len(LAW))  # fmt: skip
_LAWS = len(LAW)


@nb.njit(cache=True, nogil=True)
def _law(sums):  # type: ignore[no-untyped-def]
    """Parameters of the draw per cell, (n_cells, 13).

    Pixels n; expected sum s, 1 / s, 1 / n; sums P2, P3 of the squared and cubed shares
    of the pixels; rate and number of those that vie for the maximum; empty pixels;
    minus the logarithm of their share, and its logarithmic slope against brightness;
    regression of empty pixels on pairs of counts, and the scatter that it leaves.

    The last two at the expected sum, that sum given, from the covariances of x, pairs
    x (x - 1) / 2 and emptiness of Poisson's distribution:
    cov(empty, pairs) = sum(r e) R2 / s - sum(r^2 e) / 2 and
    var(empty) = sum(e - e^2) - sum(r e)^2 / s, with rates r, e = exp(-r), R2 = sum r^2.
    """
    law = np.zeros((len(sums), _LAWS))
    for c in range(len(sums)):
        row, out = sums[c], law[c]
        n, s = row[_PIXELS], row[_RATE]
        if n == 0.0 or s == 0.0:
            continue
        out[_N], out[_SUM], out[_PER_SUM], out[_PER_N] = n, s, 1.0 / s, 1.0 / n
        out[_P2] = p2 = max(row[_SQUARE] / (s * s), 1.0 / n)
        out[_P3] = p3 = max(row[_CUBE] / (s * s * s), p2 * p2)
        # Rivals of one rate, below the largest, that have chance and slope of the tail.
        top, gap = row[_MOST], row[_GAP] / row[_RIVALS]
        high = _typical_maximum(n, top)
        near = row[_RIVALS] * math.exp(gap * (high - top) + 0.5 * high * gap * gap)
        out[_PEAK], out[_NEAR] = top * (1.0 - gap), min(max(near, 1.0), n)
        none, slope = row[_NONE], row[_NONE_RATE]
        if none <= 0.0:
            out[_EMPTY] = math.inf
            continue
        empty = max(-math.log(min(none / n, 1.0)), 1e-300)
        out[_VOID], out[_EMPTY] = none, empty
        out[_DECLINE] = min(max(slope / none / empty, 0.0), 1.0)
        # s^2 P2 / 2 + s^3 (P3 - P2^2), the variance of pairs given a large sum.
        pairs = s * s * (0.5 * p2 + s * (p3 - p2 * p2))
        link = slope * p2 * s - 0.5 * row[_NONE_SQUARE]
        scatter = none - row[_NONE_TWICE] - slope * slope / s
        out[_LINK] = link / pairs
        out[_LOOSE] = math.sqrt(max(scatter - link * link / pairs, 0.0))
    return law
