"""Light of a frame against that of the run's reference: rings, and what is between.

One pass over the mean profile, for all checks that ask where the light went.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.facts import (
    FrameFacts,
    Reference,
    exposure,
    find_readback,
)
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.settings import QualitySettings

__all__ = [
    "LEAST",
    "NO_REFERENCE",
    "Comparison",
    "Unevenness",
    "box_of",
    "compare_light",
    "exposure_ratio",
    "measure_unevenness",
    "monitor_ratio",
    "most_sectors",
]

Floats = NDArray[np.float64]

LEAST = 1e-6
"""Ratio that stands for none at all where a logarithm is taken."""

NO_REFERENCE = (
    "no reference: one frame alone, or the first of a run, has nothing to compare with"
)
"""Why a check that compares was not made."""

_BOX = 2.5  # FWHM to either side; wide enough for a ring, narrow against a halo
_LEAST_BOX, _LARGEST_BOX = 5, 60  # bins to either side
_STRETCHES = 8  # of the radius, with as much light each; wide against a ring's shift


class Comparison(NamedTuple):
    """Light of a frame over that of the run's reference, as recorded.

    Attributes
    ----------
    counts : float
        Dark-subtracted counts of the frame, at normal incidence.
    total, sigma : float
        All dark-subtracted counts over the reference's, and its standard deviation by
        counting statistics.
    between : float
        The same for the bins that lie lower than their surroundings in the reference:
        the scattering between the rings.
    rings : float
        Amplitude of the reference's rings, from their shape.
    structure : float
        Root of the power of all sharp structure over the reference's, whatever its
        place: rings that the reference does not have count too.
    structure_sigma : float
        Of ``structure**2``, by counting statistics.
    ring_share : float
        Share of the reference's counts that stand above their surroundings: at most
        what is in rings.
    ring_z : float
        Power of the reference's sharp structure over its standard deviation.
    half : int
        Bins to either side of the surroundings of a bin.
    """

    counts: float
    total: float
    sigma: float
    between: float
    rings: float
    structure: float
    structure_sigma: float
    ring_share: float
    ring_z: float
    half: int


def compare_light(profiles: Profiles, reference: Reference) -> Comparison | None:
    """Compare the mean profile with the reference's; None where that has no light."""
    half = box_of(profiles, reference.rings.width)
    known, *parts = _compare(
        profiles.mean,
        profiles.variance,
        profiles.whole,
        reference.mean,
        reference.variance,
        half,
    )
    return Comparison._make((*parts, half)) if known else None


class Unevenness(NamedTuple):
    """How unevenly the light changed along the radius, beside the change of all of it.

    Attributes
    ----------
    trend : float
        Outermost light over the innermost, less 1, both relative to the reference and
        by a straight line over the share of the light within a radius.
    sigma : float
        Standard deviation of ``trend`` by counting statistics.
    scatter : float
        Standard deviation of stretches of the radius about the whole, relative, freed
        of the noise by counting statistics; 0 where it is less than that.
    """

    trend: float
    sigma: float
    scatter: float


def measure_unevenness(profiles: Profiles, reference: Reference) -> Unevenness | None:
    """Compare stretches of the radius; None where they hold no light to compare."""
    whole = profiles.whole
    lit = np.maximum(whole * reference.mean, 0.0)
    within = np.cumsum(lit)
    counts = whole * profiles.mean
    total, before = float(counts.sum()), float(within[-1])
    if not (0.0 < before < math.inf and 0.0 < total < math.inf):
        return None
    spread = whole * profiles.variance / total**2
    spread += (whole / before) ** 2 * reference.variance
    place = ((within - lit / 2) / before * _STRETCHES).astype(np.int64)
    place = np.minimum(place, _STRETCHES - 1)
    now, then, noise = (
        np.bincount(place, part, _STRETCHES)
        for part in (counts / total, lit / before, spread)
    )
    kept = np.flatnonzero(then > 0.0)  # a strong ring may fill more than one
    if kept.size < 2:
        return None
    now, then, noise = now[kept], then[kept], noise[kept]
    change = now / then - 1.0
    radius = (kept + 0.5) / _STRETCHES
    radius -= then @ radius
    moment = float(then * radius @ radius)
    trend = float(then * radius @ change) / moment
    sigma = math.sqrt(float(noise * radius @ radius)) / moment
    power = float(then @ change**2) - float((noise / then).sum() - noise.sum())
    return Unevenness(trend, sigma, math.sqrt(max(power, 0.0)))


def most_sectors(profiles: Profiles, reference: Reference, share: float) -> float:
    """Light over the reference's that a share of the sectors stays below.

    NaN where there are none to compare.

    A light that all of the frame lost is missing from nearly all sectors, what stands
    in its way or was not read out from few, from half of them at most.
    """
    weight = np.where(reference.norm > 0.0, profiles.norm, 0.0)
    now = np.einsum("is,is->s", weight, profiles.sector)
    then = np.einsum("is,is->s", weight, reference.sector)
    seen = then > then.max(initial=0.0) / 4
    return float(np.quantile(now[seen] / then[seen], share)) if seen.any() else math.nan


