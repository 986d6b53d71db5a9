"""``radial_scale``: did all rings grow or shrink together since the run began?

The detector's distance, the photon energy, the sample along the beam and the lattice
all do that, and rings at small angles cannot tell them apart. So readbacks decide what
it means: a move of the instrument is a misalignment, a warmer sample is science.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from ringwatch.agent.nouns import Flag, Severity
from ringwatch.agent.quality.displacement import measure_moves
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen, find_readback
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.rings import Profiles, find_rings
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_radial_scale"]

_REACH = 0.03  # relative; heating a metal to its melting point expands it by 2 %
_NEW_SHAPE = 0.25  # FWHM; rings that move apart by more do not scale, they split


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScaleFit:
    scale: float  # relative change of the radii
    sigma: float
    freedom: float
    apart: float  # scatter of the rings about it, in FWHM


def judge_radial_scale(
    facts: FrameFacts,
    seen: Seen,
    reference: Reference | None,
    settings: QualitySettings,
) -> Finding:
    """Raise where the radii changed, with the severity that the readbacks give it."""
    flag = Flag.RADIAL_SCALE
    if seen.profiles is None:
        return not_evaluated(flag, "no geometry")
    if reference is None:
        return not_evaluated(flag, "no reference: the run is at its first frames")
    fit = _fit_scale(seen.profiles, reference)
    if fit is None:
        return not_evaluated(flag, "too few rings in common with the run's reference")
    ppm, z = fit.scale * 1e6, fit.scale / fit.sigma
    further = {"radial_scale_sigma_ppm": fit.sigma * 1e6}
    significant = abs(z) > settings.threshold_for(fit.freedom)
    if not significant or abs(fit.scale) < settings.scale_tolerance:
        return clear(flag, ppm, z=z, further=further)
    severity, why = _explain(facts.ref.readbacks, reference, fit, settings)
    word = "grew" if ppm > 0 else "shrank"
    return raised(
        flag,
        ppm,
        f"rings {word} by {abs(ppm):.0f} ppm since the run's first frames "
        f"({abs(z):.0f} sigma): {why}",
        z=z,
        severity=severity,
        further=further,
    )


def _explain(
    now: Mapping[str, float],
    reference: Reference,
    fit: _ScaleFit,
    settings: QualitySettings,
) -> tuple[Severity, str]:
    for name in settings.geometry_keys:
        then = reference.readbacks.get(name)
        if then is None or name not in now:
            continue
        if abs(now[name] - then) > settings.geometry_tolerance * abs(then):
            why = f"{name} changed from {then:.6g} to {now[name]:.6g}"
            return Severity.MISALIGNED, why
    key = find_readback(now, settings.temperature_key, parts=("temperature",))
    if key is not None and key in reference.readbacks:
        warmer = now[key] - reference.readbacks[key]
        if abs(warmer) > settings.temperature_tolerance:
            return Severity.INFORMATION, f"{key} changed by {warmer:+.1f} K"
    if fit.apart > _NEW_SHAPE:
        return Severity.INFORMATION, "the pattern changed its shape as well"
    return Severity.SUSPECT, "no readback explains it"


def _fit_scale(profiles: Profiles, reference: Reference) -> _ScaleFit | None:
    if reference.rings.bins.size < 2:
        return None
    scale = _coarse_scale(profiles, reference)
    fit = None
    for _ in range(3):
        fit = _linear_scale(profiles, reference, scale)
        if fit is None:
            return None
        change = fit.scale - scale
        scale = fit.scale
        if abs(change) * profiles.radius[-1] < 0.02:
            break
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


def _linear_scale(
    profiles: Profiles, reference: Reference, scale: float
) -> _ScaleFit | None:
    """Fit the rings of the scaled reference in this frame's mean profile."""
    at = profiles.radius / (1.0 + scale)
    mean = np.interp(at, profiles.radius, reference.mean)
    whole = profiles.norm.sum(axis=1)
    level = max(float((whole * mean).sum()), 1e-12)
    bright = max(float((whole * profiles.mean).sum()) / level, 1e-6)
    spread = np.interp(at, profiles.radius, reference.variance)
    template = Profiles(
        radius=profiles.radius,
        step=profiles.step,
        sector=profiles.mean[:, None],
        norm=whole[:, None],
        mean=mean * bright,
        variance=profiles.variance + spread * bright**2 * whole,
    )
    rings = find_rings(template)
    if rings.bins.size < 2:
        return None
    moves = measure_moves(template, rings)
    a = moves.amplitude[:, 0]
    usable = np.isfinite(moves.sigma[:, 0]) & (a > 0.1)
    if usable.sum() < 2:
        return None
    moved = moves.move[usable, 0] / a[usable]
    noise = np.hypot(moves.sigma[usable, 0] / a[usable], 0.003)
    r = moves.radius[usable]
    slope, sigma, freedom, apart = _through_origin(r, moved, noise)
    return _ScaleFit(
        scale=(1.0 + scale) * (1.0 + slope) - 1.0,
        sigma=sigma,
        freedom=freedom,
        apart=apart / rings.width,
    )


def _through_origin(
    r: NDArray[np.float64], moved: NDArray[np.float64], noise: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Robust ``moved = slope r``: slope, sigma, degrees of freedom, scatter (px)."""
    excess = 0.0
    huber = np.ones_like(r)
    for _ in range(5):
        spread = noise**2 + excess
        weight = huber / spread
        power = float((weight * r * r).sum())
        slope = float((weight * r * moved).sum()) / power
        residual = moved - slope * r
        typical = 1.4826 * float(np.median(np.abs(residual)))
        excess = max(typical**2 - float(np.median(noise**2)), 0.0)
        size = np.abs(residual) / np.sqrt(noise**2 + excess)
        huber = np.minimum(1.0, 1.5 / np.maximum(size, 1.5))
    influence = weight * r / power
    leverage = np.minimum(influence * r, 0.9)
    variance = float(((influence * residual / (1 - leverage)) ** 2).sum())
    variance = max(variance, 1.0 / power)
    parts = influence**2 * spread
    freedom = float(parts.sum() ** 2 / (parts**2).sum()) - 1.0
    return slope, math.sqrt(variance), max(freedom, 1.0), typical
