"""The rings of one frame: where they are and how wide, from its own mean profile.

Nothing here knows the sample. A ring is a maximum of I(q) that stands out of counting
noise; flags that watch the geometry ask how these maxima move around the azimuth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, peak_widths

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import SECTORS, Cake

__all__ = [
    "Profiles",
    "Rings",
    "dispersion",
    "find_rings",
    "make_profiles",
    "profiles_of",
    "recentre",
]

_MOST_RINGS = 40
_STANDS_OUT = 8.0  # standard deviations of counting noise, in one bin
_PROMINENCE_BINS = 101  # far enough to see the foot of a broad ring
_LOWEST_RADIUS = 12.0  # px; nearer the beam a sector holds a pixel or two per bin


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiles:
    """Radial profiles of a frame, whole and by sector.

    Attributes
    ----------
    radius : (n_q,) float64
        Pixels on an untilted detector.
    step : (n_q,) float64
        Width of a bin in the same pixels.
    sector : (n_q, 32) float64
        Dark-subtracted counts per pixel at normal incidence; 0 where nothing is.
    norm : (n_q, 32) float64
        Solid angle times polarization, summed over usable pixels.
    mean : (n_q,) float64
        Mean over the azimuth, counts per pixel.
    variance : (n_q,) float64
        Expected variance of ``sector`` times ``norm``: raw counts per pixel.
    """

    radius: NDArray[np.float64]
    step: NDArray[np.float64]
    sector: NDArray[np.float64]
    norm: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rings:
    """Rings that stand out of the noise, by rising radius.

    Attributes
    ----------
    bins : (n,) int64
        Index of the maximum of each ring.
    fwhm : (n,) float64
        Full width at half maximum of each, pixels.
    width : float
        Median of ``fwhm``, pixels; NaN without rings.
    """

    bins: NDArray[np.int64]
    fwhm: NDArray[np.float64]
    width: float


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
    net = cake.total - cake.dark
    raw = cake.total + (cake.dark / dark_frames if dark_frames else 0.0)
    return profiles_of(net, raw * dispersion(cake), cake.norm, binning.radius)


def dispersion(cake: Cake) -> float:
    """Variance over mean of the pixels between the rings (Fano factor), at least 1/4.

    1 for a photon counter; gain, read-out noise and zingers of an integrating detector
    make it larger. The lower quartile over the bins: where rings are dense, their
    slopes and grains still do not count.
    """
    n = np.maximum(cake.pixels, 1)
    within = (cake.total_sq - cake.total**2 / n).sum(axis=1)
    free = np.maximum(cake.pixels - 1, 0).sum(axis=1)
    total = cake.total.sum(axis=1)
    used = (free > SECTORS) & (total > 20)
    if used.sum() < 10:
        return 1.0
    mean = total[used] / cake.pixels.sum(axis=1)[used]
    return max(float(np.quantile(within[used] / free[used] / mean, 0.25)), 0.25)


def profiles_of(
    net: NDArray[np.float64],
    raw: NDArray[np.float64],
    norm: NDArray[np.float64],
    radius: NDArray[np.float64],
) -> Profiles:
    """Profiles from sums per cell, shape (n_q, 32)."""
    used = norm > 0
    whole = norm.sum(axis=1)
    covered = whole > 0
    mean = np.zeros(radius.size)
    variance = np.ones(radius.size)
    np.divide(net.sum(axis=1), whole, out=mean, where=covered)
    np.divide(raw.sum(axis=1), whole, out=variance, where=covered)
    # The mean over the ring, not the cell's own counts: weights that follow the counts
    # would favour low fluctuations. A bin without counts is worth at most one.
    floor = np.divide(1.0, whole, out=np.ones(radius.size), where=covered)
    return Profiles(
        radius=radius,
        step=np.gradient(radius),
        sector=np.divide(net, norm, out=np.zeros_like(net), where=used),
        norm=np.where(used, norm, 0.0),
        mean=mean,
        variance=np.maximum(variance, floor),
    )


def recentre(profiles: Profiles, dx: float, dy: float) -> Profiles:
    """Read the same sectors as if the geometry's centre were (dx, dy) pixels away.

    Linear interpolation along the radius; the sectors keep their direction, which holds
    while the offset is small against the radius.
    """
    chi = -math.pi + (np.arange(SECTORS) + 0.5) * 2 * math.pi / SECTORS
    along = dx * np.cos(chi) + dy * np.sin(chi)
    across = dx * np.sin(chi) - dy * np.cos(chi)
    wanted = np.sqrt(np.maximum(profiles.radius[:, None] ** 2 - across**2, 0.0)) + along
    bins = np.arange(profiles.radius.size)
    place = np.interp(wanted, profiles.radius, bins, left=-1.0, right=-1.0)
    low = np.clip(np.floor(place).astype(np.int64), 0, bins.size - 2)
    part = place - low
    outside = place < 0

    def read(values: NDArray[np.float64]) -> NDArray[np.float64]:
        below = np.take_along_axis(values, low, axis=0)
        above = np.take_along_axis(values, low + 1, axis=0)
        return np.where(outside, 0.0, below + part * (above - below))

    norm = profiles.norm
    return profiles_of(
        read(profiles.sector * norm),
        read(profiles.variance[:, None] * norm),
        read(norm),
        profiles.radius,
    )


def find_rings(profiles: Profiles) -> Rings:
    """Find the maxima of the mean profile that counting noise cannot make.

    At most 40, the strongest ones. Each must span three bins at half height, so that
    its slope is known, and have pixels in at least two sectors.
    """
    whole = profiles.norm.sum(axis=1)
    seen = (whole > 0) & (profiles.radius > _LOWEST_RADIUS)
    sectors = profiles.norm.shape[1]
    seen &= (profiles.norm > 0).sum(axis=1) >= min(2, sectors)
    sigma = np.sqrt(profiles.variance / np.where(seen, whole, 1.0))
    where = np.flatnonzero(seen)
    if where.size < 16:
        return _no_rings()
    # Empty bins (behind a beamstop, between modules) are bridged, not taken for dips.
    height = np.interp(np.arange(seen.size), where, profiles.mean[where])
    peaks, found = find_peaks(
        height,
        prominence=_STANDS_OUT * np.where(seen, sigma, np.inf),
        wlen=_PROMINENCE_BINS,
    )
    if not peaks.size:
        return _no_rings()
    bins_wide = peak_widths(
        height,
        peaks,
        0.5,
        prominence_data=(
            found["prominences"],
            found["left_bases"],
            found["right_bases"],
        ),
    )[0]
    # What is broader than ten times a typical ring is scattering of air or glass.
    usual = _weighted_median(bins_wide, found["prominences"])
    keep = (bins_wide < 4 * usual) & (bins_wide > 1.2)
    keep &= found["prominences"] > 0.002 * found["prominences"].max()
    order = np.argsort(-found["prominences"][keep], kind="stable")[:_MOST_RINGS]
    chosen = np.sort(np.flatnonzero(keep)[order])
    if not chosen.size:
        return _no_rings()
    fwhm = bins_wide[chosen] * profiles.step[peaks[chosen]]
    return Rings(
        bins=peaks[chosen].astype(np.int64),
        fwhm=fwhm,
        width=_weighted_median(fwhm, np.sqrt(found["prominences"][chosen])),
    )


def _no_rings() -> Rings:
    return Rings(bins=np.empty(0, np.int64), fwhm=np.empty(0), width=float("nan"))


def _weighted_median(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(mass, mass[-1] / 2)])
