"""The rings of a reference, looked for in a frame: their scale, shifts and heights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.quality.geometry.maxima_kernels import MOST_RINGS
from ringwatch.agent.quality.geometry.profiles import Profiles
from ringwatch.agent.quality.geometry.scale_kernels import NO_RINGS, fit_rings

__all__ = ["NEW_SHAPE", "ScaleFit", "fit_at_scale"]

NEW_SHAPE = 0.25
"""FWHM; rings that move apart by more do not scale, they split."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaleFit:
    """The rings of the reference, looked for in a frame.

    Attributes
    ----------
    scale : float
        Relative change of the radii; NaN where fewer than two rings are found again.
    sigma : float
        Standard deviation of ``scale``.
    scatter, counting : float
        The same by the scatter of the rings alone, and by counting statistics alone.
    freedom : float
        Degrees of freedom of ``sigma``.
    apart : float
        Scatter of the rings about the common scale, in FWHM.
    brightness : float
        Mean profile over that of the reference, all scattering counted.
    ring_amplitude, ring_amplitude_sigma : float
        Height of the rings over that in the reference, both relative to
        ``brightness``: 1 for the same sample, 0 where its rings are gone.
    moved : (3, n) float64
        Of each ring found again: its radius in the reference, how much larger it is
        now, and the standard deviation of that by counting statistics; pixels.
    """

    scale: float
    sigma: float
    scatter: float
    counting: float
    freedom: float
    apart: float
    brightness: float
    ring_amplitude: float
    ring_amplitude_sigma: float
    moved: NDArray[np.float64]


def fit_at_scale(
    profiles: Profiles,
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    scale: float,
) -> ScaleFit | None:
    """Fit the rings of a known profile, scaled; None where it has fewer than two.

    Parameters
    ----------
    profiles : Profiles
        Of the frame.
    mean, variance : (n_q,) float64
        The known profile in counts per pixel, and its variance.
    scale : float
        Relative change of the radii by which that is read first.
    """
    moved = np.empty((3, MOST_RINGS))
    usable, *fit, bright, high, error = fit_rings(
        profiles.mean,
        profiles.variance,
        profiles.whole,
        profiles.radius,
        profiles.step,
        profiles.pitch,
        mean,
        variance,
        scale,
        moved,
    )
    if bright == NO_RINGS:
        return None
    change, sigma, scatter, counting, freedom, apart = fit
    return ScaleFit(
        scale=(1.0 + scale) * (1.0 + change) - 1.0,
        sigma=sigma,
        scatter=scatter,
        counting=counting,
        freedom=freedom,
        apart=apart,
        brightness=bright,
        ring_amplitude=high,
        ring_amplitude_sigma=error,
        moved=moved[:, :usable],
    )
