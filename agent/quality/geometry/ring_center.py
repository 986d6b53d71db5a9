"""Where the centre of a frame's rings is, from the frame alone.

The rings of one frame are concentric, so the sectors of the cake must show them at the
same radii about the right centre. Texture, strain and grains are told apart in
``displacement``; a centre that is far off is found by ``search``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.geometry.displacement import (
    Harmonics,
    Pair,
    fit_harmonics,
    measure_moves,
)
from ringwatch.agent.quality.geometry.ring_geometry import (
    CenterFit,
    CenterSearch,
    mean_center,
)
from ringwatch.agent.quality.geometry.ring_kernels import count_lit
from ringwatch.agent.quality.geometry.rings import (
    Profiles,
    Rings,
    blurred,
    find_rings,
    recentre,
)
from ringwatch.agent.quality.geometry.search import (
    Coincidence,
    measure_coincidence,
    search_center,
)

__all__ = ["CenterFit", "CenterSearch", "locate_center", "mean_center"]

_LINEAR = 0.2  # FWHM; beyond it the rings must prove to be the same in all sectors
_EXACT = 0.05  # FWHM; a larger move is fitted again after the sectors were moved back
_REAL = 8.0  # sigma; unless its error hides what is not linear: noise grows if followed
_NOISE = 4.0  # sigma; less is not followed: refined, noise of few sectors runs away
_SHARP = 2.5  # bins; narrower rings are blurred before they are measured
_FOLLOWED = 2.0  # on the variance: refined on spotty rings, a fit follows their noise
_EVEN = 0.7  # share of the azimuth that rings of a true powder fill at least
_TIGHT = 0.15  # FWHM; arcs of wrong rings scatter more about their best centre
_SYMMETRIC = 0.1  # correlation of mirrored lines
_CERTAIN = 10.0  # sigma of a correlation; spotty rings reach 20, wrong ones 9
_SURE = 0.5  # correlation of sectors about the right centre
_SAME = 1.0  # px
_LEAST_AZIMUTH = 10  # sectors
_LEAST_SHARP = 4  # sectors


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
    azimuth = int(count_lit(profiles.norm))
    if azimuth < _LEAST_AZIMUTH:
        return _narrow(profiles, azimuth)
    fit, even = _fit(profiles, rings)
    if fit is not None and even:
        known = _settled(profiles, fit, rings.width)
        if known is not None:
            return CenterSearch(fit=known)
    here = measure_coincidence(profiles)
    length = math.inf if fit is None else fit.center.length
    best, about = _best(profiles, _starts(profiles, fit, rings.width), here)
    if here.sectors >= _LEAST_SHARP and not _shared(here) and not _shared(about):
        return CenterSearch(fit=None, apart=here)
    if best is None and fit is not None and length <= rings.width:
        best = _named(fit, rings.width, profiles.distance, even=even)
    if best is not None:
        return CenterSearch(fit=best)
    why = "the rings fill too little of the azimuth, or are too spotty"
    return CenterSearch(
        fit=None, why_not=why if rings.bins.size else "no ring stands out of the noise"
    )


def _settled(profiles: Profiles, fit: Harmonics, width: float) -> CenterFit | None:
    """The answer for even rings, where it is at most a ring's width away."""
    moved = [fit.center] if fit.tilt is None else [fit.center, fit.tilt]
    length = max(pair.length for pair in moved)
    if length <= _LINEAR * width and all(
        p.length <= _EXACT * width or p.z < _REAL for p in moved
    ):
        return _named(fit, width, profiles.distance)
    if length <= width:
        if not any(_stands_out(p) for p in moved):
            return _named(fit, width, profiles.distance)
        slipped = _refine(profiles, fit.center.x, fit.center.y, _tilt_of(fit))
        if slipped is None or length <= _LINEAR * width:
            return slipped
        tilt = _per_px(slipped)
        about = recentre(profiles, slipped.dx, slipped.dy, tilt)
        if measure_coincidence(about).correlation > _SURE:
            return slipped
    return None


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


def _stands_out(pair: Pair) -> bool:
    """Whether a pair is as unlikely as 4 sigma by its degrees of freedom (Hotelling).

    In two dimensions P(> z) is ``(1 + z^2 / freedom)^(-freedom / 2)``.
    """
    return pair.freedom * math.log1p(pair.z**2 / pair.freedom) > _NOISE**2


