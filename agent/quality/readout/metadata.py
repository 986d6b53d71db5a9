"""``stale_calibration``: do dark and geometry belong to this frame?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import DarkMatch, Flag
from ringwatch.agent.quality.facts import FrameFacts, Seen, exposure
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles, Rings
from ringwatch.agent.quality.light.comparison import box_of
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_stale_calibration"]

Floats = NDArray[np.float64]

_SAME_EXPOSURE = 0.01  # relative
_SAME_DARK = 0.1  # share of the dark that may be missing, or too much
_DIMMEST = 0.01  # of the frame's mean light: less below zero spoils nothing
_DEEP = 0.3  # the same; no light with rings in it is so far below zero by chance
_STRETCHES = 24  # of the radius, in which the light must not be below zero
_LEAST_RINGS = 3  # before rings are looked for in the dark
_WHOLE_NAMES = {"dist": "distance", "energy": "energy"}
_NO_READING = ("threshold", "setpoint", "offset", "step")  # of a distance or an energy


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong, and how sure: ``z`` NaN where metadata say so."""

    sentence: str
    z: float = math.nan


def judge_stale_calibration(
    facts: FrameFacts, seen: Seen, settings: QualitySettings
) -> Finding:
    """Raise where dark or geometry contradict the frame or its metadata.

    What can be seen of a wrong dark: another strength of its own pattern of pixels
    (exposure, temperature, detector), net counts below zero where the frame is dim,
    rings in the dark, and metadata that differ. A dark with too little in it, without
    a pattern of its own and without metadata, looks like scattering.
    """
    flag = Flag.STALE_CALIBRATION
    match = facts.cake.dark_match
    age = facts.dark_age_s
    further = {} if match is None else {"dark_scale": match.slope}
    faults, checks = [], 0
    for made, fault in (
        *_check_dark(facts, seen, settings),
        *_check_geometry(facts, settings),
    ):
        checks += made
        if fault is not None:
            faults.append(fault)
    if faults:
        first = faults[0]
        return raised(flag, age, first.sentence, z=first.z, further=further)
    if not checks:
        return not_evaluated(
            flag,
            "neither a dark, nor a readback of the detector's distance or the photon "
            "energy",
            further=further,
        )
    return clear(flag, age, further=further)


_Check = tuple[bool, _Fault | None]
"""Whether the check could be made, and what it found."""


def _check_dark(
    facts: FrameFacts, seen: Seen, settings: QualitySettings
) -> Iterator[_Check]:
    """Measured contradictions first, then those of the metadata."""
    if not facts.dark_frames:
        return
    below: _Check = (False, None)
    rings: _Check = (False, None)
    if seen.profiles is not None:
        below, rings = _check_counts(facts, seen.profiles, seen.rings, settings)
    # Rings in the dark look like a pattern of pixels as well: they come first.
    yield rings
    if facts.cake.dark_match is not None:
        yield _check_pattern(facts, facts.cake.dark_match, settings)
    yield _check_exposure(facts, settings)
    yield below
    yield _check_age(facts, settings)


def _check_pattern(
    facts: FrameFacts, match: DarkMatch, settings: QualitySettings
) -> _Check:
    if not (math.isfinite(match.slope) and 0 < match.sigma < math.inf):
        return False, None
    z = (match.slope - 1.0) / match.sigma
    if abs(match.slope - 1.0) <= _SAME_DARK or abs(z) < settings.threshold:
        return True, None
    dark = float(facts.cake.dark.sum())
    light = abs(facts.totals.counts - dark)
    wrong = abs(match.slope - 1.0) * dark
    if not wrong > _DIMMEST * light:
        return True, None  # too weak to matter to the pattern
    return True, _Fault(
        f"the pattern of the dark is in the frame with {match.slope:.0%} of its own "
        f"strength ({abs(z):.0f} sigma), which puts {wrong / max(light, 1.0):.1%} of "
        "the frame's light in the wrong: it has another exposure, temperature or "
        "detector, take a dark like the frame",
        z,
    )


def _check_exposure(facts: FrameFacts, settings: QualitySettings) -> _Check:
    took = exposure(facts.ref.readbacks, settings)
    if took is None or not facts.dark_exposure_s > 0:
        return False, None
    if abs(facts.dark_exposure_s / took - 1.0) <= _SAME_EXPOSURE:
        return True, None
    return True, _Fault(
        f"the dark was exposed {facts.dark_exposure_s:.4g} s and the frame "
        f"{took:.4g} s: take a dark of the same exposure"
    )


def _check_age(facts: FrameFacts, settings: QualitySettings) -> _Check:
    age = abs(facts.dark_age_s)
    if math.isnan(age) or age <= settings.dark_age_limit_s:
        return not math.isnan(age), None
    return True, _Fault(
        f"the dark is {age / 3600:.1f} h away from the frame, "
        f"{settings.dark_age_limit_s / 3600:.1f} h are allowed: take a new dark"
    )


