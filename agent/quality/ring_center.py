"""Where the centre of a frame's rings is, from the frame alone.

The rings of one frame are concentric, so the sectors of the cake must show them at the
same radii about the right centre. Texture, strain and grains are told apart in
``displacement``; a centre that is far off is found by ``search``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.displacement import (
    Harmonics,
    fit_harmonics,
    measure_moves,
)
from ringwatch.agent.quality.rings import Profiles, Rings, find_rings, recentre
from ringwatch.agent.quality.search import (
    Coincidence,
    measure_coincidence,
    search_center,
)

__all__ = ["CenterFit", "CenterSearch", "locate_center"]

_LINEAR = 0.2  # FWHM; a larger move is fitted again after the sectors were moved back
_EVEN = 0.7  # share of the azimuth that rings of a true powder fill at least
_TIGHT = 0.15  # FWHM; arcs of wrong rings scatter more about their best centre
_SYMMETRIC = 0.1  # correlation of mirrored lines
_CERTAIN = 10.0  # sigma of a correlation; spotty rings reach 20, wrong ones 9
_SURE = 0.5  # correlation of sectors about the right centre
_LEAST_AZIMUTH = 10  # sectors
_LEAST_SHARP = 4  # sectors


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterFit:
    """Centre of a frame's rings relative to that of the geometry.

    Attributes
    ----------
    dx, dy : float
        Along columns and rows, pixels.
    covariance : (2, 2) float64
        Pixels squared.
    freedom : float
        Degrees of freedom of the covariance.
    fwhm : float
        Width of the rings about their own centre, pixels.
    """

    dx: float
    dy: float
    covariance: NDArray[np.float64]
    freedom: float
    fwhm: float


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


def locate_center(profiles: Profiles, rings: Rings) -> CenterSearch:
    """Measure the centre of a frame's rings.

    One linear fit does for a sound frame, a second one about the moved centre for a
    slip of less than a ring's width. Where the rings are uneven or far off, several
    starts are refined, and the centre wins about which the sectors agree best.

    Parameters
    ----------
    profiles : Profiles
    rings : Rings
        Of these profiles.
    """
    azimuth = int((profiles.norm > 0).any(axis=0).sum())
    if azimuth < _LEAST_AZIMUTH:
        return _narrow(profiles, azimuth)
    fit, even = _fit(profiles, rings)
    if fit is not None and even and fit.length <= _LINEAR * rings.width:
        return CenterSearch(fit=_named(fit, rings.width))
    if fit is not None and even and fit.length <= rings.width:
        slipped = _refine(profiles, fit.dx, fit.dy)
        if slipped is not None:
            about = measure_coincidence(recentre(profiles, slipped.dx, slipped.dy))
            if about.correlation > _SURE:
                return CenterSearch(fit=slipped)
    here = measure_coincidence(profiles)
    best, about = _best(profiles, _starts(profiles, fit, rings.width), here)
    if here.sectors >= _LEAST_SHARP and not _shared(here) and not _shared(about):
        return CenterSearch(fit=None, apart=here)
    if best is None and fit is not None and fit.length <= rings.width:
        best = _named(fit, rings.width)
    if best is not None:
        return CenterSearch(fit=best)
    why = "the rings fill too little of the azimuth, or are too spotty"
    return CenterSearch(
        fit=None, why_not=why if rings.bins.size else "no ring stands out of the noise"
    )


def _narrow(profiles: Profiles, azimuth: int) -> CenterSearch:
    """Too little azimuth to measure a centre, but enough to see that there is none."""
    here = measure_coincidence(profiles)
    if here.sectors >= _LEAST_SHARP and not _shared(here):
        return CenterSearch(fit=None, apart=here)
    return CenterSearch(
        fit=None,
        why_not=f"too little azimuth: {azimuth} of {SECTORS} sectors hold pixels, "
        f"{_LEAST_AZIMUTH} are needed",
    )


def _fit(profiles: Profiles, rings: Rings) -> tuple[Harmonics | None, bool]:
    """First harmonic about the current centre, and whether rings fill the azimuth."""
    if not rings.bins.size:
        return None, False
    moves = measure_moves(profiles, rings)
    fit = fit_harmonics(moves)
    if fit is None:
        return None, False
    tight = fit.spread <= _TIGHT * rings.width
    return fit, moves.participation >= _EVEN and tight


def _refine(profiles: Profiles, dx: float, dy: float) -> CenterFit | None:
    """Move the sectors back and fit what is left, until nothing is."""
    refined = None
    for _ in range(4):
        moved = recentre(profiles, dx, dy)
        rings = find_rings(moved)
        fit, _ = _fit(moved, rings)
        if fit is None or fit.length > 3 * rings.width:
            return None
        dx, dy = dx + fit.dx, dy + fit.dy
        refined = CenterFit(
            dx=dx,
            dy=dy,
            covariance=fit.covariance,
            freedom=fit.freedom,
            fwhm=rings.width,
        )
        if fit.length < 0.05 * rings.width:
            break
    return refined


def _starts(
    profiles: Profiles, fit: Harmonics | None, width: float
) -> list[tuple[float, float]]:
    starts = []
    if fit is not None and fit.length <= 3 * width:
        starts.append((fit.dx, fit.dy))
    found = search_center(profiles)
    if found is not None and found.score > _SYMMETRIC and found.z > _CERTAIN:
        starts.append((found.dx, found.dy))
    return starts


def _best(
    profiles: Profiles, starts: list[tuple[float, float]], here: Coincidence
) -> tuple[CenterFit | None, Coincidence]:
    """Refine from each start; keep what beats the correlation of the sectors as is."""
    best, most = None, here
    for dx, dy in starts:
        fit = _refine(profiles, dx, dy)
        if fit is None:
            continue
        # A second start as a rule ends where the first did: nothing to weigh then.
        if best is not None and math.hypot(fit.dx - best.dx, fit.dy - best.dy) < 0.5:
            continue
        about = measure_coincidence(recentre(profiles, fit.dx, fit.dy))
        if not about.correlation < most.correlation:
            best, most = fit, about
    return best, most


def _shared(sectors: Coincidence) -> bool:
    """Whether the sectors show the same rings at all."""
    return sectors.z >= _CERTAIN


def _named(fit: Harmonics, fwhm: float) -> CenterFit:
    return CenterFit(
        dx=fit.dx,
        dy=fit.dy,
        covariance=fit.covariance,
        freedom=fit.freedom,
        fwhm=fwhm,
    )
