"""The rings of one frame: where they are and how wide, from its own mean profile.

Nothing here knows the sample. A ring is a maximum of I(q) that stands out of counting
noise; flags that watch the geometry ask how these maxima move around the azimuth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.maxima_kernels import MOST_RINGS, seek_rings
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
    bins, fwhm = np.empty(MOST_RINGS, np.int64), np.empty(MOST_RINGS)
    found, width = seek_rings(
        profiles.mean,
        profiles.variance,
        profiles.whole,
        profiles.lit,
        min(2.0, profiles.norm.shape[1]),
        profiles.radius,
        profiles.step,
        bins,
        fwhm,
    )
    return Rings(bins=bins[:found], fwhm=fwhm[:found], width=width)
