"""From pixels to a cake to a pattern: one pass over the frame, pyFAI's geometry.

Pixels of ``NO_COUNT`` (1e18) or more, either side of 0, are no numbers of counts: they
are left out and counted as those are that are NaN or infinite.

The pass needs raw sums only: normalisation and dark are linear and the same for every
frame, so they are kept per cell and corrected for the few pixels that a frame lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ringwatch.agent.dark import Dark
from ringwatch.agent.errors import GeometryError
from ringwatch.agent.geometry import Binning
from ringwatch.agent.kernel import MARKED, NEGATIVE, NON_FINITE
from ringwatch.agent.nouns import Cake, Pattern
from ringwatch.agent.pixel_values import flat_pixels, marker_of
from ringwatch.agent.robust_kernel import sum_sound_sectors
from ringwatch.agent.second_look import Frame, SecondLook
from ringwatch.agent.sums import Summation, Sums, SumsMany, per_cell

__all__ = ["Reduction"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Reduction:
    """Reduces frames of one shape with one geometry, mask and dark policy.

    Not for several threads at once. What is the same for all frames is shared between
    their cakes (``pixels``, ``norm``, ``dark``, ``saturated`` where none is): these
    arrays are not to be changed.

    Parameters
    ----------
    binning : Binning
        Static map from pixels to cells.
    saturation : float, optional
        Count at which a pixel is saturated; by default from the frame's type.
    many : SumsMany, optional
        What makes ``sums``, such as a GPU.
    """

    def __init__(
        self,
        binning: Binning,
        *,
        saturation: float | None = None,
        many: SumsMany | None = None,
    ) -> None:
        self.binning = binning
        self.saturation = saturation
        self._many = many
        self._summation = Summation(binning, saturation)
        self._second_look = SecondLook(binning)
        self._no_dark = np.zeros_like(binning.norm)

    def can_sum_many(self, frame: NDArray[np.generic]) -> bool:
        """Whether such frames are summed many at once."""
        whole = frame.shape == self.binning.shape and frame.dtype.kind in "iu"
        return self._many is not None and whole

    def sums(self, frames: Sequence[NDArray[np.generic]]) -> list[Sums]:
        """Sum frames (each (y, x)) of one type of integers, many at once.

        To the same bits as ``cake`` sums each by itself.
        """
        assert self._many is not None
        shape = self.binning.shape
        return self._many.by_cell([flat_pixels(frame, shape) for frame in frames])

    def cake(
        self,
        frame: NDArray[np.generic],
        dark: Dark | None = None,
        *,
        look_again: bool = True,
        sums: Sums | None = None,
    ) -> Cake:
        """Sum one frame per cell.

        Parameters
        ----------
        frame : (y, x) array
            Raw counts, any integer or floating type, either byte order.
        dark : Dark, optional
            Made by ``prepare_dark``.
        look_again : bool
            Whether to look at few pixels again, for the flags that need them.
        sums : Sums, optional
            Of this frame, where they were made before.

        Raises
        ------
        FrameShapeError
            Where the frame does not fit the binning.
        """
        binning = self.binning
        flat = flat_pixels(frame, binning.shape)
        sums = self._summation.by_cell(flat) if sums is None else sums
        missing = sums.missing
        norm = binning.norm
        dark_total = self._no_dark if dark is None else dark.total
        if missing.size:
            norm = norm - per_cell(binning, missing, binning.weight)
            if dark is not None:
                dark_total = dark_total - per_cell(binning, missing, dark.pixels)
        cake = Cake(
            pixels=sums.pixels,
            total=sums.total,
            total_sq=sums.squares,
            maximum=sums.maximum,
            zeros=sums.zeros,
            saturated=sums.saturated,
            norm=norm,
            dark=dark_total,
            negative=int(sums.counts[NEGATIVE]),
            non_finite=int(sums.counts[NON_FINITE]),
            marked=int(sums.counts[MARKED]),
            masked=binning.masked,
            masked_total=sums.masked_total,
            shape=binning.shape,
            checksum=isal_zlib.crc32(flat.data),
        )
        if not look_again:
            return cake
        again = Frame(
            pixels=flat,
            cake=cake,
            marker=marker_of(flat.dtype),
            signed=flat.dtype.kind == "f" and cake.negative > 0,
        )
        below = None if dark is None else (dark.pixels, dark.pattern, dark.frames)
        return self._second_look.complete(again, below)

    def pattern(self, cake: Cake, dark: Dark | None = None) -> Pattern:
        """Intensity against q, as pyFAI's ``integrate1d_ng`` without pixel splitting.

        The variance of a bin is its raw counts, a pixel of 0 counting as 1 (as in
        pyFAI's Poisson model), plus the dark's counts over the number of dark frames.
        Where a dark was subtracted before, and less is left than one count a pixel, it
        is one count a pixel.

        Raises
        ------
        GeometryError
            Without a geometry there is no q.
        """
        binning = self.binning
        whole = cake.pixels is binning.pixels and cake.norm is binning.norm
        pixels, norm = (
            self._whole if whole else (cake.pixels.sum(axis=1), cake.norm.sum(axis=1))
        )
        total, dark_total = cake.total.sum(axis=1), None
        variance = total + cake.zeros.sum(axis=1)
        if cake.negative:
            variance = np.maximum(variance, pixels)
        if cake.dark is not self._no_dark:
            dark_total = cake.dark.sum(axis=1)
        return self._pattern(total, variance, pixels, norm, dark_total, dark)

    def robust_pattern(self, cake: Cake, dark: Dark | None = None) -> Pattern:
        """The pattern of the sectors in which no spot or zinger stands out.

        Sectors of a ring that are further above its median than four standard
        deviations, by counting statistics or by their scatter, are left out (none where
        these would be more than a quarter of the ring). ``sigma`` is that of the
        others, and ``coverage`` tells what is missing.

        Raises
        ------
        GeometryError
            Without a geometry there is no q.
        """
        sums = np.empty((5, self.binning.q.size))
        cells = cake.total, cake.zeros, cake.pixels, cake.norm, cake.dark
        sum_sound_sectors(*cells, sums)
        total, zeros, pixels, norm, dark_total = sums
        variance = total + zeros
        if cake.negative:
            variance = np.maximum(variance, pixels)
        below = None if cake.dark is self._no_dark else dark_total
        return self._pattern(total, variance, pixels, norm, below, dark)

    def plain_pattern(
        self, frame: NDArray[np.generic], dark: Dark | None = None
    ) -> Pattern:
        """The pattern alone, to the same bits as by way of a cake, but sooner.

        For those who ask for no flags. Frames of integers; floating point goes by way
        of a cake.

        Parameters
        ----------
        frame : (y, x) array
        dark : Dark, optional

        Raises
        ------
        FrameShapeError
            Where the frame does not fit the binning.
        GeometryError
            Without a geometry there is no q.
        """
        flat = flat_pixels(frame, self.binning.shape)
        if flat.dtype.kind == "f" or not self.binning.has_geometry:
            return self.pattern(self.cake(frame, dark, look_again=False), dark)
        total, zeros, pixels, missing = self._summation.by_ring(flat)
        norm = self._whole[1]
        dark_total = None if dark is None else dark.total.sum(axis=1)
        if missing.size:
            lacking = per_cell(self.binning, missing, self.binning.weight)
            norm = (self.binning.norm - lacking).sum(axis=1)
            if dark is not None:
                lacking = per_cell(self.binning, missing, dark.pixels)
                dark_total = (dark.total - lacking).sum(axis=1)
        return self._pattern(total, total + zeros, pixels, norm, dark_total, dark)

    @cached_property
    def _whole(self) -> tuple[Integers, Floats]:
        """Pixels and normalisation of each bin (n_q,) where a frame lacks nothing."""
        return self.binning.pixels.sum(axis=1), self.binning.norm.sum(axis=1)

    def _pattern(
        self,
        total: Floats,
        variance: Floats,
        pixels: Integers | Floats,
        norm: Floats,
        dark_total: Floats | None,
        dark: Dark | None,
    ) -> Pattern:
        if not self.binning.has_geometry:
            raise GeometryError("no pattern without a geometry: give a .poni file")
        measured = (pixels > 0) & (norm > 0)
        scale = np.where(measured, 1.0 / np.where(measured, norm, 1.0), 0.0)
        if dark_total is not None:
            total = total - dark_total
            if dark is not None:
                variance = variance + np.maximum(dark_total, 0.0) / dark.frames
        expected = np.maximum(self._whole[0], 1)
        return Pattern(
            q=self.binning.q,
            intensity=total * scale,
            sigma=np.sqrt(variance) * scale,
            coverage=np.where(measured, pixels / expected, 0.0),
        )

    def prepare_dark(self, frames: list[NDArray[np.generic]]) -> Dark:
        """Average dark frames (each (y, x)); invalid pixels count as 0.

        Raises
        ------
        FrameShapeError
            Where a dark does not fit the binning.
        """
        return Dark.of(self.binning, frames)
