"""The rings of one frame: where they are and how wide, from its own mean profile.

Nothing here knows the sample. A ring is a maximum of I(q) that stands out of counting
noise; flags that watch the geometry ask how these maxima move around the azimuth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.profile_kernels import bridged, find_maxima
from ringwatch.agent.quality.geometry.profiles import (
    Profiles,
    blurred,
    dispersion,
    make_profiles,
    profiles_of,
    recentre,
)

__all__ = [
    "Profiles",
    "Rings",
    "blurred",
    "dispersion",
    "find_rings",
    "make_profiles",
    "profiles_of",
    "recentre",
]

_MOST_RINGS = 40
_STANDS_OUT = 8.0  # standard deviations of counting noise, in one bin
_PROMINENCE_BINS = 50  # either side: far enough to see the foot of a broad ring
_LOWEST_RADIUS = 12.0  # px; nearer the beam a sector holds a pixel or two per bin


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


def find_rings(profiles: Profiles) -> Rings:
    """Find the maxima of the mean profile that counting noise cannot make.

    At most 40, the strongest ones. Each must span three bins at half height, so that
    its slope is known, and have pixels in at least two sectors.
    """
    whole = profiles.whole
    seen = (whole > 0) & (profiles.radius > _LOWEST_RADIUS)
    seen &= profiles.lit >= min(2, profiles.norm.shape[1])
    if np.count_nonzero(seen) < 16:
        return _no_rings()
    noise = np.sqrt(profiles.variance / np.where(seen, whole, 1.0))
    noise[~seen] = np.inf
    # Empty bins (behind a beamstop, between modules) are bridged, not taken for dips.
    height = bridged(profiles.mean, seen.astype(np.float64))
    every = np.empty((3, height.size))
    n = find_maxima(height, noise, _STANDS_OUT, _PROMINENCE_BINS, every)
    if not n:
        return _no_rings()
    peaks, prominence, wide = every[:, :n]
    # What is broader than ten times a typical ring is scattering of air or glass.
    usual = _weighted_median(wide, prominence)
    keep = (wide < 4 * usual) & (wide > 1.2)
    keep &= prominence > 0.002 * prominence.max()
    order = np.argsort(-prominence[keep], kind="stable")[:_MOST_RINGS]
    chosen = np.sort(np.flatnonzero(keep)[order])
    if not chosen.size:
        return _no_rings()
    bins = peaks[chosen].astype(np.int64)
    fwhm = wide[chosen] * profiles.step[bins]
    return Rings(
        bins=bins,
        fwhm=fwhm,
        width=_weighted_median(fwhm, np.sqrt(prominence[chosen])),
    )


def _no_rings() -> Rings:
    return Rings(bins=np.empty(0, np.int64), fwhm=np.empty(0), width=float("nan"))


def _weighted_median(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(mass, mass[-1] / 2)])