def monitor_ratio(
    facts: FrameFacts, reference: Reference, settings: QualitySettings, intensity: float
) -> tuple[str, float, float] | str:
    """Key of the monitor, I0 and exposure over the reference's; or why there is none.

    Monitors give counts of the exposure or a rate; where the exposure changed within
    the run, the reading is taken for what brings it closer to ``intensity`` (recorded
    counts over the reference's). The I0 given is that of the whole exposure.
    """
    now, then = facts.ref.readbacks, reference.readbacks
    longer = exposure_ratio(facts, reference, settings)
    key = find_readback(now, settings.i0_key, suffixes=("i0",))
    if key is None:
        wanted = settings.i0_key or "a key named i0 or ending in _i0"
        return f"no readback of I0 ({wanted}): name it in i0_key"
    if key not in then or not math.isfinite(now[key]):
        return f"{key} has no number in this frame or in the run's first frames"
    if not math.isfinite(then[key]) or then[key] == 0.0:
        return f"{key} was {then[key]:g} in the run's first frames"
    counted = now[key] / then[key]
    if longer == 1.0:
        return key, counted, longer
    rate = counted * longer
    near = math.log(max(intensity, LEAST))
    away = [abs(math.log(max(i, LEAST)) - near) for i in (counted, rate)]
    return key, counted if away[0] <= away[1] else rate, longer


def exposure_ratio(
    facts: FrameFacts, reference: Reference, settings: QualitySettings
) -> float:
    """Exposure of the frame over the reference's; 1 where nobody tells."""
    now = exposure(facts.ref.readbacks, settings)
    then = exposure(reference.readbacks, settings)
    return now / then if now and then else 1.0


def box_of(profiles: Profiles, width: float) -> int:
    """Bins to either side that make the surroundings of a bin, for rings of a width.

    Parameters
    ----------
    width : float
        FWHM of the rings, pixels; NaN where there are none.
    """
    bins = _BOX * width / profiles.pitch if math.isfinite(width) else 0.0
    return min(max(math.ceil(bins), _LEAST_BOX), _LARGEST_BOX)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _compare(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    before: Floats,
    variance_before: Floats,
    half: int,
) -> tuple[bool, float, float, float, float, float, float, float, float, float]:
    """Whether there is light to compare, and the fields of ``Comparison`` but one.

    The surroundings of a bin are the mean over ``half`` bins to either side by running
    sums; sharp structure is what differs from them. Its power is freed of the noise
    that is expected in it.
    """
    n = mean.size
    weight, counts, counts_before = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for i in range(n):
        w = max(whole[i], 0.0)
        weight[i + 1] = weight[i] + w
        counts[i + 1] = counts[i] + w * mean[i]
        counts_before[i + 1] = counts_before[i] + w * before[i]
    below = below_before = along = power_along = above = 0.0
    power = power_before = noise = noise_before = spread = spread_before = 0.0
    for i in range(n):
        w = whole[i]
        low, high = max(i - half, 0), min(i + half + 1, n)
        mass = weight[high] - weight[low]
        if w <= 0.0 or mass <= 1.5 * w:
            continue
        share = 1.0 / mass
        sharp = mean[i] - (counts[high] - counts[low]) * share
        sharp_before = before[i] - (counts_before[high] - counts_before[low]) * share
        free = 1.0 - w * share
        # Noise of the power: 4 h^2 v + 2 v^2 with h the structure, v its variance.
        v, v_before = free * variance[i], free * variance_before[i] * w
        power += w * sharp * sharp - v
        noise += 2.0 * v * v + 4.0 * w * sharp * sharp * v
        power_before += w * (sharp_before * sharp_before) - v_before
        noise_before += 2.0 * v_before * v_before
        along += w * sharp * sharp_before
        power_along += w * sharp_before * sharp_before
        spread += w * variance[i]
        spread_before += w * w * variance_before[i]
        between = w if sharp_before < 0.0 else 0.0
        below += between * mean[i]
        below_before += between * before[i]
        above += (w - between) * sharp_before
    total = counts[n] / counts_before[n]
    spread = math.sqrt(spread + total**2 * spread_before) / counts_before[n]
    ringed = power_before > 0.0
    return (
        counts_before[n] > 0.0 and power_along > 0.0 and math.isfinite(counts[n]),
        counts[n],
        total,
        spread,
        below / below_before if below_before > 0.0 else total,
        along / power_along,
        math.sqrt(max(power, 0.0) / power_before) if ringed else 1.0,
        math.sqrt(noise) / power_before if ringed else 1.0,
        above / counts_before[n],
        power_before / math.sqrt(noise_before) if noise_before > 0.0 else 0.0,
    )
