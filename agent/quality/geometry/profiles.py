"""Radial profiles of one frame, whole and by sector, from its cake."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import SECTORS, Cake
from ringwatch.agent.quality.geometry.ring_kernels import (
    LIT,
    MEAN,
    RAW,
    VARIANCE,
    WHOLE,
    blur_sectors,
    move_sectors,
    sum_cells,
    sum_sectors,
)

__all__ = [
    "Profiles",
    "blurred",
    "dispersion",
    "make_profiles",
    "profiles_of",
    "recentre",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiles:
    """Radial profiles of a frame, whole and by sector.

    Attributes
    ----------
    radius : (n_q,) float64
        Pixels on an untilted detector.
    step : (n_q,) float64
        Width of a bin in the same pixels.
    pitch : float
        Median of ``step``, pixels.
    distance : float
        Sample to detector along the beam, pixels; NaN where nobody told.
    sector : (n_q, 32) float64
        Dark-subtracted counts per pixel at normal incidence; 0 where nothing is.
    norm : (n_q, 32) float64
        Solid angle times polarization, summed over usable pixels.
    whole : (n_q,) float64
        ``norm`` summed over the sectors.
    lit : (n_q,) float64
        Sectors that hold pixels.
    mean : (n_q,) float64
        Mean over the azimuth, counts per pixel.
    variance : (n_q,) float64
        Expected variance of ``sector`` times ``norm``: raw counts per pixel.
    raw : (n_q,) float64
        Variance of the bin's counts by Poisson statistics alone, counts squared.
    dispersion : float
        Variance over mean of the pixels between the rings (Fano factor), at least 1/4.
    counts, dark_counts : float
        Sum of the frame's raw counts over all cells, and of the dark's.
    moved : float
        Pixels by which ``recentre`` moved the centre.
    """

    radius: Floats
    step: Floats
    pitch: float
    distance: float = math.nan
    sector: Floats
    norm: Floats
    whole: Floats
    lit: Floats
    mean: Floats
    variance: Floats
    raw: Floats
    dispersion: float = 1.0
    counts: float = math.nan
    dark_counts: float = math.nan
    moved: float = 0.0


def make_profiles(cake: Cake, binning: Binning, dark_frames: int = 0) -> Profiles:
    """Profiles of a frame that has a geometry.

    Parameters
    ----------
    cake : Cake
    binning : Binning
        With a geometry.
    dark_frames : int
        Darks averaged, 0 where none was subtracted.
    """
    sector = np.empty_like(cake.norm)
    sums = np.empty((5, binning.radius.size))
    share = 1.0 / dark_frames if dark_frames else 0.0
    counts, dark_counts, fano, as_it_is = sum_cells(
        cake.total,
        cake.total_sq,
        cake.dark,
        cake.pixels,
        cake.norm,
        share,
        sector,
        sums,
    )
    norm = cake.norm
    if not as_it_is:
        norm = np.where((cake.pixels > 0) & (norm > 0), norm, 0.0)
    return Profiles(
        radius=binning.radius,
        step=binning.step,
        pitch=binning.pitch,
        distance=binning.distance,
        sector=sector,
        norm=norm,
        dispersion=fano,
        counts=counts,
        dark_counts=dark_counts,
        **_named(sums),
    )


def dispersion(cake: Cake) -> float:
    """Variance over mean of the pixels between the rings (Fano factor), at least 1/4.

    1 for a photon counter; gain, read-out noise and zingers of an integrating detector
    make it larger. The lower quartile over the bins: where rings are dense, their
    slopes and grains still do not count. For frames without a geometry; the profiles
    of others know theirs.
    """
    return sum_cells(
        cake.total,
        cake.total_sq,
        cake.dark,
        cake.pixels,
        cake.norm,
        0.0,
        np.empty_like(cake.norm),
        np.empty((5, cake.norm.shape[0])),
    )[2]


def profiles_of(
    net: Floats,
    raw: Floats,
    norm: Floats,
    radius: Floats,
    distance: float = math.nan,
) -> Profiles:
    """Profiles from sums per cell, shape (n_q, sectors); ``raw`` is the variance."""
    step = np.gradient(radius)
    sector, used, sums = _summed(net, raw, norm)
    return Profiles(
        radius=radius,
        step=step,
        pitch=float(np.median(step)),
        distance=distance,
        sector=sector,
        norm=used,
        **_named(sums),
    )


def _summed(net: Floats, raw: Floats, norm: Floats) -> tuple[Floats, ...]:
    """Counts per pixel and weight of each cell, and the sums over the azimuth."""
    sector, used = np.empty_like(net), np.empty_like(net)
    sums = np.empty((5, net.shape[0]))
    sum_sectors(net, raw, norm, sector, used, sums)
    return sector, used, sums


def _named(sums: Floats) -> dict[str, Any]:
    return {
        "whole": sums[WHOLE],
        "lit": sums[LIT],
        "mean": sums[MEAN],
        "variance": sums[VARIANCE],
        "raw": sums[RAW],
    }


def _read_anew(profiles: Profiles, read: Floats, moved: float) -> Profiles:
    """The same bins with other contents: net counts, variance, weight (3, n_q, 32)."""
    sector, used, sums = _summed(read[0], read[1], read[2])
    return Profiles(
        radius=profiles.radius,
        step=profiles.step,
        pitch=profiles.pitch,
        distance=profiles.distance,
        sector=sector,
        norm=used,
        moved=moved,
        **_named(sums),
    )


def recentre(
    profiles: Profiles,
    dx: float,
    dy: float,
    tilt: tuple[float, float] = (0.0, 0.0),
) -> Profiles:
    """Read the same sectors as if the geometry's centre were (dx, dy) pixels away.

    Linear interpolation along the radius; the sectors keep their direction, which holds
    while the offset is small against the radius. ``tilt`` (along x, along y; 1/px)
    moves a ring by ``r^2 tilt`` besides.
    """
    chi = -math.pi + (np.arange(SECTORS) + 0.5) * 2 * math.pi / SECTORS
    cosine, sine = np.cos(chi), np.sin(chi)
    shift = np.stack(
        [
            dx * cosine + dy * sine,
            dx * sine - dy * cosine,
            tilt[0] * cosine + tilt[1] * sine,
        ]
    )
    read = np.empty((3, *profiles.sector.shape))
    move_sectors(
        profiles.sector, profiles.norm, profiles.variance, profiles.radius, shift, read
    )
    return _read_anew(profiles, read, math.hypot(dx, dy))


def blurred(profiles: Profiles) -> Profiles:
    """The same profiles, blurred along the radius by 1:2:1.

    Rings of less than two bins stick to the grid of bins and pixels: as they are, a
    move of half a pixel reads a third too small (CeO2 on a Pilatus 1M).
    """
    read = np.empty((3, *profiles.sector.shape))
    blur_sectors(profiles.sector, profiles.norm, profiles.variance, read)
    return _read_anew(profiles, read, profiles.moved)