def _tilt_of(fit: Harmonics) -> tuple[float, float]:
    """Tilt in the unit of ``recentre``, 1/px."""
    if fit.tilt is None:
        return 0.0, 0.0
    return fit.tilt.x / fit.scale**2, fit.tilt.y / fit.scale**2


def _per_px(fit: CenterFit) -> tuple[float, float]:
    if fit.tilt is None:
        return 0.0, 0.0
    return fit.tilt.x / fit.distance, fit.tilt.y / fit.distance


def _refine(
    profiles: Profiles, dx: float, dy: float, tilt: tuple[float, float] = (0.0, 0.0)
) -> CenterFit | None:
    """Move the sectors back and fit what is left, until nothing is."""
    refined = None
    for _ in range(4):
        moved = recentre(profiles, dx, dy, tilt)
        rings = find_rings(moved)
        fit, even = _fit(moved, rings)
        if fit is None or fit.center.length > 3 * rings.width:
            return None
        # Without a place among the columns a tilt is not followed, nor believed.
        further = _tilt_of(fit) if even else (0.0, 0.0)
        refined = _named(fit, rings.width, profiles.distance, even=even)
        refined = replace(
            refined,
            dx=dx + fit.center.x,
            dy=dy + fit.center.y,
            tilt=_moved_to(
                refined.tilt,
                (tilt[0] + further[0], tilt[1] + further[1]),
                profiles.distance,
            ),
        )
        left = 0.0
        if not even or _stands_out(fit.center):
            dx, dy = refined.dx, refined.dy
            left = fit.center.length
        if even and fit.tilt is not None and _stands_out(fit.tilt):
            tilt = (tilt[0] + further[0], tilt[1] + further[1])
            left = max(left, fit.tilt.length)
        if left < _EXACT * rings.width:
            break
    return refined


def _moved_to(
    pair: Pair | None, tilt: tuple[float, float], distance: float
) -> Pair | None:
    if pair is None:
        return None
    return Pair(
        x=tilt[0] * distance,
        y=tilt[1] * distance,
        covariance=pair.covariance,
        freedom=pair.freedom,
    )


def _starts(
    profiles: Profiles, fit: Harmonics | None, width: float
) -> Iterator[tuple[float, float]]:
    """Where to refine from, the likelier first; looked for only when it is asked for.

    The linear fit is right to a ring's width; beyond three it says nothing.
    """
    length = math.inf if fit is None else fit.center.length
    if fit is not None and length <= width:
        yield fit.center.x, fit.center.y
    found = search_center(profiles)
    if found is not None and found.score > _SYMMETRIC and found.z > _CERTAIN:
        yield found.dx, found.dy
    if fit is not None and width < length <= 3 * width:
        yield fit.center.x, fit.center.y


def _best(
    profiles: Profiles, starts: Iterator[tuple[float, float]], here: Coincidence
) -> tuple[CenterFit | None, Coincidence]:
    """Refine from each start; keep what beats the correlation of the sectors as is."""
    best, most, tried = None, here, list[tuple[float, float]]()
    for dx, dy in starts:
        # A second start near where the first ended would end there too.
        if any(math.hypot(dx - x, dy - y) < _SAME for x, y in tried):
            continue
        fit = _refine(profiles, dx, dy)
        if fit is None:
            continue
        tried.append((fit.dx, fit.dy))
        about = measure_coincidence(recentre(profiles, fit.dx, fit.dy))
        if not about.correlation < most.correlation:
            best, most = fit, about
            if fit.even and about.correlation > _SURE:
                break
    return best, most


def _shared(sectors: Coincidence) -> bool:
    """Whether the sectors show the same rings at all."""
    return sectors.z >= _CERTAIN


def _named(
    fit: Harmonics, fwhm: float, distance: float, *, even: bool = True
) -> CenterFit:
    tilt, center = fit.tilt, fit.center
    if tilt is not None and even and math.isfinite(distance):
        tilt = tilt.times(distance / fit.scale**2)
    else:
        tilt = None
    return CenterFit(
        dx=center.x,
        dy=center.y,
        covariance=center.covariance if even else _FOLLOWED * center.covariance,
        freedom=center.freedom,
        fwhm=fwhm,
        even=even,
        tilt=tilt,
        strain=fit.strain if even else None,
        radius=fit.scale,
        distance=distance,
    )
