"""Where the rings' centre is when it is far from where the geometry says.

A straight line through a set of concentric rings is mirror-symmetric about the foot of
the perpendicular from their centre, whatever the rings' radii. Two sectors that face
each other make such a line through the assumed centre; its self-convolution peaks at
the foot, ``t = dx cos(chi) + dy sin(chi)``. The 16 lines of a cake vote for (dx, dy).
It needs neither a reference nor rings in the (smeared) mean profile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import maximum_filter1d

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.geometry.search_kernels import (
    join_lines,
    mirror_alone,
    score_at,
    sharp_structure,
    sharpen,
    vote,
)

__all__ = [
    "COINCIDES",
    "Coincidence",
    "Symmetry",
    "measure_coincidence",
    "search_center",
]

COINCIDES = 0.5
"""Correlation of sectors about the right centre, at least."""

_LINES = SECTORS // 2
_LEAST_OVERLAP = 120.0  # bins that face each other
_SELF = 7  # bins either side of the foot, where a peak would mirror itself
_REACH = 64.0  # px
_GRID = 2.0  # px


@dataclass(frozen=True, slots=True, kw_only=True)
class Symmetry:
    """Outcome of the search.

    Attributes
    ----------
    dx, dy : float
        Most symmetric centre relative to that of the geometry, pixels.
    score : float
        Mean correlation of the mirrored lines; 1 is perfect.
    z : float
        ``score`` over its standard deviation for lines without any symmetry.
    """

    dx: float
    dy: float
    score: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coincidence:
    """Whether the sharp structure of different sectors lies at the same radii.

    Attributes
    ----------
    correlation : float
        Mean correlation between sectors, -1..1.
    z : float
        The same over its standard deviation for unrelated sectors.
    sectors : int
        Sectors with sharp structure.
    """

    correlation: float
    z: float
    sectors: int


def measure_coincidence(profiles: Profiles) -> Coincidence:
    """Correlate all pairs of sectors that hold structure sharper than 21 bins."""
    texture, structured = _texture(profiles)
    texture = texture[structured]
    n = texture.shape[0]
    if n < 2:
        return Coincidence(correlation=math.nan, z=math.nan, sectors=n)
    energy = np.einsum("si,si->s", texture, texture)
    whole = texture.sum(axis=0)
    pairs = float(whole @ whole - energy.sum())
    bins = texture.shape[1]
    size = next_fast_len(2 * bins, real=True)
    spectrum = rfft(texture, size)
    power = spectrum.real**2 + spectrum.imag**2
    # Bartlett: the variance of a correlation between two unrelated series is the sum
    # of the products of their autocorrelations; by Parseval, of their spectra.
    every = power.sum(axis=0)
    both = 2 * float(every @ every - np.einsum("sf,sf->", power, power))
    variance = both * (2 / size) / bins
    return Coincidence(
        correlation=pairs / float(np.sqrt(energy).sum() ** 2 - energy.sum()),
        z=pairs / math.sqrt(max(variance, 1e-300)),
        sectors=n,
    )


def search_center(profiles: Profiles) -> Symmetry | None:
    """Look for the most symmetric centre within 64 px.

    None where fewer than three lines have pixels on both sides.
    """
    pitch = profiles.pitch / 2  # of the feet
    correlation, overlap = _mirror(profiles)
    usable = (overlap > _LEAST_OVERLAP).all(axis=1)
    if usable.sum() < 3:
        return None
    correlation, overlap = correlation[usable], overlap[usable]
    chi = (np.flatnonzero(usable) + 0.5) * 2 * math.pi / SECTORS
    directions = np.stack([np.cos(chi), np.sin(chi)], axis=1)
    first = -(correlation.shape[1] // 2) * pitch
    width = max(round(1.5 * _GRID / pitch) | 1, 3)
    wide = maximum_filter1d(correlation, width, axis=1)
    dx, dy = vote(wide, first, pitch, directions, _REACH, _GRID)
    dx, dy = sharpen(correlation, first, pitch, directions, dx, dy)
    score = score_at(correlation, first, pitch, directions, dx, dy)
    lines = float(np.median(overlap)) / 2 * int(usable.sum())
    return Symmetry(
        dx=dx,
        dy=dy,
        score=score,
        # the sharp structure is a few bins wide: so many bins are independent
        z=score * math.sqrt(lines / 3),
    )


def _texture(profiles: Profiles) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Sharp structure of each sector (32, n_q); which sectors hold enough of it."""
    bins, sectors = profiles.sector.shape
    texture, structured = np.empty((sectors, bins)), np.empty(sectors, np.bool_)
    sharp_structure(
        profiles.sector,
        profiles.norm,
        profiles.mean,
        profiles.variance,
        texture,
        structured,
    )
    return texture, structured


def _mirror(profiles: Profiles) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of each line with its mirror image about the feet near the middle.

    Entry k belongs to the foot at k / 2 bins from the first; with the number of bins
    that face each other.
    """
    texture, _ = _texture(profiles)
    inner = max(round(profiles.radius[0] / profiles.pitch - 0.5), 0)
    length = 2 * (inner + profiles.radius.size)
    reach = min(int(2 * (_REACH + 4) / profiles.pitch), length - 1)
    # So long that what wraps around stays off the feet within reach.
    size = next_fast_len(length + reach, real=True)
    joined = np.zeros((3, _LINES, size))
    join_lines(texture, profiles.norm, inner, joined)
    values, where, squares = rfft(joined)
    mirrored = irfft(np.stack([values * values, squares * where, where * where]), size)
    correlation, overlap = np.empty((2, _LINES, 2 * reach + 1))
    mirror_alone(joined, length, _SELF, _LEAST_OVERLAP, mirrored, correlation, overlap)
    return correlation, overlap
