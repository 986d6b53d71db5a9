"""``no_beam`` and ``low_counts``: is there light, and enough of it?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import (
    FrameFacts,
    Reference,
    Seen,
    exposure,
    find_readback,
)
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.profile_kernels import ring_precision
from ringwatch.agent.quality.geometry.rings import Profiles, Rings, dispersion
from ringwatch.agent.quality.light.comparison import exposure_ratio
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_low_counts", "judge_no_beam"]

_NOTHING = 1e-4  # counts per pixel; cosmic rays and electronic noise
_DRIFT = 0.005  # of the dark; by so much a sensor's own changes between two frames
_OVER_DARK = 0.1  # of the dark; so much less than it no shutter explains
_SHAPE = 1.4  # brightest over dimmest part of a radial profile with scattering


def judge_no_beam(
    facts: FrameFacts,
    seen: Seen,
    reference: Reference | None,
    settings: QualitySettings,
) -> Finding:
    """Raise where the frame holds no more than its dark, or than a lost beam leaves.

    In this order: all zeros; no excess over the dark; brightness against the run's
    reference. Without dark and reference only rings, or scattering that falls off along
    the radius, prove a beam; else the check says that it cannot tell. Nor can it where
    the run's own light would be lost in the noise of so bright a dark. Without a
    reference nobody knows that light, and what is no more than the dark is no beam.
    """
    if _sums(facts, seen)[0] == 0.0 and not facts.cake.maximum.any():
        return raised(Flag.NO_BEAM, 0.0, "no beam: every pixel is 0")
    ringed = seen.rings is not None and seen.rings.bins.size > 0
    due = _light_due(facts, reference, settings)
    if facts.dark_frames:
        found = _against_dark(facts, seen, settings, ringed, due)
        if found is not None:
            return found
    if reference is not None and due > 0:
        return _against_reference(facts, seen, reference, settings)
    if ringed or _falls_off(facts, seen, settings):
        return clear(Flag.NO_BEAM)
    if facts.dark_frames:
        return _above_dark(facts, seen)
    return _without_proof(facts, seen)


def judge_low_counts(
    facts: FrameFacts, seen: Seen, settings: QualitySettings
) -> Finding:
    """Raise where the strongest rings are known worse than the target precision.

    The value is the exposure that would reach it, ``t (sigma / target)^2`` in seconds,
    NaN where the exposure of this frame is not known.
    """
    if seen.profiles is None or seen.rings is None:
        return not_evaluated(Flag.LOW_COUNTS, "no pattern without a geometry")
    precision = _precision(seen.profiles, seen.rings)
    if not math.isfinite(precision):
        return not_evaluated(Flag.LOW_COUNTS, "no bin holds counts above the dark")
    longer = (precision / settings.target_precision) ** 2
    took = exposure(facts.ref.readbacks, settings)
    value = math.nan if took is None else took * longer
    if longer <= 1.0:
        return clear(Flag.LOW_COUNTS, value, further={"precision": precision})
    seconds = "" if took is None else f" ({value:.3g} s)"
    what = "strongest rings" if seen.rings.bins.size else "brightest bins (no ring)"
    return raised(
        Flag.LOW_COUNTS,
        value,
        f"too few counts: the {what} are known to {precision:.1%}, "
        f"{settings.target_precision:.1%} is wanted: expose {longer:.3g} times as long"
        f"{seconds}",
        further={"precision": precision},
    )


def _light_due(
    facts: FrameFacts, reference: Reference | None, settings: QualitySettings
) -> float:
    """Counts above the dark that the run's reference lets expect; 0 without one.

    Not per second: where one exposure is unknown, both are taken to be the same.
    """
    if reference is None or not reference.brightness > 0:
        return 0.0
    return reference.brightness * exposure_ratio(facts, reference, settings)


def _against_dark(
    facts: FrameFacts, seen: Seen, settings: QualitySettings, ringed: bool, due: float
) -> Finding | None:
    """What the dark alone decides; None where there is light beyond its noise."""
    total, dark = _sums(facts, seen)
    net = total - dark
    sigma = _sigma_of_net(facts, seen, total, dark)
    z, seen_from = net / sigma, settings.threshold * sigma
    if z < -settings.threshold and -net > _OVER_DARK * dark:
        return not_evaluated(
            Flag.NO_BEAM,
            f"the dark takes away {dark:.0f} counts, the frame holds {total:.0f}: "
            "not the dark of this frame",
        )
    if ringed or z >= settings.threshold:
        return None
    if 0.0 < due < max(net, 0.0) + seen_from:
        return not_evaluated(
            Flag.NO_BEAM,
            f"{net:.0f} counts above the dark, which holds {dark:.0f}: the "
            f"{due:.0f} of the run's first frames would be lost in its noise, about "
            f"{2 * seen_from:.2g} are needed",
        )
    return raised(
        Flag.NO_BEAM,
        max(net, 0.0) / max(total, 1.0),
        f"no beam: {net:.0f} counts above the dark, which holds {dark:.0f} "
        f"({z:.1f} sigma; {seen_from:.2g} counts would be seen)",
        z=z,
    )


def _above_dark(facts: FrameFacts, seen: Seen) -> Finding:
    """Whether more than the dark, without structure, is more than a sensor's drift."""
    total, dark = _sums(facts, seen)
    if total - dark >= _DRIFT * dark:
        return clear(Flag.NO_BEAM)
    return not_evaluated(
        Flag.NO_BEAM,
        f"{total - dark:.0f} counts above the dark are {(total - dark) / dark:.2%} of "
        "it: a faint beam or a warmer sensor",
    )


