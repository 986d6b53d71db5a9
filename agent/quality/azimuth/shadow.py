"""``shadow``: a range of sectors that lacks light, alike at all radii beyond some one.

Looked for in the light between the rings, so that texture and grains don't count; and
against the run's reference in all light, of which rings may hold nearly everything.
Radial bands are each levelled by their own mean and first harmonic (an off-centre beam,
absorption), their median taken per sector, and the range of sectors picked that stands
out most of the smooth harmonics that are left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ringwatch.agent.nouns import SECTORS, Flag
from ringwatch.agent.quality.azimuth.azimuth_kernels import BANDS, STARTS, find_shades
from ringwatch.agent.quality.azimuth.low_q_kernels import first_even_bin, in_rings
from ringwatch.agent.quality.azimuth.radial_bands import FEW
from ringwatch.agent.quality.azimuth.sector_steps import MOST_WIDE
from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles, Rings
from ringwatch.agent.quality.settings import QualitySettings

__all__ = [
    "cells_before",
    "judge_shadow",
    "light_start",
    "ring_bins",
    "shaded_sectors",
]

_STANDING = 0.02
"""Share of all light that whatever always stands in the beam's way may take: the arm or
the wire that holds a beamstop takes 1 % or less, is there in every frame, and thus in
the run's reference. Only more than that is a shadow without one to compare with."""

# A quarter of a detector has too few sectors to tell their scatter from: as if six more
# sectors had shown the per cent that is assumed at least.
_KNOWN_BEFORE = 6
_TRIALS = 4 * len(STARTS) * SECTORS * MOST_WIDE
_BLIND = 0.5  # a depth; where only deeper shadows would be seen none is looked for
_DARK = 0.3  # of the level further out: what is darker lies behind the beamstop
_NO_BINS, _NO_FLOATS = np.empty(0, np.int64), np.empty(0)
_UNKNOWN = np.empty((0, SECTORS))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shade:
    """Range of sectors that lacks light beyond the start of a band, and how much."""

    start: int
    width: int
    band: int
    depth: float
    sigma: float
    freedom: float

    @property
    def z(self) -> float:
        """Depth over its standard deviation."""
        return self.depth / self.sigma if self.sigma < math.inf else 0.0


def judge_shadow(
    seen: Seen, reference: Reference | None, settings: QualitySettings
) -> Finding:
    """Raise where part of the azimuth lacks light.

    Against the run's reference the share that is missing in the shaded sectors must
    exceed ``shadow_tolerance``. Without one, or if the reference itself is shaded, the
    sectors that face the shadow must not lack the same (texture and absorption by a
    flat sample are even), and more than 2 % of all light must be missing: an arm that
    holds the beamstop is part of the instrument. The value is the share missing in the
    shaded sectors of the deepest shadow that was looked at.
    """
    flag = Flag.SHADOW
    profiles, rings = seen.profiles, seen.rings
    if profiles is None or rings is None:
        return not_evaluated(flag, "no geometry, so no azimuth")
    *_, first = light_start(profiles)
    in_ring = ring_bins(profiles, rings, reference)
    against, alone, with_rings = _deepest(profiles, reference, in_ring, first)
    for shade in (against, with_rings):
        if shade is not None and _matters(shade, settings):
            return _raise(shade, profiles, first, "less than in the first frames")
    if alone is not None:
        lost = alone.depth * alone.width / SECTORS
        if lost > _STANDING and _matters(alone, settings):
            return _raise(alone, profiles, first, "less than in those that face them")
    found = [shade for shade in (against, alone, with_rings) if shade is not None]
    if not found:
        return not_evaluated(
            flag,
            "too little light, or too few sectors that face each other and no "
            "reference yet",
        )
    deepest = max(found, key=lambda shade: shade.z)
    if (
        deepest.sigma > _BLIND / settings.threshold
        and _least_z(deepest, settings) * deepest.sigma > _BLIND
    ):
        return not_evaluated(
            flag,
            f"known to {deepest.sigma:.0%} only: half the light of some sectors "
            "could be missing from some sectors unseen",
        )
    return clear(flag, max(deepest.depth, 0.0), z=deepest.z)


