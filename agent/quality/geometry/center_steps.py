"""Steps to the centre of a frame's rings: fit, move the sectors back, fit again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ringwatch.agent.quality.geometry.displacement import (
    Harmonics,
    Pair,
    fit_harmonics,
    measure_moves,
)
from ringwatch.agent.quality.geometry.ring_geometry import CenterFit
from ringwatch.agent.quality.geometry.rings import (
    Profiles,
    Rings,
    blurred,
    find_rings,
    recentre,
)

__all__ = [
    "EXACT",
    "Step",
    "fit_rings",
    "named_fit",
    "offset_of",
    "refine",
    "stands_out",
    "take_step",
    "tilt_of",
    "tilt_per_px",
]

EXACT = 0.05
"""FWHM; a larger move is fitted again after the sectors were moved back."""

_NOISE = 4.0  # sigma; less is not followed: refined, noise of few sectors runs away
_SHARP = 2.5  # bins; narrower rings are blurred before they are measured
_FOLLOWED = 2.0  # on the variance: refined on spotty rings, a fit follows their noise
_EVEN = 0.7  # share of the azimuth that rings of a true powder fill at least
_LEAK = 0.2  # of what strain moves: where azimuth is missing it reads as a tilt
_TIGHT = 0.15  # FWHM; arcs of wrong rings scatter more about their best centre


def fit_rings(profiles: Profiles, rings: Rings) -> tuple[Harmonics | None, bool]:
    """First harmonic about the current centre, and whether rings fill the azimuth."""
    if rings.width < _SHARP * profiles.pitch:
        profiles = blurred(profiles)
        rings = find_rings(profiles)
    if not rings.bins.size:
        return None, False
    moves = measure_moves(profiles, rings)
    fit = fit_harmonics(moves)
    if fit is None:
        return None, False
    tight = fit.spread <= _TIGHT * rings.width
    return fit, moves.participation >= _EVEN and tight


def stands_out(pair: Pair) -> bool:
    """Whether a pair is as unlikely as 4 sigma by its degrees of freedom (Hotelling).

    In two dimensions P(> z) is ``(1 + z^2 / freedom)^(-freedom / 2)``.
    """
    return pair.freedom * math.log1p(pair.z**2 / pair.freedom) > _NOISE**2


def tilt_of(fit: Harmonics) -> tuple[float, float]:
    """Tilt in the unit of ``recentre``, 1/px."""
    if fit.tilt is None:
        return 0.0, 0.0
    return fit.tilt.x / fit.scale**2, fit.tilt.y / fit.scale**2


def tilt_per_px(fit: CenterFit) -> tuple[float, float]:
    """Tilt of an answer in the unit of ``recentre``, 1/px."""
    if fit.tilt is None:
        return 0.0, 0.0
    return fit.tilt.x / fit.distance, fit.tilt.y / fit.distance


def offset_of(fit: CenterFit) -> tuple[float, float, tuple[float, float]] | None:
    """Centre (pixels) and tilt (1/px) about which the next frame is to be fitted.

    None where the geometry's own are as good: only what stands out of the noise is
    carried from frame to frame, or the frames would follow each other's noise.
    """
    dx = dy = 0.0
    tilt = 0.0, 0.0
    off = False
    if fit.center.length > EXACT * fit.fwhm and stands_out(fit.center):
        dx, dy, off = fit.dx, fit.dy, True
    if fit.tilt is not None and stands_out(fit.tilt):
        moved = fit.tilt.length * fit.radius**2 / fit.distance
        if moved > EXACT * fit.fwhm:
            tilt, off = tilt_per_px(fit), True
    return (dx, dy, tilt) if off else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Outcome of one linear fit about an assumed centre and tilt.

    Attributes
    ----------
    fit : CenterFit or None
        Centre and tilt, what was assumed included; None where nothing fits.
    even : bool
        Whether rings fill the azimuth.
    width : float
        FWHM of the rings, pixels.
    dx, dy : float
        Centre to assume next, pixels: what stands out of the noise is followed.
    tilt : tuple of float
        The same, 1/px.
    left : float
        How far that is from what was assumed, pixels.
    apart : float
        How far what was found is from what was assumed, noise or not, pixels.
    """

    fit: CenterFit | None
    even: bool
    width: float
    dx: float
    dy: float
    tilt: tuple[float, float]
    left: float
    apart: float


def take_step(
    profiles: Profiles, dx: float, dy: float, tilt: tuple[float, float]
) -> Step:
    """Move the sectors back by a centre (pixels) and a tilt (1/px), and fit."""
    moved = recentre(profiles, dx, dy, tilt)
    rings = find_rings(moved)
    found, even = fit_rings(moved, rings)
    fit, left, apart, leaning = None, 0.0, math.inf, tilt
    if found is not None and found.center.length <= 3 * rings.width:
        # Without a place among the columns a tilt is not followed, nor believed.
        further = tilt_of(found) if even else (0.0, 0.0)
        both = (tilt[0] + further[0], tilt[1] + further[1])
        named = named_fit(found, rings.width, profiles.distance, even=even)
        fit = replace(
            named,
            center=replace(named.center, x=dx + found.center.x, y=dy + found.center.y),
            tilt=_moved_to(named.tilt, both, profiles.distance),
        )
        apart = found.center.length
        if found.tilt is not None:
            apart = max(apart, found.tilt.length)
        if not even or stands_out(found.center):
            dx, dy, left = fit.dx, fit.dy, found.center.length
        if even and found.tilt is not None and stands_out(found.tilt):
            leaning, left = both, max(left, found.tilt.length)
    return Step(
        fit=fit,
        even=even,
        width=rings.width,
        dx=dx,
        dy=dy,
        tilt=leaning,
        left=left,
        apart=apart,
    )


def refine(
    profiles: Profiles, dx: float, dy: float, tilt: tuple[float, float] = (0.0, 0.0)
) -> CenterFit | None:
    """Move the sectors back and fit what is left, until nothing is."""
    refined = None
    for _ in range(4):
        step = take_step(profiles, dx, dy, tilt)
        if step.fit is None:
            return None
        refined, dx, dy, tilt = step.fit, step.dx, step.dy, step.tilt
        if step.left < EXACT * step.width:
            break
    return refined


def _moved_to(
    pair: Pair | None, tilt: tuple[float, float], distance: float
) -> Pair | None:
    if pair is None:
        return None
    return replace(pair, x=tilt[0] * distance, y=tilt[1] * distance)


def named_fit(
    fit: Harmonics, fwhm: float, distance: float, *, even: bool = True
) -> CenterFit:
    """Name what was fitted, in pixels and rad; without tilt where it is not to be had.

    On rings that do not fill the azimuth the fit follows their noise: its variance is
    larger, and neither tilt nor strain are told.
    """
    tilt, center = fit.tilt, fit.center
    if tilt is not None and even and math.isfinite(distance):
        sure = max(fit.strain.length - 2 * fit.strain.sigma, 0.0)
        tilt = tilt.less_sure(1.0, more=(_LEAK * sure * fit.scale) ** 2)
        tilt = tilt.times(distance / fit.scale**2)
    else:
        tilt = None
    return CenterFit(
        center=center if even else center.less_sure(_FOLLOWED),
        fwhm=fwhm,
        even=even,
        tilt=tilt,
        strain=fit.strain if even else None,
        radius=fit.scale,
        distance=distance,
    )