def _without_proof(facts: FrameFacts, seen: Seen) -> Finding:
    """What can be said where neither dark, reference nor rings tell."""
    total, _ = _sums(facts, seen)
    pixels = int(facts.cake.pixels.sum())
    if total < _NOTHING * pixels:
        return raised(
            Flag.NO_BEAM,
            0.0,
            f"no beam: {total:.0f} counts in {pixels} pixels, and no structure",
        )
    if seen.profiles is None:
        return not_evaluated(
            Flag.NO_BEAM, "neither dark nor geometry that could tell light from dark"
        )
    return not_evaluated(
        Flag.NO_BEAM, "no dark, no reference, and no ring stands out of the noise"
    )


def _sums(facts: FrameFacts, seen: Seen) -> tuple[float, float]:
    """Counts of the frame, and of the dark that belongs to it."""
    if seen.profiles is not None:
        return seen.profiles.counts, seen.profiles.dark_counts
    return float(facts.cake.total.sum()), float(facts.cake.dark.sum())


def _sigma_of_net(facts: FrameFacts, seen: Seen, total: float, dark: float) -> float:
    fano = seen.profiles.dispersion if seen.profiles else dispersion(facts.cake)
    return math.sqrt(max((total + dark / facts.dark_frames) * fano, 1.0))


def _against_reference(
    facts: FrameFacts, seen: Seen, reference: Reference, settings: QualitySettings
) -> Finding:
    total, dark = _sums(facts, seen)
    expected = _light_due(facts, reference, settings)
    fraction = (total - dark) / expected
    z = (fraction - 1.0) * expected / math.sqrt(max(expected, 1.0))
    if fraction >= settings.least_beam and not facts.dark_frames:
        # A pedestal that no dark takes away hides the loss: the rings tell.
        # A sample that went amorphous keeps neither rings nor shape; but it still
        # falls off along the radius, which a pedestal does not.
        ringless = seen.rings is None or not seen.rings.bins.size
        if reference.rings.bins.size and ringless:
            shape = _shape_fraction(seen, reference)
            if shape < settings.least_beam and _is_flat(facts, seen):
                fraction = max(shape, 0.0)
    if fraction >= settings.least_beam:
        return clear(Flag.NO_BEAM, fraction, z=z)
    return raised(
        Flag.NO_BEAM,
        fraction,
        f"no beam: {fraction:.2%} of the brightness of the run's first frames"
        + _monitor(facts, reference, settings),
        z=z,
    )


