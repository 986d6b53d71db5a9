"""``shadow``: a range of sectors that lacks light, alike at all radii beyond some one.

Looked for in the light between the rings, so that texture and grains don't count.
Radial bands are each levelled by their own mean and first harmonic (an off-centre beam,
absorption), their median taken per sector, and the range of sectors picked that stands
out most of the smooth harmonics that are left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ringwatch.agent.nouns import SECTORS, Flag
from ringwatch.agent.quality.azimuth_kernels import (
    BANDS,
    FEW,
    deepest_shade,
    first_even_bin,
    level_bands,
    mark_rings,
    sum_bands,
)
from ringwatch.agent.quality.facts import Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.rings import Profiles, Rings
from ringwatch.agent.quality.sector_steps import MOST_WIDE
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_shadow", "light_start", "ring_bins"]

_STANDING = 0.02
"""Share of all light that whatever always stands in the beam's way may take: the arm or
the wire that holds a beamstop takes 1 % or less, is there in every frame, and thus in
the run's reference. Only more than that is a shadow without one to compare with."""

_FLAT_FIELD = 0.003  # relative scatter of a sector that counting does not explain
# A quarter of a detector has too few sectors to tell their scatter from: a per cent is
# assumed at least, as if six more sectors had shown it.
_COARSE_FLAT_FIELD, _KNOWN_BEFORE = 0.01, 6
# A shadow may cover large radii only.
_STARTS = np.array([0, BANDS // 4, BANDS // 2, 3 * BANDS // 4])
_TRIALS = 3 * len(_STARTS) * SECTORS * MOST_WIDE
_ALL_AROUND = 24  # sectors that must be seen to do without a reference
_DARK = 0.3  # of the level further out: what is darker lies behind the beamstop


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
    against, alone = None, None
    if reference is not None:
        known = reference.norm
        against = _deepest(profiles, reference.sector, known, in_ring, first)
        if against is not None and _matters(against, settings):
            return _raise(against, profiles, first, "less than in the first frames")
    # A mean over the azimuth has no noise to speak of: its weight is infinite.
    whole = np.broadcast_to(profiles.mean[:, None], profiles.sector.shape)
    exact = np.broadcast_to(np.array(math.inf), profiles.sector.shape)
    alone = _deepest(profiles, whole, exact, in_ring, first, facing=True)
    if alone is not None:
        lost = alone.depth * alone.width / SECTORS
        if _matters(alone, settings) and lost > _STANDING:
            return _raise(alone, profiles, first, "less than in those that face them")
    found = [shade for shade in (against, alone) if shade is not None]
    if not found:
        return not_evaluated(
            flag,
            "too little light between the rings, or too few sectors that face each "
            "other and no reference yet",
        )
    deepest = max(found, key=lambda shade: shade.z)
    return clear(flag, max(deepest.depth, 0.0), z=deepest.z)


def light_start(profiles: Profiles) -> tuple[int, int, int]:
    """First bin that has pixels, is beyond the beamstop, and beyond its penumbra."""
    lit = np.sort(profiles.mean[: max(profiles.mean.size // 3, 1)])
    level = _DARK * float(lit[lit.size // 2])
    found = first_even_bin(profiles.sector, profiles.norm, profiles.mean, level)
    return int(found[0]), int(found[1]), int(found[2])


def ring_bins(
    profiles: Profiles, rings: Rings, reference: Reference | None
) -> NDArray[np.bool_]:
    """Bins within a ring, of the frame or of the reference."""
    marked = np.zeros(profiles.mean.size, np.bool_)
    mark_rings(profiles.radius, rings.bins, rings.fwhm, marked)
    if reference is not None:
        before = reference.rings
        mark_rings(profiles.radius, before.bins, before.fwhm, marked)
    return marked


def _deepest(
    profiles: Profiles,
    expected: NDArray[np.float64],
    expected_norm: NDArray[np.float64],
    in_ring: NDArray[np.bool_],
    first: int,
    *,
    facing: bool = False,
) -> _Shade | None:
    """Most significant shadow over all inner radii; None where nothing can be seen.

    With ``facing`` the sectors that face it must be there and must not lack the same.
    """
    sums = np.empty((4, BANDS, SECTORS))
    last = profiles.mean.size
    sum_bands(
        profiles.sector,
        profiles.norm,
        profiles.variance,
        expected,
        expected_norm,
        in_ring,
        first,
        last,
        sums,
    )
    ratio, variance = np.empty((BANDS, SECTORS)), np.empty((BANDS, SECTORS))
    covered = level_bands(sums, ratio, variance, 1)
    if facing and covered < _ALL_AROUND:
        return None
    # Texture of the background, an off-centre beam, polarization: smooth harmonics.
    order = (3 if facing else 2) if covered >= _ALL_AROUND else int(covered >= FEW)
    few = covered < FEW
    floor = _COARSE_FLAT_FIELD if few else _FLAT_FIELD
    found = deepest_shade(ratio, variance, _STARTS, floor, order, facing)
    if not found[5] > 0.0:
        return None
    return _Shade(
        start=int(found[0]),
        width=int(found[1]),
        band=int(found[2]),
        depth=float(found[3]),
        sigma=float(found[4]),
        freedom=float(found[5]) + (_KNOWN_BEFORE if few else 0),
    )


def _matters(shade: _Shade, settings: QualitySettings) -> bool:
    """Whether it is significant, all places where it was looked for counted, and deep.

    Student's t, as its standard deviation comes from the scatter of the other sectors.
    """
    needed = float(-stdtrit(shade.freedom, settings.tail / (2 * _TRIALS)))
    return shade.z > needed and shade.depth > settings.shadow_tolerance


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
