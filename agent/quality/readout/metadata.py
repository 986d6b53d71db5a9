"""``stale_calibration``: do dark and geometry belong to this frame?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ringwatch.agent.nouns import DarkMatch, Flag
from ringwatch.agent.quality.facts import FrameFacts, Seen, exposure
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles, Rings
from ringwatch.agent.quality.light.comparison import box_of
from ringwatch.agent.quality.readout.dark_kernels import net_and_dark
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_stale_calibration"]

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
    rings in the dark, and metadata that differ. A dark with too little in it and
    without a pattern of its own looks like scattering: where none of these speaks
    against such a one, the flag is not evaluated.
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
    if match is not None and not _has_pattern(match):
        further["dark_age_s"] = age
        return not_evaluated(flag, _unknown_dark(facts), further=further)
    return clear(flag, age, further=further)


def _has_pattern(match: DarkMatch) -> bool:
    """Whether the dark has a pattern of pixels by which it could be recognised."""
    return math.isfinite(match.slope) and 0 < match.sigma < math.inf


def _unknown_dark(facts: FrameFacts) -> str:
    each = float(facts.cake.dark.sum()) / max(facts.totals.pixels, 1)
    return (
        f"the dark holds {each:.2g} counts a pixel and no pattern by which a wrong one "
        "could be recognised; nothing else speaks against it"
    )


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
    if not _has_pattern(match):
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
    z, excess, light, slope, sigma, freedom = net_and_dark(
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
