"""Which of a run's first frames make its reference: those that agree in their light.

A frame that a shutter clipped looks like any other as long as there is nothing to
compare it with. In a mean with sound ones it would make all that follow look wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median, median_low

from ringwatch.agent.quality.facts import (
    FrameFacts,
    Seen,
    exposure,
    find_readback,
)
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["choose_frames", "log_light"]

Looked = tuple[FrameFacts, Seen]

_SIGMAS = 5.0  # of counting statistics, which must not part dim frames


def choose_frames(frames: Sequence[Looked], settings: QualitySettings) -> list[Looked]:
    """Choose those of the run's frames so far that make its reference.

    A frame whose light over I0 (or light, where not all frames have an I0) departs from
    the median of the first ones by more than ``beam_tolerance`` and 5 standard
    deviations is left out, and the next one taken instead. Where that departs as well
    (a fault has come to stay) those that agree are enough. Where no two agree, nobody
    knows whom to believe, and the first ones are taken as they are.

    Parameters
    ----------
    frames : sequence of (FrameFacts, Seen)
        In their order, with profiles.
    settings : QualitySettings

    Returns
    -------
    list of (FrameFacts, Seen)
        Of the reference; none while there are too few.
    """
    wanted = settings.reference_frames
    if len(frames) < wanted:
        return []
    departs = _departures(frames, settings)
    if wanted - sum(departs[:wanted]) < min(wanted, 2):
        return list(frames[:wanted])
    alike = [frame for frame, away in zip(frames, departs, strict=True) if not away]
    return alike if len(alike) >= wanted or any(departs[wanted:]) else []


def log_light(seen: Seen) -> tuple[float, float]:
    """Logarithm of the net counts, and its standard deviation; NaN without light."""
    if seen.profiles is None:
        return math.nan, math.nan
    raw, dark = seen.profiles.counts, seen.profiles.dark_counts
    net = raw - dark
    if not net > 0:
        return math.nan, math.nan
    sigma = math.sqrt(max((raw + dark) * seen.profiles.dispersion, 1.0)) / net
    return math.log(net), sigma


def _departures(frames: Sequence[Looked], settings: QualitySettings) -> list[bool]:
    """Which frames depart from the first in each way that light may be compared."""
    first = settings.reference_frames
    lights = [log_light(seen) for _, seen in frames]
    sigmas = [sigma for _, sigma in lights]
    if not all(map(math.isfinite, sigmas)):
        return [False] * len(frames)
    usual = median(sigmas[:first])
    departs = [True] * len(frames)
    for shifts in _expected(frames, settings):
        levels = [light - by for (light, _), by in zip(lights, shifts, strict=True)]
        middle = median_low(levels[:first])
        for i, (level, sigma) in enumerate(zip(levels, sigmas, strict=True)):
            off = abs(math.expm1(level - middle))
            near = off <= max(
                settings.beam_tolerance, _SIGMAS * math.hypot(sigma, usual)
            )
            departs[i] = departs[i] and not near
    return departs


def _expected(frames: Sequence[Looked], settings: QualitySettings) -> list[list[float]]:
    """Logarithms of what the light of each frame goes with, by each way to see it.

    Monitors give counts of the exposure or a rate; a frame counts as near in light if
    it is near in one of the two.
    """
    every = [facts.ref.readbacks for facts, _ in frames]
    times = [_logarithm(exposure(readbacks, settings)) for readbacks in every]
    if not all(map(math.isfinite, times)):
        times = [0.0] * len(frames)
    monitors = []
    for readbacks in every:
        key = find_readback(readbacks, settings.i0_key, suffixes=("i0",))
        monitors.append(_logarithm(readbacks[key] if key is not None else None))
    if not all(map(math.isfinite, monitors)):
        return [times]
    rates = [log + time for log, time in zip(monitors, times, strict=True)]
    return [monitors, rates] if len(set(times)) > 1 else [monitors]


def _logarithm(value: float | None) -> float:
    """NaN where there is no positive number."""
    return math.log(value) if value is not None and 0 < value < math.inf else math.nan
