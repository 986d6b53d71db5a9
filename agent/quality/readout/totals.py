"""Sums and largest values over all cells of a cake, taken once for all who ask."""

from __future__ import annotations

import weakref
from collections import deque
from typing import NamedTuple

from ringwatch.agent.nouns import Cake
from ringwatch.agent.quality.readout.pixel_kernels import sum_up

__all__ = ["Totals", "totals_of"]


class Totals(NamedTuple):
    """What one pass over all cells tells of a frame.

    Attributes
    ----------
    pixels : int
        Usable pixels.
    counts : float
        Raw counts.
    brightest : float
        Largest sum of a cell, counts; 0 where all are below.
    top : float
        Largest pixel, counts.
    at_top : int
        Cells whose largest pixel is that one; means nothing where it is 0.
    saturated : int
        Saturated pixels.
    flat_cells : int
        Cells of ``FLAT_PIXELS`` pixels or more that all hold the same value of at least
        ``FLAT`` counts.
    empty_cells : int
        Cells with pixels whose sum is 0.
    """

    pixels: int
    counts: float
    brightest: float
    top: float
    at_top: int
    saturated: int
    flat_cells: int
    empty_cells: int


_Kept = tuple[weakref.ref[object], ...]

_last: deque[tuple[_Kept, Totals]] = deque(maxlen=1)


def totals_of(cake: Cake) -> Totals:
    """Totals of a cake; those of the last one asked for are still known."""
    if _last:
        (pixels, total, maximum, saturated), known = _last[0]
        if (
            total() is cake.total
            and pixels() is cake.pixels
            and maximum() is cake.maximum
            and saturated() is cake.saturated
        ):
            return known
    cells = cake.pixels, cake.total, cake.maximum, cake.saturated
    totals = Totals(*sum_up(*cells))
    _last.append((tuple(weakref.ref(array) for array in cells), totals))
    return totals