def shaded_sectors(
    profiles: Profiles, rings: Rings, reference: Reference, settings: QualitySettings
) -> NDArray[np.bool_]:
    """Sectors of the shadows that are raised against the reference, (32,)."""
    *_, first = light_start(profiles)
    in_ring = ring_bins(profiles, rings, reference)
    against, _, with_rings = _deepest(profiles, reference, in_ring, first)
    shaded = np.zeros(SECTORS, np.bool_)
    for shade in (against, with_rings):
        if shade is not None and _matters(shade, settings):
            shaded[(shade.start + np.arange(shade.width)) % SECTORS] = True
    return shaded


@lru_cache(maxsize=1)  # two checks ask the same of a frame
def light_start(profiles: Profiles) -> tuple[int, int, int]:
    """First bin that has pixels, is beyond the beamstop, and beyond its penumbra."""
    found = first_even_bin(profiles.sector, profiles.norm, profiles.mean, _DARK)
    return int(found[0]), int(found[1]), int(found[2])


def cells_before(
    reference: Reference | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the reference holds in each cell, and its weight; empty without one."""
    if reference is None:
        return _UNKNOWN, _UNKNOWN
    return reference.sector, reference.norm


@lru_cache(maxsize=1)
def ring_bins(
    profiles: Profiles, rings: Rings, reference: Reference | None
) -> NDArray[np.bool_]:
    """Bins within a ring, of the frame or of the reference; not to be changed."""
    bins, fwhm = _NO_BINS, _NO_FLOATS
    if reference is not None:
        bins, fwhm = reference.rings.bins, reference.rings.fwhm
    marked: NDArray[np.bool_] = in_rings(
        profiles.radius, rings.bins, rings.fwhm, bins, fwhm
    )
    return marked


def _deepest(
    profiles: Profiles,
    reference: Reference | None,
    in_ring: NDArray[np.bool_],
    first: int,
) -> tuple[_Shade | None, _Shade | None, _Shade | None]:
    """Most significant shadows over all inner radii; None where nothing can be seen.

    The first against the reference. The second without one: the sectors that face it
    must be there and must not lack the same. The third as the first, with the rings.
    """
    expected, known = cells_before(reference)
    found = find_shades(
        profiles.sector,
        profiles.norm,
        profiles.variance,
        profiles.mean,
        expected,
        known,
        in_ring,
        first,
    ).tolist()
    return _shade_of(found[0]), _shade_of(found[1]), _shade_of(found[2])


def _shade_of(row: list[float]) -> _Shade | None:
    start, width, band, depth, sigma, freedom, covered = row
    if not freedom > 0.0:
        return None
    return _Shade(
        start=int(start),
        width=int(width),
        band=int(band),
        depth=depth,
        sigma=sigma,
        freedom=freedom + (_KNOWN_BEFORE if covered < FEW else 0),
    )


def _matters(shade: _Shade, settings: QualitySettings) -> bool:
    """Whether it is significant, all places where it was looked for counted, and deep.

    Student's t, as its standard deviation comes from the scatter of the other sectors.
    """
    if not shade.depth > settings.shadow_tolerance:
        return False
    return shade.z > _least_z(shade, settings)


def _least_z(shade: _Shade, settings: QualitySettings) -> float:
    return float(-stdtrit(shade.freedom, settings.tail / (2 * _TRIALS)))


def _raise(shade: _Shade, profiles: Profiles, first: int, than: str) -> Finding:
    low = -180.0 + 360.0 / SECTORS * shade.start
    high = low + 360.0 / SECTORS * shade.width
    n = profiles.mean.size
    inner = profiles.radius[first + shade.band * (n - first) // BANDS]
    return raised(
        Flag.SHADOW,
        shade.depth,
        f"a shadow from chi {low:.0f} to {high:.0f} degrees, beyond {inner:.0f} px: "
        f"{shade.depth:.0%} {than} ({shade.z:.0f} sigma); clear the way from sample to "
        "detector, or mask it",
        z=shade.z,
    )
