"""What one pass over a frame yields: the cake, and the pattern that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SECTORS", "Cake", "DarkMatch", "EdgeSums", "Outliers", "Pattern"]

Floats = NDArray[np.float64]

SECTORS = 32
"""Azimuthal sectors of a cake, counted from chi = -180 degrees. Even, so that Friedel
pairs fall into sectors that face each other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outliers:
    """Pixels that hold far more than the rest of their ring's surroundings.

    Attributes
    ----------
    place : (n,) int32
        Index of the pixel in the flattened frame, rising.
    cell : (n,) int32
        Cell that it lies in, ``q_bin * 32 + sector``.
    value, expected : (n,) float64
        Counts of the pixel, and what the other pixels around it let expect.
    size : (n,) int32
        Pixels of the cluster of touching outliers that it belongs to: 1 for a hot pixel
        or a zinger, more for a Bragg spot.
    found : int
        All that there are; the arrays hold the first of them only where they are many.
    counts : float
        Counts above expectation of all that there are.
    fano : float
        Variance over mean of sound pixels, at least 1/4; the scale of all of this.
    """

    place: NDArray[np.int32]
    cell: NDArray[np.int32]
    value: Floats
    expected: Floats
    size: NDArray[np.int32]
    found: int
    counts: float
    fano: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeSums:
    """Counts along the edges of the mask: first axis outside, inside; second the side.

    Outside are unmasked pixels that touch the mask, inside are masked pixels that touch
    unmasked ones. The side (left, right, up, down) says where the mask is from an
    outside pixel, and where the open field is from an inside one: a mask that moved to
    the right lacks counts outside and shows some inside, both on the right. At most
    1024 pixels of a kind are looked at. All arrays (2, 4).

    Attributes
    ----------
    pixels : int64
        Pixels that hold a number, markers apart.
    marked : int64
        Pixels that the detector marked invalid.
    seen, expected : float64
        Counts above the dark, and what the cells next to the edge let expect; no pixel
        counts more than three times that (and ten counts), hot ones included.
    variance : float64
        Of ``seen - expected``, counts squared: counting statistics, or the scatter from
        cell to cell where grains or texture make it larger.
    """

    pixels: NDArray[np.int64]
    marked: NDArray[np.int64]
    seen: Floats
    expected: Floats
    variance: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkMatch:
    """How strongly the dark's own pattern of pixels shows in a frame.

    Attributes
    ----------
    slope : float
        Of the frame's pixels against those of the dark, within cells: 1 for the right
        dark, 2 for one of half the exposure, 0 for one of another detector.
    sigma : float
        Standard deviation of the slope; infinite for a dark without structure.
    """

    slope: float
    sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cake:
    """Moments of one frame per (q bin, azimuthal sector): one pass over the pixels.

    Only usable pixels count: not masked, a number of counts (finite, and less than 1e18
    either side of 0: no counter gets so far), no marker of an invalid pixel, and no
    negative integer. Markers are the largest value of an unsigned type, and -1 and -2,
    which a Pilatus writes into gaps and dead pixels. In a frame of floating point they
    are markers only if no other value is negative: where some are, a dark was
    subtracted, and -1 is a count. Raw counts, before any dark is subtracted here.

    Attributes
    ----------
    pixels : (n_q, 32) int64
        Usable pixels of this frame.
    total : (n_q, 32) float64
        Sum of the counts; exact for integers as long as a cell's sum is below 2^53.
    total_sq : (n_q, 32) float64
        Sum of the squared counts; exact likewise.
    maximum : (n_q, 32) float64
        Largest count, 0 where no pixel is usable.
    zeros, saturated : (n_q, 32) int64
        Usable pixels that are 0; pixels at or above the saturation value (those at the
        largest value of an unsigned type count here too, but in no sum).
    norm : (n_q, 32) float64
        Sum over usable pixels of solid angle times polarization, 1.
    dark : (n_q, 32) float64
        Sum of the dark frame over the same usable pixels; 0 without a dark.
    negative, non_finite, marked, masked : int
        Pixels of the frame (outside the mask) that are negative (markers apart), that
        are no number of counts (NaN, infinite, 1e18 or more either side of 0), or
        marked invalid by the detector; and pixels under the mask.
    masked_total : float
        Sum of the positive counts under the mask.
    shape : tuple of int
        (y, x) of the frame.
    checksum : int
        CRC-32 of the raw bytes.
    outliers : Outliers or None
        Pixels far brighter than their ring; None where nobody looked.
    edges : EdgeSums or None
        Counts along the edges of the mask; None where there is no mask, or no geometry.
    dark_match : DarkMatch or None
        How strongly the pattern of the dark shows in the frame; None without a dark.
    """

    pixels: NDArray[np.int64]
    total: NDArray[np.float64]
    total_sq: NDArray[np.float64]
    maximum: NDArray[np.float64]
    zeros: NDArray[np.int64]
    saturated: NDArray[np.int64]
    norm: NDArray[np.float64]
    dark: NDArray[np.float64]
    negative: int
    non_finite: int
    marked: int
    masked: int
    masked_total: float
    shape: tuple[int, int]
    checksum: int
    outliers: Outliers | None = None
    edges: EdgeSums | None = None
    dark_match: DarkMatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One-dimensional powder pattern.

    Attributes
    ----------
    q : (n,) float64
        Bin centres, 1/Angstrom.
    intensity : (n,) float64
        Dark-subtracted counts over normalisation, counts per pixel at normal incidence;
        0 where nothing was measured.
    sigma : (n,) float64
        Standard deviation of ``intensity`` by Poisson statistics, same unit.
    coverage : (n,) float64
        Usable pixels over all pixels that the geometry puts into the bin, 0..1.
    """

    q: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    coverage: NDArray[np.float64]

    def measured(self) -> tuple[Floats, Floats, Floats | None]:
        """Points (m,) as a classifier takes them; no sigma where one is not finite."""
        used = self.coverage > 0
        sigma = self.sigma[used] if np.isfinite(self.sigma[used]).all() else None
        return self.q[used], self.intensity[used], sigma
