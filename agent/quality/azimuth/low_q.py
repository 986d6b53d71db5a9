"""``beamstop_leak``: light of the direct beam, or scattered by slits, next to the beam.

A blob that is far brighter than the light around it lets expect, or a streak through
the beam that goes to one side. A sample that scatters at small angles is neither: that
is smooth, falls off along the radius, and is as bright on the other side of the beam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ringwatch.agent.nouns import SECTORS, Flag
from ringwatch.agent.quality.azimuth.azimuth_kernels import WIDEST_STREAK, find_streaks
from ringwatch.agent.quality.azimuth.leak_kernels import (
    excess_near_beam,
    excess_to_one_side,
)
from ringwatch.agent.quality.azimuth.low_q_kernels import (
    first_even_bin,
    in_rings,
    light_beyond,
    rings_all_around,
    trend_near_beam,
)
from ringwatch.agent.quality.azimuth.shadow import (
    cells_before,
    light_start,
    ring_bins,
)
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_beamstop_leak"]

_BESIDE = 0.1  # of the largest radius: next to the beam
_MARGIN = 10.0  # px
_NEAR = 0.25  # of the largest radius: as far as a streak is followed
_CLOSEST = 6  # bins
_DARK = 0.3  # of the level further out: what is darker lies behind the beamstop
# Bins lit all around: what is dark further out lies between rings. Not asked where a
# reference says how bright each cell is.
_LIT = 12
_TIMES = 3.0  # brighter than expected: no sample changes that much between two bins
_FAR_BRIGHTER = 30.0  # so near the beam samples may, unless a beamstop keeps it dark
_CONFINED = 0.7  # share of the excess that lies within six bins of the beam
_UNEVEN = 0.5  # share of the azimuth that takes part in a leak to one side
_TRIALS = SECTORS * WIDEST_STREAK * 2
_UNKNOWN = np.empty(0)


def judge_beamstop_leak(
    facts: FrameFacts,
    seen: Seen,
    reference: Reference | None,
    settings: QualitySettings,
) -> Finding:
    """Raise where light next to the beam holds more than its share of the counts.

    Cells that are three times as bright as the run's reference, and uneven around the
    beam or where the beamstop's shadow should be; or a streak of at most three sectors
    that stands out of what is smooth around the azimuth.

    Without a reference cells that are as much brighter than the trend of the light
    further out count with what they have more than those that face them, but for the
    six bins about the beam itself. Light that falls off steeply but is as bright on
    the other side is left to the sample, and so is a streak that goes to both sides
    alike (fibres scatter so). The value is the share of the frame's counts.
    """
    flag = Flag.BEAMSTOP_LEAK
    profiles = seen.profiles
    if profiles is None or seen.rings is None:
        return not_evaluated(flag, "no geometry, so no beam to look next to")
    total = _net_counts(facts, profiles)
    largest = float(profiles.radius[-1])
    covered, dark, first = _start(profiles, reference)
    seen_from = profiles.radius[min(covered, profiles.radius.size - 1)]
    if seen_from > _BESIDE * largest or total <= 0:
        return not_evaluated(
            flag,
            "no light above the dark"
            if seen_from <= _BESIDE * largest
            else "the detector does not see small angles",
        )
    in_ring = ring_bins(profiles, seen.rings, reference)
    # Within six bins of the beam itself no sample scatters alone.
    inner, anchor = max(dark, covered + _CLOSEST), max(first, covered + _CLOSEST)
    bins = (inner, anchor, dark > covered)
    blob = _blob(facts, profiles, reference, settings, in_ring, bins)
    if blob.counts > settings.leak_tolerance * total and blob.z > settings.threshold:
        return _raise(blob, total, "a bright blob next to the beam", settings)
    streak = _streak(profiles, reference, settings, in_ring, first)
    if streak.counts > settings.leak_tolerance * total:
        where = f"a streak from the beam towards chi {streak.chi:.0f} degrees"
        return _raise(streak, total, where, settings)
    if blob is _NOT_SEEN and streak is _NOT_SEEN:
        return not_evaluated(
            flag,
            "no reference yet, and too few cells next to the beam face each other",
        )
    light = max(blob, streak, key=lambda found: found.counts)
    return clear(flag, light.counts / total, z=light.z)


def _start(profiles: Profiles, reference: Reference | None) -> tuple[int, int, int]:
    """First bins that have pixels, are out of the shadow, and beyond its penumbra.

    The beamstop shades what is dark in the frame and in the reference: either may have
    bright rings between which it is dark, and the other one has light there.
    """
    if reference is None:
        cells = profiles.sector, profiles.norm, profiles.mean
        found = first_even_bin(*cells, _DARK, _LIT)
        return int(found[0]), int(found[1]), int(found[2])
    covered, dark, first = light_start(profiles)
    return covered, min(dark, _shaded_before(reference)), first


@lru_cache(maxsize=8)
def _shaded_before(reference: Reference) -> int:
    cells = reference.sector, reference.norm, reference.mean
    return int(first_even_bin(*cells, _DARK)[1])


def _net_counts(facts: FrameFacts, profiles: Profiles) -> float:
    total = profiles.counts - profiles.dark_counts
    if math.isnan(total):
        return float(facts.cake.total.sum() - facts.cake.dark.sum())
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class _Light:
    """Counts too many next to the beam; z, and the direction of a streak.

    By identity: ``_NONE`` where there are none, ``_NOT_SEEN`` where nobody could look.
    """

    counts: float = 0.0
    z: float = 0.0
    chi: float = math.nan


_NONE = _Light()
_NOT_SEEN = _Light()


def _blob(
    facts: FrameFacts,
    profiles: Profiles,
    reference: Reference | None,
    settings: QualitySettings,
    in_ring: NDArray[np.bool_],
    bins: tuple[int, int, bool],
) -> _Light:
    """Counts in cells that are far too bright, if they lie as those of a leak do.

    ``bins``: where the beamstop's shadow ends, where its penumbra does, and whether
    there is a shadow at all.
    """
    inner, anchor, stopped = bins
    nearest = 1.5 * profiles.radius[inner] + _MARGIN
    beside = min(_BESIDE * profiles.radius[-1], nearest)
    gain, end, scale = light_beyond(
        profiles.radius,
        profiles.mean,
        profiles.variance,
        _UNKNOWN if reference is None else reference.mean,
        beside,
        inner,
    )
    cells = profiles.sector, profiles.norm, profiles.variance, facts.cake.maximum
    times = (_TIMES if stopped else _FAR_BRIGHTER, _TIMES)
    share = 1.0
    if reference is None:
        trend = trend_near_beam(profiles.radius, profiles.mean, anchor)
        skip = rings_all_around(profiles.sector, profiles.norm, trend, end, in_ring)
        trend[anchor:] = np.maximum(trend[anchor:], profiles.mean[anchor:])
        beam = int(profiles.radius.searchsorted(_CLOSEST * profiles.pitch))
        places = (min(beam, inner), inner, end)
        excess, inside, beyond, variance, brightest, looked = excess_to_one_side(
            *cells, trend, skip, places, times, settings.threshold, gain
        )
        if not looked:
            return _NOT_SEEN
    else:
        rings = reference.rings
        skip = in_rings(profiles.radius, rings.bins, rings.fwhm, rings.bins, rings.fwhm)
        excess, variance, inside, share, brightest = excess_near_beam(
            *cells,
            reference.sector,
            scale,
            skip,
            inner,
            end,
            times,
            settings.threshold,
            gain,
        )
    if not stopped and inside < _CONFINED * excess:
        inside = 0.0  # scattering that goes on further out
    if reference is not None:
        beyond = excess - inside if share < _UNEVEN else 0.0
    counts = float(inside + beyond - brightest)  # a lone hot pixel is no leak
    if counts <= 0:
        return _NONE
    return _Light(counts=counts, z=counts / math.sqrt(variance))


def _streak(
    profiles: Profiles,
    reference: Reference | None,
    settings: QualitySettings,
    in_ring: NDArray[np.bool_],
    first: int,
) -> _Light:
    """Counts of the streak that stands out most, if it does so significantly."""
    end = int(profiles.radius.searchsorted(_NEAR * profiles.radius[-1]))
    expected, known = cells_before(reference)
    every = find_streaks(
        profiles.sector,
        profiles.norm,
        profiles.variance,
        profiles.mean,
        expected,
        known,
        in_ring,
        first,
        end,
    ).tolist()
    best = _NOT_SEEN
    for start, width, step, sigma, freedom, held in every:
        if freedom < 3:
            continue
        best = _NONE if best is _NOT_SEEN else best
        if not step / sigma > _least_z(freedom, settings.tail):
            continue
        counts = step * held / (1.0 + step)
        if counts > best.counts:
            chi = -180.0 + 360.0 / SECTORS * (start + 0.5 * width)
            best = _Light(counts=counts, z=step / sigma, chi=chi)
    return best


@lru_cache(maxsize=256)
def _least_z(freedom: float, tail: float) -> float:
    """Student's t that chance exceeds in none of all places looked at."""
    return float(-stdtrit(freedom, tail / (2 * _TRIALS)))


def _raise(
    light: _Light, total: float, what: str, settings: QualitySettings
) -> Finding:
    share = light.counts / total
    return raised(
        Flag.BEAMSTOP_LEAK,
        share,
        f"{what} holds {share:.1%} of the counts ({light.z:.0f} sigma), "
        f"{settings.leak_tolerance:.1%} is tolerated: centre the beamstop and the "
        "slits, or mask it",
        z=light.z,
    )
