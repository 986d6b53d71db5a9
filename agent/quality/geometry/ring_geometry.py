"""What the rings of one frame, or of several, say of the geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ringwatch.agent.quality.geometry.displacement import Pair
from ringwatch.agent.quality.geometry.search import Coincidence

__all__ = ["CenterFit", "CenterSearch", "mean_center"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterFit:
    """Where a frame's rings lie relative to the geometry: centre, tilt and strain.

    Attributes
    ----------
    center : Pair
        Centre along columns and rows, pixels.
    fwhm : float
        Width of the rings about their own centre, pixels.
    even : bool
        Whether the rings fill the azimuth as those of a powder do.
    tilt : Pair or None
        Inclination of the detector against the geometry, rad: a ring of radius r moves
        by ``r^2 / distance`` times it along columns and rows. None where it cannot be
        told from the centre.
    strain : Pair or None
        Amplitudes of cos 2 chi and sin 2 chi in the relative change of the radii, 1.
    radius : float
        Of the outermost ring, pixels.
    distance : float
        Sample to detector along the beam, pixels.
    """

    center: Pair
    fwhm: float
    even: bool = True
    tilt: Pair | None = None
    strain: Pair | None = None
    radius: float = math.nan
    distance: float = math.nan

    @property
    def dx(self) -> float:
        """Centre along columns, pixels."""
        return self.center.x

    @property
    def dy(self) -> float:
        """Centre along rows, pixels."""
        return self.center.y


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterSearch:
    """Outcome of ``locate_center``: a fit, or why there is none.

    Attributes
    ----------
    fit : CenterFit or None
    why_not : str
        Empty where there is a fit.
    apart : Coincidence or None
        Given where the rings of different sectors do not coincide at all, so that the
        geometry is wrong by more than can be measured.
    """

    fit: CenterFit | None
    why_not: str = ""
    apart: Coincidence | None = None


def mean_center(fits: Sequence[CenterFit]) -> CenterFit | None:
    """Mean of the fits of several frames; None of none.

    Tilt and strain are those of the frames that have them all, else None.
    """
    if not fits:
        return None
    n = len(fits)
    center = _mean_pair([f.center for f in fits])
    if center is None:
        return None
    return CenterFit(
        center=center,
        fwhm=sum(f.fwhm for f in fits) / n,
        even=all(f.even for f in fits),
        tilt=_mean_pair([f.tilt for f in fits]),
        strain=_mean_pair([f.strain for f in fits]),
        radius=min(f.radius for f in fits),
        distance=fits[0].distance,
    )


def _mean_pair(pairs: Sequence[Pair | None]) -> Pair | None:
    told = [pair for pair in pairs if pair is not None]
    n = len(told)
    if n < len(pairs):
        return None
    every = [[*p.covariance[0], *p.covariance[1]] for p in told]
    a, b, c, d = (sum(column) / n**2 for column in zip(*every, strict=True))
    return Pair(
        x=sum(p.x for p in told) / n,
        y=sum(p.y for p in told) / n,
        covariance=((a, b), (c, d)),
        freedom=min(p.freedom for p in told),
    )
