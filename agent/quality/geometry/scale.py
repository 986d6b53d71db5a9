"""``radial_scale``: did all rings grow or shrink together since the run began?

The detector's distance, the photon energy, the sample along the beam and the lattice
all do that, and rings at small angles cannot tell them apart. So readbacks decide what
it means (``scale_cause``): an instrument that moved as the rings say is a misalignment,
a warmer sample is science.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from ringwatch.agent.nouns import Flag, Severity
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.profiles import Profiles
from ringwatch.agent.quality.geometry.ring_history import RingHistory
from ringwatch.agent.quality.geometry.scale_cause import cause_of_scale
from ringwatch.agent.quality.geometry.scale_fit import (
    NEW_SHAPE,
    ScaleFit,
    fit_at_scale,
)
from ringwatch.agent.quality.light.comparison import NO_REFERENCE
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["ScaleFit", "fit_scale", "judge_radial_scale"]

_REACH = 0.03  # relative; heating a metal to its melting point expands it by 2 %
_EXACT = 0.02  # FWHM; a larger change is fitted again with the scaled reference
_NEAR = 0.3  # FWHM; farther off the right ring may be another one
_REMEDIES = {
    Severity.MISALIGNED: "; put it back, or calibrate again",
    Severity.SUSPECT: "; find out what moved (distance, energy, the sample along the "
    "beam) or what the sample did, and calibrate again if it stays",
}
_BRIGHT = 0.5  # rings of half the reference's height are the same rings


def judge_radial_scale(
    facts: FrameFacts,
    seen: Seen,
    reference: Reference | None,
    settings: QualitySettings,
    history: RingHistory | None = None,
) -> Finding:
    """Raise where the radii changed, with the severity that the readbacks give it.

    ``seen.scale`` is what ``fit_scale`` found, which is asked where that is missing.
    ``history`` knows how the rings scattered before, and learns from clear frames.
    """
    flag = Flag.RADIAL_SCALE
    if seen.profiles is None:
        return not_evaluated(flag, "no geometry")
    if reference is None:
        return not_evaluated(flag, NO_REFERENCE)
    fit = seen.scale or fit_scale(seen.profiles, reference)
    if fit is None or math.isnan(fit.scale):
        return not_evaluated(flag, "too few rings in common with the run's reference")
    sigma, freedom = fit.sigma, fit.freedom
    if history is not None:
        sigma, freedom = history.error(fit)
    ppm, z = fit.scale * 1e6, fit.scale / sigma
    further = {"radial_scale_sigma_ppm": sigma * 1e6}
    significant = abs(z) > settings.threshold_for(freedom)
    if not significant or abs(fit.scale) < settings.scale_tolerance:
        if history is not None:
            history.learn(fit)
        return clear(flag, ppm, z=z, further=further)
    severity, why = cause_of_scale(facts, reference, fit, sigma, settings)
    word = "grew" if ppm > 0 else "shrank"
    return raised(
        flag,
        ppm,
        f"rings {word} by {abs(ppm):.0f} ppm since the run's first frames "
        f"({abs(z):.0f} sigma): {why}{_REMEDIES.get(severity, '')}",
        z=z,
        severity=severity,
        further=further,
    )


def fit_scale(profiles: Profiles, reference: Reference) -> ScaleFit | None:
    """Find the reference's rings in a frame; None where the reference has too few.

    Near the reference's own scale one linear fit does. Where that leaves the rings
    scattered, dim or far away, a correlation on a logarithmic radius starts it anew.
    """
    if reference.rings.bins.size < 2:
        return None
    mean, variance = reference.mean, reference.variance
    fit = fit_at_scale(profiles, mean, variance, 0.0)
    if fit is None:
        return None
    farthest = profiles.radius[reference.rings.bins[-1]] / reference.rings.width
    change = fit.scale
    sure = fit.apart < NEW_SHAPE and fit.ring_amplitude > _BRIGHT
    if not (sure and abs(change) * farthest <= _NEAR):
        coarse = _coarse_scale(profiles, reference)
        start = fit_at_scale(profiles, mean, variance, coarse)
        if start is not None and not start.ring_amplitude < fit.ring_amplitude:
            fit, change = start, math.inf
    for _ in range(3):
        if not abs(change) * farthest > _EXACT or math.isnan(fit.scale):
            break
        again = fit_at_scale(profiles, mean, variance, fit.scale)
        if again is None or math.isnan(again.scale):
            break
        change, fit = again.scale - fit.scale, again
    return fit


def _coarse_scale(profiles: Profiles, reference: Reference) -> float:
    """Shift between the two patterns on a logarithmic radius, by correlation."""
    low = max(profiles.radius[0], profiles.radius[-1] / 20)
    n = 2 * profiles.radius.size
    grid = np.exp(np.linspace(math.log(low), math.log(profiles.radius[-1]), n))
    size = next_fast_len(2 * n, real=True)
    spectra = []
    for profile in (profiles.mean, reference.mean):
        on_grid = np.sqrt(np.maximum(np.interp(grid, profiles.radius, profile), 0.0))
        spectra.append(rfft(on_grid - uniform_filter1d(on_grid, 61), size))
    match = irfft(spectra[0] * np.conj(spectra[1]), size)
    pitch = math.log(grid[1] / grid[0])
    reach = int(_REACH / pitch)
    lags = np.arange(-reach, reach + 1)
    return float(math.expm1(lags[int(np.argmax(match[lags]))] * pitch))
