"""The pass over a frame of integers that suits its counts."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.integer_kernel import RECORD, add_cells, unpack_cells
from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.packed_kernel import (
    PACKED,
    Packing,
    add_packed,
    add_some,
    sum_some,
    unpack_packed,
)

__all__ = ["CellPasses"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FEW = 6
"""One in 2^6 pixels is few: so many may be looked at one by one."""


class CellPasses:
    """Sums frames of integers per cell; not for several threads at once.

    Frames of few counts a pixel have a pass that takes two thirds of the time. Which
    one a frame gets depends on the one before; the sums do not depend on it.

    Parameters
    ----------
    binning : Binning

    Attributes
    ----------
    bright : bool
        Whether too many counts of the last frame could not be packed.
    """

    def __init__(self, binning: Binning) -> None:
        self._binning = binning
        self._packings: dict[int, Packing | None] = {}
        self.bright = False

    def add(
        self,
        flat: NDArray[np.generic],
        limit: int,
        odd: NDArray[np.int32],
        moments: tuple[Floats, Floats, Floats],
        zeros: Integers,
    ) -> tuple[int, float]:
        """Sum a frame; list the pixels that are odd, which no sum holds.

        Parameters
        ----------
        flat : (y * x,) integers
        limit : int
            From so many counts on a pixel is odd, as negative ones are.
        odd : (y * x,) int32
            Gets the indices of the odd pixels.
        moments : (n_q, 32) float64, three of them
            Get total, squares and maximum.
        zeros : (n_q, 32) int64
            Gets the pixels that are 0.

        Returns
        -------
        found : int
            Odd pixels.
        masked : float
            Sum of the others under the mask.
        """
        packing = self._packing(limit)
        if packing is None or self.bright:
            found = add_cells(flat, self._place, np.uint64(limit), self._records, odd)
            masked = unpack_cells(self._records, *moments, zeros)
            self.bright = packing is None or _is_bright(moments[2], packing)
            return found, masked
        found = add_packed(flat, self._place, packing.table, self._packed, odd)
        unpack_packed(self._packed, packing.squares, packing.zeros, *moments, zeros)
        masked, listed = sum_some(flat, self._under_mask, limit), found
        if found:
            cell = self._binning.cell
            found = add_some(flat, cell, MASKED_CELL, odd[:found], limit, *moments)
        # Markers and other odd pixels are listed by either pass.
        self.bright = listed - found > flat.size >> _FEW
        return found, masked

    def _packing(self, limit: int) -> Packing | None:
        if limit not in self._packings:
            most = int(self._binning.pixels.max())
            self._packings[limit] = Packing.of(most, limit)
        return self._packings[limit]

    @cached_property
    def _place(self) -> NDArray[np.uint16]:
        """Record of each pixel: sector by sector, that of the mask behind all."""
        bins, cell = self._binning.q.size, self._binning.cell
        place = (cell % SECTORS).astype(np.int64) * bins + cell // SECTORS
        place[cell == MASKED_CELL] = bins * SECTORS
        return place.astype(np.uint16)

    @cached_property
    def _records(self) -> NDArray[np.uint64]:
        return self._empty(RECORD)

    @cached_property
    def _packed(self) -> NDArray[np.uint64]:
        return self._empty(PACKED)

    def _empty(self, numbers: int) -> NDArray[np.uint64]:
        cells = self._binning.q.size * SECTORS
        return np.zeros((cells + 1) * numbers, np.uint64)

    @cached_property
    def _under_mask(self) -> NDArray[np.int32]:
        """Indices of the pixels under the mask."""
        masked = self._binning.cell == MASKED_CELL
        return np.flatnonzero(masked).astype(np.int32)


def _is_bright(maximum: Floats, packing: Packing) -> bool:
    """Whether too many cells hold counts that cannot be packed."""
    bright = int(np.count_nonzero(maximum >= packing.table.size))
    return bright > maximum.size >> _FEW
