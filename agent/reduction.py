"""From pixels to a cake to a pattern: one pass over the frame, pyFAI's geometry.

Pixels of ``NO_COUNT`` (1e18) or more, either side of 0, are no numbers of counts: they
are left out and counted as those are that are NaN or infinite.

The pass needs raw sums only: normalisation and dark are linear and the same for every
frame, so they are kept per cell and corrected for the few pixels that a frame lacks.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameShapeError, GeometryError
from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.kernel import (
    COUNTS,
    MARKED,
    MAXIMUM,
    MOMENTS,
    NEGATIVE,
    NO_COUNT,
    NON_FINITE,
    PIXELS,
    SATURATED,
    SQUARES,
    TOTAL,
    ZEROS,
    one_pass,
)
from ringwatch.agent.nouns import SECTORS, Cake, Pattern
from ringwatch.agent.pixel_lists import DarkPattern
from ringwatch.agent.second_look import Frame, SecondLook

__all__ = ["Dark", "Reduction", "saturation_of", "usable_counts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dark:
    """Mean dark frame, ready for the pass.

    Attributes
    ----------
    pixels : (y * x,) float64
        Mean counts; 0 where the dark has no valid value.
    total : (n_q, 32) float64
        Sum per cell.
    frames : int
        Number of frames averaged.
    pattern : DarkPattern or None
        Pixels that stand out of the others; None for a flat dark.
    """

    pixels: NDArray[np.float64]
    total: NDArray[np.float64]
    frames: int
    pattern: DarkPattern | None = None


def saturation_of(dtype: np.dtype[Any], setting: float | None = None) -> float:
    """Count at which a pixel is saturated; infinite where nobody can know.

    Without a setting: for unsigned integers two below the overflow, as Dectris writes
    them (the largest value marks an invalid pixel, the one below saturation); for
    signed ones the largest value; for floating point unknown.
    """
    if setting is not None:
        return float(setting)
    if dtype.kind == "u":
        return float(np.iinfo(dtype).max - 1)
    if dtype.kind == "i":
        return float(np.iinfo(dtype).max)
    return math.inf


class Reduction:
    """Reduces frames of one shape with one geometry, mask and dark policy.

    Parameters
    ----------
    binning : Binning
        Static map from pixels to cells.
    saturation : float, optional
        Count at which a pixel is saturated; by default from the frame's type.
    """

    def __init__(self, binning: Binning, *, saturation: float | None = None) -> None:
        self.binning = binning
        self.saturation = saturation
        self._missing = np.empty(binning.cell.size, np.int32)
        self._second_look = SecondLook(binning)

    def cake(
        self,
        frame: NDArray[np.generic],
        dark: Dark | None = None,
        *,
        look_again: bool = True,
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

        Raises
        ------
        FrameShapeError
            Where the frame does not fit the binning.
        """
        binning = self.binning
        flat = self._flat(frame)
        marker = self._marker(flat.dtype)
        moments = np.zeros((binning.q.size * SECTORS, MOMENTS))
        counts = np.zeros(COUNTS, np.int64)
        n_missing, masked_total = one_pass(
            flat,
            binning.cell,
            saturation_of(flat.dtype, self.saturation),
            marker,
            flat.dtype.kind == "f",
            moments,
            counts,
            self._missing,
        )
        missing = self._missing[:n_missing]
        norm = binning.norm - _per_cell(binning, missing, binning.weight)
        dark_total = np.zeros_like(norm)
        if dark is not None:
            dark_total = dark.total - _per_cell(binning, missing, dark.pixels)
        by_cell = moments.reshape(-1, SECTORS, MOMENTS)
        cake = Cake(
            pixels=by_cell[..., PIXELS].astype(np.int64),
            total=by_cell[..., TOTAL].copy(),
            total_sq=by_cell[..., SQUARES].copy(),
            maximum=by_cell[..., MAXIMUM].copy(),
            zeros=by_cell[..., ZEROS].astype(np.int64),
            saturated=by_cell[..., SATURATED].astype(np.int64),
            norm=norm,
            dark=dark_total,
            negative=int(counts[NEGATIVE]),
            non_finite=int(counts[NON_FINITE]),
            marked=int(counts[MARKED]),
            masked=binning.masked,
            masked_total=masked_total,
            shape=binning.shape,
            checksum=zlib.crc32(flat.data),
        )
        if not look_again:
            return cake
        again = Frame(
            pixels=flat,
            moments=moments,
            marker=marker,
            signed=flat.dtype.kind == "f" and counts[NEGATIVE] > 0,
        )
        below = None if dark is None else (dark.pixels, dark.pattern, dark.frames)
        return self._second_look.complete(cake, again, below)

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
        if not binning.has_geometry:
            raise GeometryError("no pattern without a geometry: give a .poni file")
        pixels = cake.pixels.sum(axis=1)  # (n_q,)
        norm = cake.norm.sum(axis=1)
        measured = (pixels > 0) & (norm > 0)
        scale = np.where(measured, 1.0 / np.where(measured, norm, 1.0), 0.0)
        dark_total = cake.dark.sum(axis=1)
        variance = cake.total.sum(axis=1) + cake.zeros.sum(axis=1)
        if cake.negative:
            variance = np.maximum(variance, pixels)
        if dark is not None:
            variance = variance + np.maximum(dark_total, 0.0) / dark.frames
        expected = binning.pixels.sum(axis=1)
        return Pattern(
            q=binning.q,
            intensity=(cake.total.sum(axis=1) - dark_total) * scale,
            sigma=np.sqrt(variance) * scale,
            coverage=np.where(measured, pixels / np.maximum(expected, 1), 0.0),
        )

    def prepare_dark(self, frames: list[NDArray[np.generic]]) -> Dark:
        """Average dark frames (each (y, x)); invalid pixels count as 0.

        Raises
        ------
        FrameShapeError
            Where a dark does not fit the binning.
        """
        total = np.zeros(self.binning.cell.size)
        for frame in frames:
            total += usable_counts(self._flat(frame))
        mean = total / len(frames)
        every = np.arange(mean.size, dtype=np.int32)
        return Dark(
            pixels=mean,
            total=_per_cell(self.binning, every, mean),
            frames=len(frames),
            pattern=DarkPattern.of(self.binning, mean),
        )

    def _flat(self, frame: NDArray[np.generic]) -> NDArray[np.generic]:
        if frame.shape != self.binning.shape:
            raise FrameShapeError(
                f"the frame has shape {frame.shape} (y, x) but the geometry is for "
                f"{self.binning.shape}"
            )
        if frame.dtype.kind not in "uif":
            raise FrameShapeError(
                f"pixels of type {frame.dtype} cannot be reduced: integers or floating "
                "point numbers are expected"
            )
        native = frame.astype(frame.dtype.newbyteorder("="), copy=False)
        if native.dtype == np.float16:
            native = native.astype(np.float32)
        return np.ascontiguousarray(native).ravel()

    @staticmethod
    def _marker(dtype: np.dtype[Any]) -> float:
        """Value that marks an invalid pixel: the largest unsigned one (Dectris).

        8-bit images are ordinary pictures: there the largest value is saturation.
        """
        if dtype.kind == "u" and dtype.itemsize > 1:
            return float(np.iinfo(dtype).max)
        return math.nan  # equal to nothing


def _per_cell(
    binning: Binning, pixels: NDArray[np.int32], values: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Sum ``values`` of some pixels per cell, shape (n_q, 32)."""
    if not pixels.size:
        return np.zeros((binning.q.size, SECTORS))
    cells = binning.cell[pixels]
    used = cells != MASKED_CELL
    return (
        np.bincount(
            cells[used].astype(np.int64),
            weights=values[pixels[used]].astype(np.float64),
            minlength=binning.q.size * SECTORS,
        )
        .astype(np.float64)
        .reshape(-1, SECTORS)
    )


def usable_counts(frame: NDArray[np.generic]) -> NDArray[np.float64]:
    """Counts of a dark frame of any shape as float64; invalid pixels are 0.

    What is invalid is as in ``Cake``; no mask is known here.
    """
    values = np.asarray(frame, np.float64)
    usable = np.abs(values) < NO_COUNT  # False for NaN
    usable &= values != Reduction._marker(frame.dtype)
    negative = usable & (values < 0)
    counts = negative & (values != -1) & (values != -2)
    if frame.dtype.kind != "f" or not counts.any():
        usable &= ~negative
    return np.where(usable, values, 0.0)
