"""``no_sample``: have the rings gone, and with them the light that they carried?

A phase transition puts the light into other rings, melting into a halo, a rotating
grain into another frame, a beam that fails takes the scattering of the air with it.
Only a sample that is gone leaves the scattering of air and container as it was.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.light.comparison import (
    NO_REFERENCE,
    Comparison,
    exposure_ratio,
    monitor_ratio,
)
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_no_sample"]

Floats = NDArray[np.float64]

_NO_GEOMETRY = "no pattern without a geometry"
_LEAST_SHARE = 0.02  # of the light in rings; less, and I0 is not known well enough
_LEAST_SHARE_ALONE = 0.1  # the same without I0: the beam may vary by some per cent
_MISSING = 1.0  # of what stands above the surroundings: two thirds of a ring
_GAINED = 0.25  # light that came elsewhere over light that went: a halo, not a loss
_LEAST_SECTORS = 4
_WHERE = 0.75  # of the light of the rings that is missing where they were
_SURELY = 5.0  # standard deviations, of what only excludes another cause
_STRETCHES = 24  # of the radius
_BESIDE = 1.5  # FWHM
_BRIGHTER = 0.15  # light between the rings, from which on something else came
_ALIKE = 0.5  # rings over air; beyond, all light fell and not the sample's


def judge_no_sample(
    facts: FrameFacts,
    seen: Seen,
    reference: Reference | None,
    settings: QualitySettings,
) -> Finding:
    """Raise where the sample's sharp structure is gone and nothing replaces its light.

    The value is the amplitude of all sharp structure in the mean profile, new rings
    included, over the reference's at equal exposure and (where known) I0. A container
    with rings of its own hides the loss.
    """
    flag = Flag.NO_SAMPLE
    if seen.profiles is None or reference is None:
        why = NO_REFERENCE
        return not_evaluated(flag, why if seen.profiles else _NO_GEOMETRY)
    light = seen.light
    ringless = light is None or light.ring_z < settings.threshold
    if light is None or ringless or not reference.rings.bins.size:
        return not_evaluated(flag, "the run's first frames have no rings")
    scale, least_share = _expected(facts, reference, settings, light)
    if scale <= 0:
        return not_evaluated(flag, "the monitor reads no beam")
    if light.ring_share < least_share:
        return not_evaluated(
            flag,
            f"rings hold only {light.ring_share:.1%} of the light of the run's first "
            f"frames ({least_share:.0%} needed): a lost sample would not be told from "
            "a molten one",
        )
    fraction = light.structure / scale
    noise = settings.threshold * light.structure_sigma
    limit = math.sqrt(light.structure**2 + noise) / scale
    others = light.between / scale
    brighter = others > 1.0 + settings.beam_tolerance
    if brighter or limit >= min(settings.least_sample, _ALIKE * others):
        return clear(flag, fraction)
    return _confirm(seen.profiles, reference, settings, light, scale)


def _expected(
    facts: FrameFacts,
    reference: Reference,
    settings: QualitySettings,
    light: Comparison,
) -> tuple[float, float]:
    """Light that exposure and I0 let expect over the reference's; rings' least share.

    Where the exposure changed, a monitor's reading is taken as the scattering between
    the rings tells, which needs no sample.
    """
    monitor = monitor_ratio(facts, reference, settings, light.between)
    if isinstance(monitor, str):
        return exposure_ratio(facts, reference, settings), _LEAST_SHARE_ALONE
    return monitor[1], _LEAST_SHARE


def _confirm(
    profiles: Profiles,
    reference: Reference,
    settings: QualitySettings,
    light: Comparison,
    scale: float,
) -> Finding:
    """Second look at a frame whose rings are gone; costs a pass over the cells.

    The loss must stand out of its own scatter over the azimuth: strong single grains
    that turned away went from a few sectors only.
    """
    flag, fraction = Flag.NO_SAMPLE, light.structure / scale
    by_sector = np.zeros((2, profiles.sector.shape[1]))
    lost, gained, before, went, went_sigma, freedom = _losses(
        profiles.sector,
        profiles.norm,
        profiles.mean,
        profiles.whole,
        reference.sector,
        reference.mean,
        scale,
        light.half,
        by_sector,
    )
    z, sectors = _evenness(by_sector)
    enough = _MISSING * light.ring_share * (1.0 - fraction) * before
    missing = lost - gained > enough and gained < _GAINED * lost
    # A weaker beam, too, loses light, but everywhere; the sample where its rings were.
    missing = missing and -went > _WHERE * (1.0 - fraction) and freedom > 1
    missing = missing and -went > _SURELY * went_sigma
    faint = -z < settings.threshold_for(max(sectors - 1, 1))
    if faint or not missing or _came_instead(profiles, reference, scale):
        return clear(flag, fraction, z=z)
    return raised(
        flag,
        fraction,
        f"no sample: {fraction:.1%} of the rings of the run's first frames are left, "
        f"the scattering between them is {light.between / scale:.0%} of what it was: "
        "look whether the sample is in the beam",
        z=z,
    )


def _came_instead(profiles: Profiles, reference: Reference, scale: float) -> bool:
    """Whether light between the rings grew somewhere: a halo of another sample."""
    n = profiles.mean.size
    between = profiles.whole > 0
    for k, fwhm in zip(reference.rings.bins, reference.rings.fwhm, strict=True):
        reach = int(_BESIDE * fwhm / profiles.pitch) + 1
        between[max(k - reach, 0) : k + reach + 1] = False
    weight = np.where(between, profiles.whole, 0.0)
    place = np.arange(n) * _STRETCHES // n
    now, before, noise = (
        np.bincount(place, values, _STRETCHES)
        for values in (
            weight * profiles.mean,
            weight * reference.mean * scale,
            weight * profiles.variance,
        )
    )
    excess = now - (1.0 + _BRIGHTER) * before
    return bool((excess > _SURELY * np.sqrt(np.maximum(noise, 1.0))).any())


def _evenness(by_sector: Floats) -> tuple[float, int]:
    """Change of the rings over its scatter between sectors, and their number.

    Ratio of the loss to what rings that are even around the azimuth would hold in each
    sector (Cochran, Sampling Techniques, 1977, eq. 6.13).
    """
    lost, even = by_sector[:, by_sector[1] > 0.0]
    if even.size < _LEAST_SECTORS:
        return 0.0, int(even.size)
    ratio = float(lost.sum() / even.sum())
    spread = float(((lost - ratio * even) ** 2).sum()) * even.size / (even.size - 1)
    error = math.sqrt(spread) / float(even.sum())
    return (-ratio / error if error > 0 else 0.0), int(even.size)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _losses(
    sector: Floats,
    norm: Floats,
    mean: Floats,
    whole: Floats,
    sector_before: Floats,
    before: Floats,
    scale: float,
    half: int,
    by_sector: Floats,
) -> tuple[float, float, float, float, float, float]:
    """Counts lost, gained and expected, by stretches of the radius; loss of the rings.

    Then the slope of the change against the rings' light, from stretch to stretch and
    beside a common factor, its sigma from the scatter, and the degrees of freedom.

    ``by_sector`` (2, 32) takes the loss along the shape of the reference's rings (their
    height above the mean of ``half`` bins to either side), which no smooth scattering
    resembles, and what it would be for even rings that are gone.
    """
    bins, sectors = sector.shape
    lost = gained = expected = 0.0
    change = light = ringed = 0.0
    light_ringed = ringed_sq = ringed_change = change_sq = 0.0
    stretches = 0
    for i in range(bins):
        if (i and i % (2 * half + 1) == 0) or i == bins - 1:
            lost += max(-change, 0.0)
            gained += max(change, 0.0)
            expected += light
            if light > 0.0:  # weights by counting noise: 1 / light
                light_ringed += ringed
                ringed_sq += ringed * ringed / light
                ringed_change += ringed * change / light
                change_sq += change * change / light
                stretches += 1
            change = light = ringed = 0.0
        mass = counts = 0.0
        for k in range(max(i - half, 0), min(i + half + 1, bins)):
            mass += max(whole[k], 0.0)
            counts += max(whole[k], 0.0) * before[k]
        if mass <= 0.0 or whole[i] <= 0.0:
            continue
        sharp = before[i] - counts / mass
        light += scale * whole[i] * before[i]
        change += whole[i] * (mean[i] - scale * before[i])
        ringed += scale * whole[i] * max(sharp, 0.0)
        for s in range(sectors):
            gone = scale * sector_before[i, s] - sector[i, s]
            by_sector[0, s] += norm[i, s] * sharp * gone
            by_sector[1, s] += norm[i, s] * sharp * scale * before[i]
    # Sums of light^2 / light and light * change / light are those of light and change.
    total = gained - lost
    power = ringed_sq - light_ringed * light_ringed / expected
    slope = (ringed_change - light_ringed * total / expected) / power
    rest = change_sq - total * total / expected - slope * slope * power
    freedom = stretches - 2.0
    sigma = math.sqrt(max(rest, 0.0) / freedom / power) if freedom > 0.0 else math.inf
    return lost, gained, expected, slope, sigma, freedom
