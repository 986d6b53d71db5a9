"""``grainy`` and ``texture``: how the intensity of the rings varies around the azimuth.

Texture is smooth and even: at small angles a ring has the same intensity at ``chi`` and
``chi + pi`` (Friedel). Grains are neither: each cell of a ring holds the grains that
chance put there. So grains are measured where texture leaves nothing - between sectors
that face each other, and in the curvature from sector to sector - and texture must
stand out of that scatter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, fdtri, ndtri

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.azimuth.ring_light import measure_rings
from ringwatch.agent.quality.azimuth.ring_scatter import (
    typical_scatter,
    typical_texture,
)
from ringwatch.agent.quality.facts import FrameFacts, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.ring_center import CenterFit
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["RingLight", "judge_grainy", "judge_texture", "measure_ring_light"]

_SAMPLING = 0.01
"""Relative scatter of a ring's cells that pixels as wide as the ring make by
themselves, and that a flat field leaves."""

_MOST_RINGS = 12
_TEXTURE_RINGS = 5
_LEAST_CELLS = 8  # sectors of a ring that are known
_LEAST_HALF = 12  # of the 16 directions that are left when facing sectors are the same
_OFF_CENTRE = 0.3  # FWHM
_SPOTTY = 0.5  # variance of pixels over that of cells; smooth variation has 1/12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RingLight:
    """Intensity of the best known rings in each sector.

    Attributes
    ----------
    amplitude, sigma : (n, 32) float64
        Ring intensity over that of the mean ring, and its standard deviation by
        counting statistics; infinite where not known. The best known ring is first.
    within : (n,) float64
        Variance of the pixels of a cell beyond counting statistics, over the squared
        height of the ring.
    """

    amplitude: NDArray[np.float64]
    sigma: NDArray[np.float64]
    within: NDArray[np.float64]


def measure_ring_light(facts: FrameFacts, seen: Seen) -> RingLight | None:
    """Fit the rings of each sector; None without a geometry or rings."""
    profiles, rings = seen.profiles, seen.rings
    if profiles is None or rings is None or not rings.bins.size:
        return None
    cake = facts.cake
    amplitude, sigma, within = measure_rings(
        cake.pixels,
        cake.total,
        cake.total_sq,
        profiles.radius,
        profiles.step,
        profiles.sector,
        profiles.norm,
        profiles.variance,
        profiles.mean,
        rings.bins,
        rings.fwhm,
        _LEAST_CELLS,
        _MOST_RINGS,
    )
    return RingLight(amplitude=amplitude, sigma=sigma, within=within)


def judge_grainy(light: RingLight | None, settings: QualitySettings) -> Finding:
    """Raise where too few grains make the mean intensity of the rings a matter of luck.

    The value is the number of equal grains that reflect into a cell (a ring in one of
    32 sectors): 1 over the relative variance between cells beyond counting statistics.
    With ``n`` of them the azimuthal mean of a ring is known to ``1 / sqrt(32 n)`` only;
    that must exceed both ``grain_tolerance`` and the counting error. Pixels within the
    cells must scatter at least half as much, as they do where a grain makes a spot.
    """
    flag = Flag.GRAINY
    if light is None or not light.within.size:
        return not_evaluated(flag, _why_not(light))
    grains, noise, cells, within, freedom = typical_scatter(
        light.amplitude, light.sigma, light.within, _SAMPLING
    )
    if not freedom > 0:
        return not_evaluated(
            flag, "too little of the azimuth is covered to tell grains from texture"
        )
    z = _normal_of_chi2((grains + noise) / noise * freedom, freedom)
    error, counting = math.sqrt(max(grains, 0.0) / cells), math.sqrt(noise / cells)
    per_cell = 1.0 / grains if grains > 0 else math.nan
    further = {"grain_error": error}
    spotty = within > _SPOTTY * grains
    matters = error > max(settings.grain_tolerance, counting)
    if z > settings.threshold and matters and spotty:
        return raised(
            flag,
            per_cell,
            f"too few grains ({per_cell:.2g} in each of 32 sectors of a ring): mean "
            f"ring intensities are off by {error:.1%} by chance ({z:.0f} sigma); spin "
            "or rock the sample, or grind it finer",
            z=z,
            further=further,
        )
    hidden = settings.threshold * noise * math.sqrt(2.0 / freedom)
    if hidden > settings.grain_tolerance**2 * cells:
        return not_evaluated(
            flag,
            f"counting noise of {math.sqrt(noise):.0%} in each sector of a ring would "
            "hide the grains: expose longer",
        )
    return clear(flag, per_cell, z=z, further=further)


def judge_texture(
    light: RingLight | None, seen: Seen, settings: QualitySettings
) -> Finding:
    """Tell of preferred orientation: rings that vary smoothly and evenly with azimuth.

    The value is the texture index J of the best known rings, the mean over the azimuth
    of the squared relative intensity (Bunge 1982, ch. 4): 1 without texture. Harmonics
    2, 4 and 6 must stand out of the scatter of the sectors, grains included (F test, as
    if all rings together were one, since grains show in several), and J must exceed 1
    by ``texture_tolerance``.
    """
    flag = Flag.TEXTURE
    if light is None or not light.within.size:
        return not_evaluated(flag, _why_not(light))
    center = seen.center
    if center is not None and _off(center) > _OFF_CENTRE * center.fwhm:
        return not_evaluated(
            flag, f"rings that are {_off(center):.1f} px off centre vary by themselves"
        )
    excess, explained, left, freedom, noise = typical_texture(
        light.amplitude, light.sigma, _SAMPLING, _LEAST_HALF, _TEXTURE_RINGS
    )
    if not freedom > 0:
        return not_evaluated(
            flag, "less than three quarters of half a turn of azimuth is covered"
        )
    ratio = explained / 6 / max(left / freedom, 1.0)
    z = float(-ndtri(max(fdtrc(6, freedom, ratio), 1e-300)))
    index = 1.0 + excess
    needed = _least_ratio(freedom, settings.tail)
    if ratio > needed and excess > settings.texture_tolerance:
        return raised(
            flag,
            index,
            f"the rings are textured (index {index:.2f}, {z:.0f} sigma): relative "
            "intensities do not tell amounts unless the texture is modelled",
            z=z,
        )
    hidden = needed * 6 / (freedom + 9) * noise
    if hidden > settings.texture_tolerance:
        return not_evaluated(
            flag,
            "grains or counting noise would hide a texture index below "
            f"{1 + hidden:.2g}",
        )
    return clear(flag, index, z=z)


def _why_not(light: RingLight | None) -> str:
    if light is None:
        return "no rings, or no geometry to find them with"
    return "no ring is known well enough in eight sectors: expose longer"


def _normal_of_chi2(chi2: float, freedom: float) -> float:
    """Normal deviate of a chi^2 (Wilson and Hilferty 1931)."""
    spread = 2.0 / (9.0 * freedom)
    return float((math.cbrt(chi2 / freedom) - 1.0 + spread) / math.sqrt(spread))


def _off(center: CenterFit) -> float:
    return math.hypot(center.dx, center.dy)


@lru_cache(maxsize=256)
def _least_ratio(freedom: float, tail: float) -> float:
    """F that chance exceeds with the probability ``tail``: six harmonics."""
    return float(fdtri(6, freedom, 1.0 - tail))
