"""Instrument resolution of an area detector, from its geometry."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

__all__ = ["area_detector_fwhm", "flat_detector_width"]

_BOX_TO_FWHM = math.sqrt(8.0 * math.log(2.0) / 12.0)
"""FWHM of the Gaussian with the variance of a box of width 1."""


@njit(cache=True, nogil=True)
def flat_detector_width(
    two_theta: float, spot: float, depth: float, bandwidth: float
) -> float:
    """Angular FWHM on a flat detector at right angles to the beam.

    A ring of radius ``L tan(2theta)`` moves by the spot's width, and by ``tan(2theta)``
    times the depth at which a grain lies; ``d2theta = cos^2(2theta) dr / L``. A band of
    wavelengths adds ``2 tan(theta) dlambda / lambda`` (D. Chernyshov et al., Acta
    Cryst. A 77 (2021) 497). Independent contributions add in squares.

    Parameters
    ----------
    two_theta : float
        Radians, below pi / 2.
    spot : float
        FWHM of the image of a point of the sample, over the detector's distance.
    depth : float
        FWHM of the sample along the beam, over the detector's distance.
    bandwidth : float
        Relative FWHM of the wavelength.

    Returns
    -------
    float
        Radians of 2theta.
    """
    cosine = math.cos(two_theta)
    across = spot * cosine * cosine
    along = depth * math.sin(two_theta) * cosine
    colour = 2.0 * bandwidth * math.tan(0.5 * two_theta)
    return math.sqrt(across * across + along * along + colour * colour)


def area_detector_fwhm(
    q: ArrayLike,
    *,
    wavelength: float,
    distance: float,
    pixel: float,
    beam: float,
    thickness: float = 0.0,
    point_spread: float = 0.0,
    bandwidth: float = 0.0,
    divergence: float = 0.0,
) -> NDArray[np.float64]:
    """FWHM of powder lines on a flat detector that the beam meets at right angles.

    Parameters
    ----------
    q : (n,) float
        1/Angstrom.
    wavelength : float
        Angstrom.
    distance, pixel, beam, thickness, point_spread : float
        Metre: sample to detector; edge of a pixel; FWHM of the beam at the sample;
        length of the sample in the beam; FWHM of the detector's point spread.
    bandwidth : float
        Relative FWHM of the wavelength: 1e-4 behind silicon, 1e-2 behind multilayers.
    divergence : float
        Of the beam, FWHM in radians; a beam focused on the detector has none here.

    Returns
    -------
    (n,) float64
        1/Angstrom; the crystallites' own width adds to it.

    Raises
    ------
    ValueError
        If a length is not positive, or q is not scattered forward.
    """
    values = np.asarray(q, np.float64)
    if not min(wavelength, distance, pixel) > 0.0:
        msg = (
            f"wavelength {wavelength}, distance {distance}, pixel {pixel}: expected"
            " positive lengths in Angstrom, metre, metre"
        )
        raise ValueError(msg)
    sine = values * wavelength / (4.0 * math.pi)
    if not ((sine > 0.0) & (sine < math.sqrt(0.5))).all():
        msg = (
            f"q from {values.min()} to {values.max()} 1/A at {wavelength} A: a flat"
            " detector sees 0 < 2theta < 90 degrees; narrow the range"
        )
        raise ValueError(msg)
    theta = np.arcsin(sine)
    image = math.sqrt((_BOX_TO_FWHM * pixel) ** 2 + beam**2 + point_spread**2)
    depth = _BOX_TO_FWHM * thickness
    angular = np.array(
        [
            flat_detector_width(
                2.0 * float(t), image / distance, depth / distance, bandwidth
            )
            for t in theta.ravel()
        ]
    ).reshape(theta.shape)
    width = np.hypot(angular, divergence) * np.cos(theta) * 2.0 * math.pi / wavelength
    return np.asarray(width)