def _check_counts(
    facts: FrameFacts,
    profiles: Profiles,
    rings: Rings | None,
    settings: QualitySettings,
) -> tuple[_Check, _Check]:
    """Net counts below zero, and rings in the dark."""
    z, excess, light, slope, sigma, freedom = _net_and_dark(
        profiles.mean,
        profiles.variance,
        profiles.whole,
        facts.cake.dark,
        box_of(profiles, math.nan if rings is None else rings.width),
        max(profiles.mean.size // _STRETCHES, 1),
    )
    if not math.isfinite(slope):
        return (False, None), (False, None)
    lit = rings is not None and rings.bins.size >= _LEAST_RINGS
    # The lowest of so many stretches: Bonferroni, in the Gaussian tail.
    least = math.sqrt(settings.threshold**2 + 2 * math.log(_STRETCHES))
    matters = (excess > _SAME_DARK and light > _DIMMEST) or (lit and light > _DEEP)
    below = None
    if -z > least and matters:
        below = _Fault(
            f"where the frame is dimmest the dark takes away {excess:.0%} of itself "
            f"more than there is ({-z:.0f} sigma): it has another exposure, "
            "temperature or light in it, take a new dark",
            z,
        )
    if not (lit and freedom > 1 and sigma > 0):
        return (True, below), (False, None)
    certainty = slope / sigma
    light_in_it = None
    if slope > settings.beam_tolerance and certainty > settings.threshold_for(freedom):
        light_in_it = _Fault(
            f"the dark holds rings, {slope:.1%} as strong as the frame's net ones "
            f"({certainty:.0f} sigma): take it with the shutter closed",
            certainty,
        )
    return (True, below), (True, light_in_it)


def _check_geometry(facts: FrameFacts, settings: QualitySettings) -> Iterator[_Check]:
    """Readbacks of distance and energy against what the geometry says."""
    for part, units, said, unit in (
        ("dist", (1.0, 1e-3), facts.distance_m, "m"),
        ("energy", (1.0, 1e-3), facts.energy_kev, "keV"),
    ):
        if not said > 0:
            continue
        near = _nearest(facts.ref.readbacks, settings, part, units, said)
        if near is None:
            yield False, None
            continue
        key, value = near
        apart = value / said - 1.0
        fault = None
        if abs(apart) > settings.calibration_tolerance:
            fault = _Fault(
                f"{key} reads {value:.5g} {unit} and the geometry says {said:.5g} "
                f"{unit} ({apart:+.2%}): use the geometry of this set-up"
            )
        yield True, fault


def _nearest(
    readbacks: Mapping[str, float],
    settings: QualitySettings,
    part: str,
    units: tuple[float, float],
    said: float,
) -> tuple[str, float] | None:
    """Readback of the same quantity, in the unit of ``said``; of several the nearest.

    Only a reading within a factor of 2 in one of the units is taken for the quantity.
    """
    best: tuple[float, str, float] | None = None
    for key in sorted(readbacks):
        low = key.lower()
        whole = part if key in settings.geometry_keys else _WHOLE_NAMES[part]
        if whole not in low or any(word in low for word in _NO_READING):
            continue
        for unit in units:
            value = readbacks[key] * unit
            if not said / 2 < value < said * 2:
                continue
            apart = abs(math.log(value / said))
            if best is None or apart < best[0]:
                best = (apart, key, value)
    return None if best is None else (best[1], best[2])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _net_and_dark(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    dark: Floats,
    half: int,
    stretch: int,
) -> tuple[float, float, float, float, float, float]:
    """Lowest stretch of net counts, and the frame's rings in the dark.

    Gives for the stretch of ``stretch`` bins that lies farthest below zero its z, the
    counts missing over those of the dark there, and over the frame's mean light; then
    the slope of the dark's sharp structure (what differs from the mean over ``half``
    bins to either side) against the frame's, its sigma from the scatter about it, and
    the degrees of freedom.
    """
    n, sectors = dark.shape
    weight, counts, darks = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    light = 0.0
    for i in range(n):
        w, d = max(whole[i], 0.0), 0.0
        for s in range(sectors):
            d += dark[i, s]
        weight[i + 1] = weight[i] + w
        counts[i + 1] = counts[i] + w * mean[i]
        darks[i + 1] = darks[i] + (d if w > 0.0 else 0.0)
        light += w * abs(mean[i])
    lowest = excess = share = 0.0
    net = noise = 0.0
    start = 0
    for i in range(n):
        net += max(whole[i], 0.0) * mean[i]
        noise += max(whole[i], 0.0) * variance[i]
        if i + 1 - start < stretch and i + 1 < n:
            continue
        z = net / math.sqrt(noise) if noise > 0.0 else 0.0
        if z < lowest:
            below = darks[i + 1] - darks[start]
            typical = light * (weight[i + 1] - weight[start]) / weight[n]
            lowest = z
            excess = -net / below if below > 0.0 else 0.0
            share = -net / typical if typical > 0.0 else 0.0
        start, net, noise = i + 1, 0.0, 0.0
    power = match = own = 0.0
    used = 0
    for i in range(n):
        w = whole[i]
        a, b = max(i - half, 0), min(i + half + 1, n)
        mass = weight[b] - weight[a]
        if w <= 0.0 or mass <= 1.5 * w:
            continue
        sharp = mean[i] - (counts[b] - counts[a]) / mass
        in_dark = (darks[i + 1] - darks[i]) / w - (darks[b] - darks[a]) / mass
        power += w * sharp * sharp
        match += w * sharp * in_dark
        own += w * in_dark * in_dark
        used += 1
    slope = 0.0 if power == 0.0 else match / power
    rest = max(own - slope * match, 0.0)
    freedom = used - 2.0
    sigma = math.sqrt(rest / freedom / power) if power > 0.0 and freedom > 0.0 else 0.0
    return lowest, excess, share, slope, sigma, freedom
