"""Points of frames that were reduced elsewhere: what they may be, and fewer of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ringwatch.agent.kernel import NO_COUNT

__all__ = [
    "LEAST_ANGLES",
    "average_angles",
    "average_points",
    "check_angles",
    "rows_of",
]

Floats = NDArray[np.float64]

LEAST_ANGLES = 16


def check_angles(degrees: Floats) -> None:
    """Refuse what is no row of rising angles.

    Parameters
    ----------
    degrees : (n,) float64
        Scattering angles.

    Raises
    ------
    ValueError
    """
    if degrees.ndim != 1 or degrees.size < LEAST_ANGLES:
        raise ValueError(
            f"angles of shape {degrees.shape}: one row of {LEAST_ANGLES} or more "
            "rising ones is needed"
        )
    step = np.diff(degrees)
    if (step < 0).all():
        raise ValueError(
            f"{degrees.size} angles that fall: rising ones are needed, turn angles and "
            "intensities about (two_theta[::-1], intensity[..., ::-1])"
        )
    if not (step > 0).all():
        at = int(np.argmin(step > 0))
        raise ValueError(
            f"{degrees.size} angles: rising ones are needed, {degrees[at + 1]:g} "
            f"follows {degrees[at]:g}"
        )


def average_angles(degrees: Floats, together: int) -> Floats:
    """Means of so many neighbouring angles; those left over at the end are left out."""
    return degrees if together == 1 else _parted(degrees, together).mean(axis=-1)


def average_points(values: Floats, together: int) -> Floats:
    """Means of so many neighbouring points, of those with pixels.

    Parameters
    ----------
    values : (sectors, n) float64
        NaN and exactly 0 are points without pixels.
    together : int

    Returns
    -------
    (sectors, n // together) float64
        NaN where no point had pixels; infinite where one held no number of counts.
    """
    if together == 1:
        return values
    parts = _parted(values, together)
    known = ~np.isnan(parts) & (parts != 0.0)
    spoilt = known & ~(np.abs(parts) < NO_COUNT)
    number = known.sum(axis=-1)
    total = np.where(known & ~spoilt, parts, 0.0).sum(axis=-1)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return np.where(spoilt.any(axis=-1), np.inf, mean)


def rows_of(intensity: ArrayLike, points: int) -> Floats:
    """Points by sector and angle, (sectors, points).

    Raises
    ------
    ValueError
        Where the shape is another one.
    """
    values = np.atleast_2d(np.asarray(intensity, np.float64))
    if values.ndim != 2 or values.shape[1] != points:
        raise ValueError(
            f"intensity has shape {np.shape(intensity)}: (sectors, {points}) is needed"
        )
    return values


def _parted(values: Floats, together: int) -> Floats:
    """The same points (..., n) in groups, (..., n // together, together)."""
    kept = values[..., : values.shape[-1] // together * together]
    return kept.reshape(*kept.shape[:-1], -1, together)
