"""Where the centre of a frame's rings is, from the frame alone.

The rings of one frame are concentric, so the sectors of the cake must show them at the
same radii about the right centre. Texture, strain and grains are told apart in
``displacement``; a centre that is far off is found by ``search``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.geometry.center_steps import (
    EXACT,
    fit_rings,
    named_fit,
    offset_of,
    refine,
    stands_out,
    take_step,
    tilt_of,
    tilt_per_px,
)
from ringwatch.agent.quality.geometry.displacement import Harmonics
from ringwatch.agent.quality.geometry.ring_geometry import (
    CenterFit,
    CenterSearch,
    mean_center,
)
from ringwatch.agent.quality.geometry.ring_kernels import count_lit
from ringwatch.agent.quality.geometry.rings import (
    Profiles,
    Rings,
    recentre,
)
from ringwatch.agent.quality.geometry.search import (
    COINCIDES,
    Coincidence,
    measure_coincidence,
    search_center,
)

__all__ = ["CenterFit", "CenterSearch", "locate_center", "mean_center"]

_LINEAR = 0.2  # FWHM; beyond it the rings must prove to be the same in all sectors
_REAL = 8.0  # sigma; unless its error hides what is not linear: noise grows if followed
_SYMMETRIC = 0.1  # correlation of mirrored lines
_CERTAIN = 10.0  # sigma of a correlation; spotty rings reach 20, wrong ones 9
_SAME = 1.0  # px
_LEAST_AZIMUTH = 10  # sectors
_LEAST_SHARP = 4  # sectors


def locate_center(
    profiles: Profiles, rings: Rings, before: CenterFit | None = None
) -> CenterSearch:
    """Measure the centre of a frame's rings.

    One linear fit does for a sound frame, a second one about the moved centre for a
    slip of less than a ring's width. Where the rings are uneven or far off, several
    starts are refined, and the centre wins about which the sectors agree best. Where
    the frame before was off, one fit about its centre does if the rings are there.

    Parameters
    ----------
    profiles : Profiles
    rings : Rings
        Of these profiles.
    before : CenterFit, optional
        Of the frame before.
    """
    azimuth = int(count_lit(profiles.norm))
    if azimuth < _LEAST_AZIMUTH:
        return _narrow(profiles, azimuth)
    offset = offset_of(before) if before is not None and before.even else None
    if offset is not None:
        there = take_step(profiles, *offset)
        if there.fit and there.even and there.apart < EXACT * there.width:
            return CenterSearch(fit=there.fit)
    fit, even = fit_rings(profiles, rings)
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
        best = named_fit(fit, rings.width, profiles.distance, even=even)
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
        p.length <= EXACT * width or p.z < _REAL for p in moved
    ):
        return named_fit(fit, width, profiles.distance)
    if length <= width:
        if not any(stands_out(p) for p in moved):
            return named_fit(fit, width, profiles.distance)
        slipped = refine(profiles, fit.center.x, fit.center.y, tilt_of(fit))
        if slipped is None or length <= _LINEAR * width:
            return slipped
        tilt = tilt_per_px(slipped)
        about = recentre(profiles, slipped.dx, slipped.dy, tilt)
        if measure_coincidence(about).correlation > COINCIDES:
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
        fit = refine(profiles, dx, dy)
        if fit is None:
            continue
        tried.append((fit.dx, fit.dy))
        about = measure_coincidence(recentre(profiles, fit.dx, fit.dy))
        if not about.correlation < most.correlation:
            best, most = fit, about
            if fit.even and about.correlation > COINCIDES:
                break
    return best, most


def _shared(sectors: Coincidence) -> bool:
    """Whether the sectors show the same rings at all."""
    return sectors.z >= _CERTAIN