def _monitor(facts: FrameFacts, reference: Reference, settings: QualitySettings) -> str:
    """What the beam monitor before the sample says of the loss."""
    now = facts.ref.readbacks
    key = find_readback(now, settings.i0_key, suffixes=("i0",))
    if key is None or not reference.readbacks.get(key, 0.0) > 0:
        return ""
    if not math.isfinite(now[key]):
        return ""
    ratio = now[key] / reference.readbacks[key]
    if ratio < settings.least_beam:
        return f", and so is {key} ({ratio:.2%}): the beam is off before the sample"
    return (
        f" while {key} is at {ratio:.0%}: a shutter behind the monitor, or the sample "
        "is out of the beam"
    )


def _shape_fraction(seen: Seen, reference: Reference) -> float:
    """Scale of the reference's profile in this frame's, a constant pedestal apart."""
    if seen.profiles is None:
        return 1.0
    weight = seen.profiles.whole
    mass = max(float(weight.sum()), 1e-9)
    x = reference.mean - float((weight * reference.mean).sum()) / mass
    y = seen.profiles.mean - float((weight * seen.profiles.mean).sum()) / mass
    power = float((weight * x * x).sum())
    return float((weight * x * y).sum()) / power if power > 0 else 1.0


def _falls_off(facts: FrameFacts, seen: Seen, settings: QualitySettings) -> bool:
    """Whether the mean profile changes along the radius as scattering does."""
    if seen.profiles is None:
        return False
    high, low, noise_high, noise_low = _extremes(facts, seen.profiles)
    significant = high - low > 2 * settings.threshold * math.hypot(
        noise_high, noise_low
    )
    return significant and high > _SHAPE * max(low, 0.0)


def _is_flat(facts: FrameFacts, seen: Seen) -> bool:
    """Whether the mean profile is proved to be as even as a pedestal is."""
    if seen.profiles is None:
        return False
    high, low, noise_high, noise_low = _extremes(facts, seen.profiles)
    return high + 3 * noise_high < _SHAPE * (low - 3 * noise_low)


def _extremes(
    facts: FrameFacts, profiles: Profiles
) -> tuple[float, float, float, float]:
    """Brightest and dimmest stretch of the radius, counts a pixel, and their noise."""
    # Dead corners of a round detector are no scattering that has fallen off.
    whole = np.where(facts.cake.total > 0, profiles.norm, 0.0).sum(axis=1)
    counts = (profiles.norm * profiles.sector).sum(axis=1)
    width = max(whole.size // 24, 3)
    mass = uniform_filter1d(whole, width, mode="nearest")
    level = uniform_filter1d(counts, width, mode="nearest") / np.maximum(mass, 1e-9)
    spread = uniform_filter1d(whole * profiles.variance, width, mode="nearest")
    # The filter's running sum leaves rounding errors below zero behind bright bins.
    sigma = np.sqrt(np.maximum(spread, 0.0) / width) / np.maximum(mass, 1e-9)
    solid = mass > 0.03 * mass.max()
    high = int(np.argmax(np.where(solid, level, -np.inf)))
    low = int(np.argmin(np.where(solid, level, np.inf)))
    return float(level[high]), float(level[low]), float(sigma[high]), float(sigma[low])


def _precision(profiles: Profiles, rings: Rings) -> float:
    """Relative standard deviation of the (median of the five) strongest rings.

    By counting statistics alone: what else scatters (grains, the flat field) does not
    go away with a longer exposure.
    """
    if not rings.bins.size:
        return _brightest(profiles.whole * profiles.mean, np.maximum(profiles.raw, 0.0))
    half = max(math.ceil(rings.width / profiles.pitch), 2)
    return float(
        ring_precision(profiles.mean, profiles.whole, profiles.raw, rings.bins, half)
    )


def _brightest(counts: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
    """The same for the brightest tenth of a pattern without rings, in 9-bin bands."""
    band = uniform_filter1d(counts, 9) * 9
    spread = uniform_filter1d(variance, 9) * 9
    lit = (band > 0) & (spread > 0)
    if not lit.any():
        return math.inf
    return float(np.quantile(np.sqrt(spread[lit]) / band[lit], 0.1))
