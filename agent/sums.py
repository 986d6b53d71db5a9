"""From the pixels of a frame to the sums of its cells, or of its rings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.cell_passes import CellPasses
from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.integer_kernel import (
    MOST_COUNTS,
    SPARE_BITS,
    add_rings,
    settle,
    unpack_rings,
)
from ringwatch.agent.kernel import COUNTS, one_pass
from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.pixel_values import marker_of, saturation_of

__all__ = ["Summation", "Sums", "SumsMany", "per_cell"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """Sums of a frame over its cells, as ``Cake`` has them, and what it lacks.

    Attributes
    ----------
    total, squares, maximum : (n_q, 32) float64
    zeros, saturated, pixels : (n_q, 32) int64
        ``pixels`` and ``saturated`` may be shared with other frames: not to be changed.
    counts : (3,) int64
        Pixels that are negative, that are no number of counts, that are marked.
    missing : (n,) int32
        Indices of the pixels outside the mask that hold no counts.
    masked_total : float
        Sum of the positive counts under the mask.
    """

    total: Floats
    squares: Floats
    maximum: Floats
    zeros: Integers
    saturated: Integers
    pixels: Integers
    counts: Integers
    missing: NDArray[np.int32]
    masked_total: float


class SumsMany(Protocol):
    """What sums many frames at once."""

    def by_cell(self, frames: Sequence[NDArray[Any]]) -> list[Sums]:
        """Sums of frames of integers (each (y * x,)), all of one type."""


class Summation:
    """Sums frames of one binning; not for several threads at once.

    Parameters
    ----------
    binning : Binning
    saturation : float or None
        Count at which a pixel is saturated; by default from the frame's type.
    """

    def __init__(self, binning: Binning, saturation: float | None) -> None:
        self._binning = binning
        self._saturation = saturation
        self._passes = CellPasses(binning)
        self._odd = np.empty(binning.cell.size, np.int32)  # all pixels may be
        self._none = np.zeros(binning.pixels.shape, np.int64)

    @cached_property
    def _ring(self) -> NDArray[np.uint16]:
        """Bin of each pixel, that of the mask behind all."""
        cell, bins = self._binning.cell, self._binning.q.size
        return np.where(cell == MASKED_CELL, bins, cell // SECTORS).astype(np.uint16)

    @cached_property
    def _ring_sums(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        bins = self._binning.q.size
        return np.zeros(bins + 1, np.uint64), np.zeros(bins + 1, np.uint64)

    def by_cell(self, flat: NDArray[np.generic]) -> Sums:
        """Sum the pixels (y * x,) of a frame per cell."""
        if flat.dtype.kind == "f":
            return self._of_floats(flat)
        shape = self._binning.pixels.shape
        moments = np.empty(shape), np.empty(shape), np.empty(shape)
        zeros = np.empty(shape, np.int64)
        limit = self.odd_from(flat.dtype)
        found, masked = self._passes.add(flat, limit, self._odd, moments, zeros)
        return self.with_odd(flat, self._odd[:found], moments, zeros, masked)

    def with_odd(
        self,
        flat: NDArray[np.generic],
        odd: NDArray[np.int32],
        moments: tuple[Floats, Floats, Floats],
        zeros: Integers,
        masked: float,
    ) -> Sums:
        """Complete the sums over a frame of integers by the pixels that are odd.

        Parameters
        ----------
        flat : (y * x,) integers
        odd : (n,) int32
            Indices of the pixels of ``odd_from`` counts or more, and of negative ones,
            in rising order; written over.
        moments : (n_q, 32) float64, three of them
            Total, squares and maximum of the others; written over.
        zeros : (n_q, 32) int64
        masked : float
            Sum of the others under the mask.
        """
        total, squares, maximum = moments
        counts, saturated = np.zeros(COUNTS, np.int64), self._none
        if odd.size:
            saturated = np.zeros(total.shape, np.int64)
            missing, more = settle(
                flat,
                self._binning.cell,
                MASKED_CELL,
                odd,
                saturation_of(flat.dtype, self._saturation),
                marker_of(flat.dtype),
                total.reshape(-1),
                squares.reshape(-1),
                maximum.reshape(-1),
                saturated.reshape(-1),
                counts,
            )
            odd, masked = odd[:missing], masked + more
        pixels = self._binning.pixels
        if odd.size:
            pixels = pixels - per_cell(self._binning, odd).astype(np.int64)
        return Sums(
            total=total,
            squares=squares,
            maximum=maximum,
            zeros=zeros,
            saturated=saturated,
            pixels=pixels,
            counts=counts,
            missing=odd,
            masked_total=masked,
        )

    def odd_from(self, dtype: np.dtype[Any]) -> int:
        """From which count on a pixel of a cell is looked at by itself."""
        return int(self._limit(dtype, self._most_in_cell))

    @cached_property
    def _most_in_cell(self) -> int:
        return int(max(self._binning.pixels.max(), self._binning.masked))

    def by_ring(
        self, flat: NDArray[np.generic]
    ) -> tuple[Floats, Integers, Integers, NDArray[np.int32]]:
        """Sum the pixels (y * x,) of a frame of integers per ring.

        Returns
        -------
        total : (n_q,) float64
        zeros, pixels : (n_q,) int64
        missing : (n,) int32
            As in ``Sums``.
        """
        bins = self._binning.q.size
        total, zeros = np.empty(bins), np.empty(bins, np.int64)
        whole = self._ring_pixels
        limit = self._limit(flat.dtype, self._most_in_ring)
        even, uneven = self._ring_sums
        odd = self._odd[: add_rings(flat, self._ring, limit, even, uneven, self._odd)]
        unpack_rings(even, uneven, total, zeros)
        if not odd.size:
            return total, zeros, whole, odd
        missing, _ = settle(
            flat,
            self._ring,
            bins,
            odd,
            saturation_of(flat.dtype, self._saturation),
            marker_of(flat.dtype),
            total,
            np.zeros(bins),
            np.zeros(bins),
            np.zeros(bins, np.int64),
            np.zeros(COUNTS, np.int64),
        )
        odd = odd[:missing]
        lost = np.bincount(self._ring[odd], minlength=bins)[:bins]
        return total, zeros, whole - lost, odd

    @cached_property
    def _ring_pixels(self) -> Integers:
        pixels: Integers = self._binning.pixels.sum(axis=1)
        return pixels

    @cached_property
    def _most_in_ring(self) -> int:
        return int(max(self._ring_pixels.max(), self._binning.masked))

    def _limit(self, dtype: np.dtype[Any], most: int) -> np.uint64:
        """From which count on a pixel is looked at by itself.

        Parameters
        ----------
        dtype : numpy.dtype
            Of the frame.
        most : int
            Pixels of the largest cell; their counts must fit its sum.
        """
        saturation = saturation_of(dtype, self._saturation)
        told = filter(math.isfinite, (saturation, marker_of(dtype)))
        limits = [MOST_COUNTS, (1 << SPARE_BITS - 1) // max(most, 1)]
        return np.uint64(min(*limits, *(max(math.ceil(value), 1) for value in told)))

    def _of_floats(self, flat: NDArray[np.generic]) -> Sums:
        shape = self._binning.pixels.shape
        total, squares, maximum = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        zeros, saturated, pixels = (np.zeros(shape, np.int64) for _ in range(3))
        counts = np.zeros(COUNTS, np.int64)
        missing, masked = one_pass(
            flat,
            self._binning.cell,
            saturation_of(flat.dtype, self._saturation),
            total.reshape(-1),
            squares.reshape(-1),
            maximum.reshape(-1),
            zeros.reshape(-1),
            saturated.reshape(-1),
            pixels.reshape(-1),
            counts,
            self._odd,
        )
        return Sums(
            total=total,
            squares=squares,
            maximum=maximum,
            zeros=zeros,
            saturated=saturated,
            pixels=pixels,
            counts=counts,
            missing=self._odd[:missing],
            masked_total=masked,
        )


def per_cell(
    binning: Binning,
    pixels: NDArray[np.int32],
    values: NDArray[np.floating] | None = None,
) -> Floats:
    """Sum values of some pixels per cell, (n_q, 32); without values count them.

    Parameters
    ----------
    binning : Binning
    pixels : (n,) int32
        Indices.
    values : (y * x,) float, optional
    """
    cells = binning.cell[pixels]
    used = cells != MASKED_CELL
    weights = None if values is None else values[pixels[used]].astype(np.float64)
    return (
        np.bincount(
            cells[used].astype(np.int64),
            weights=weights,
            minlength=binning.q.size * SECTORS,
        )
        .astype(np.float64)
        .reshape(-1, SECTORS)
    )
