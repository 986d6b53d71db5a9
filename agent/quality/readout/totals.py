"""Sums and largest values over all cells of a cake, taken once for all who ask."""

from __future__ import annotations

from typing import NamedTuple

from ringwatch.agent.nouns import Cake
from ringwatch.agent.quality.readout.pixel_kernels import sum_up

__all__ = ["Totals"]


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

    @classmethod
    def of_cake(cls, cake: Cake) -> Totals:
        """Sum up all cells."""
        return cls(*sum_up(cake.pixels, cake.total, cake.maximum, cake.saturated))
