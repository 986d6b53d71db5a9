"""Where an instrument puts a powder line, how wide, and in how many parts."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ringwatch.models.diffraction import lorentz_polarization
from ringwatch.models.disturbances.instruments import flat_detector_width

__all__ = ["CU_K_ALPHA", "Alignment", "axial_parts", "instrument_lines"]

Float = NDArray[np.float32]
Floats = NDArray[np.float64]

CU_K_ALPHA = 1.541838
"""Mean of the K-alpha doublet, Angstrom. The wavelengths below make it 1.541871, 2e-5
more, which no bin shows; networks are trained with this number, so it stays."""
_K_ALPHA_SPLIT = (-0.00083, 0.00166)
"""Relative shift in q of K-alpha 1 and 2 from their mean (Hoelzer et al., Phys. Rev. A
56 (1997) 4554: 1.540593 and 1.544427 Angstrom)."""
_K_ALPHA_SHARE = (2 / 3, 1 / 3)
_MOST_PARTS = 10
_PER_WIDTH = 2.0
"""Parts of an asymmetric line per FWHM that it is spread over; more change nothing."""
_UNSPLIT = 0.15
"""FWHM that a line may be spread over without being split."""
_FAINT = 1e-5
"""Lines below this share of the strongest are not split."""


class Alignment(NamedTuple):
    """What the instrument does to the lines of B patterns; arrays (B,) float64.

    Attributes
    ----------
    wavelength : Angstrom.
    polarization : see `ringwatch.models.diffraction.lorentz_polarization`.
    width : FWHM at small angles, 1/Angstrom.
    depth : of the sample over the spot's width where the detector is flat, see
        `ringwatch.models.disturbances.instruments`; negative where the width is
        constant in 2theta.
    strain : relative FWHM of microstrain and wavelength.
    zero_shift : zero error of 2theta as offset of q at small angles, 1/Angstrom.
    displacement : of the sample, outwards positive, over the goniometer radius.
    scale : relative error of q.
    divergence : (H + S) / L; 0 for none.
    doublet : 1 for both K-alpha lines, 0 for their mean.
    overflow : sin(theta) below which the beam is longer than the sample; 0 for none.
    """

    wavelength: Floats
    polarization: Floats
    width: Floats
    depth: Floats
    strain: Floats
    zero_shift: Floats
    displacement: Floats
    scale: Floats
    divergence: Floats
    doublet: Floats
    overflow: Floats


@njit(cache=True, nogil=True)
def axial_parts(two_theta: float, divergence: float, out: Floats) -> None:
    """Angles that a line is seen at through an axially divergent beam.

    A ray that leaves the equatorial plane by the slope u is detected at
    ``arccos(cos(2theta) sqrt(1 + u^2))`` (L. W. Finger, D. E. Cox, A. P. Jephcoat, J.
    Appl. Cryst. 27 (1994) 892, with h = u L). For sample and detector of equal
    height, H = S, their weight function is a triangle in u from 0 to (H + S) / L; the
    parts are the medians of equal shares of it.

    Parameters
    ----------
    two_theta : float
        Bragg angle, radians.
    divergence : float
        (H + S) / L: 0.005 behind narrow Soller slits, 0.06 without.
    out : (k,) float64
        Filled with k angles in radians, each of the same weight.
    """
    for part in range(len(out)):
        share = (part + 0.5) / len(out)
        u = divergence * (1.0 - math.sqrt(1.0 - share))
        cosine = math.cos(two_theta) * math.sqrt(1.0 + u * u)
        out[part] = math.acos(min(max(cosine, -1.0), 1.0))


@njit(cache=True, nogil=True)
def _fwhm(how: Alignment, b: int, q: float, theta: float, k: float) -> float:
    """Full width of a line of pattern b in 1/Angstrom; k is 4 pi over wavelength."""
    width = how.width[b]
    if how.depth[b] >= 0.0:
        spot = 2.0 * width / k  # dq = k / 2 cos(theta) d2theta
        # Beyond 2theta of 80 degrees nothing meets the detector.
        angle = min(2.0 * theta, 1.4)
        width *= flat_detector_width(angle, spot, how.depth[b] * spot, 0.0) / spot
    return math.hypot(width * math.cos(theta), how.strain[b] * q)


@njit(cache=True, nogil=True)
def _split(two_theta: float, divergence: float, fwhm: float, angles: Floats) -> int:
    """Fill the parts of a line whose FWHM is given in 2theta; how many there are."""
    # Half the square of the slope, times cot(2theta): the farthest part.
    far = 0.5 * divergence * divergence / max(math.tan(two_theta), 1e-3)
    spread = abs(far) / fwhm
    if spread < _UNSPLIT:
        angles[0] = two_theta
        return 1
    n = min(_MOST_PARTS, 2 + int(_PER_WIDTH * spread))
    axial_parts(two_theta, divergence, angles[:n])
    return n


@njit(cache=True, nogil=True)
def _place(
    start: NDArray[np.int64],
    q: Float,
    area: Floats,
    how: Alignment,
    out: tuple[NDArray[np.int64], Float, Float, Float],
) -> int:
    """Fill the lines of all patterns; how many there are, or -1 if ``out`` is full."""
    out_start, out_q, out_area, out_fwhm = out
    angles = np.empty(_MOST_PARTS)
    at = 0
    for b in range(len(start) - 1):
        k = 4.0 * math.pi / how.wavelength[b]
        copies = 2 if how.doublet[b] > 0.0 else 1
        top = 0.0
        for line in range(start[b], start[b + 1]):
            top = max(top, area[line])
        for line in range(start[b], start[b + 1]):
            if at + 2 * _MOST_PARTS > len(out_q):
                return -1
            sine = min(q[line] / k, 0.98)
            theta = math.asin(sine)
            cosine = math.cos(theta)
            fwhm = _fwhm(how, b, q[line], theta, k)
            # An area over 2theta becomes one over q.
            weight = area[line] * cosine
            weight *= min(1.0, sine / how.overflow[b]) if how.overflow[b] else 1.0
            angles[0] = 2.0 * theta
            n = 1
            if how.divergence[b] > 0.0 and area[line] > _FAINT * top:
                angular = 2.0 * fwhm / (k * cosine)
                n = _split(2.0 * theta, how.divergence[b], angular, angles)
            for part in range(n):
                centre = k * math.sin(0.5 * angles[part]) * (1.0 + how.scale[b])
                centre += how.zero_shift[b] * cosine
                centre -= k * how.displacement[b] * cosine * cosine
                for copy in range(copies):
                    shift = _K_ALPHA_SPLIT[copy] if copies == 2 else 0.0
                    share = _K_ALPHA_SHARE[copy] if copies == 2 else 1.0
                    out_q[at] = max(centre * (1.0 + shift), 0.05)
                    out_area[at] = weight * share / n
                    out_fwhm[at] = fwhm
                    at += 1
        out_start[b + 1] = at
    return at


def instrument_lines(
    start: NDArray[np.int64], q: Float, strength: Floats, how: Alignment
) -> tuple[NDArray[np.int64], Float, Float, Float]:
    """Lines as the instrument shows them: shifted, split, weighted, widened.

    A sample that lies s off the axis of a goniometer of radius R shifts lines by
    ``-2 (s/R) cos(theta)`` in 2theta (R. Jenkins, R. L. Snyder, Introduction to X-ray
    Powder Diffractometry, 1996, chapter 8).

    Parameters
    ----------
    start : (B + 1,) int
        Lines of pattern b are ``start[b]:start[b + 1]``.
    q : (M,) float32
        True positions, 1/Angstrom.
    strength : (M,) float64
        |F|^2 times multiplicity, texture included.
    how : Alignment
        The instruments.

    Returns
    -------
    start : (B + 1,) int64
    q, area, fwhm : (N,) float32
        1/Angstrom; what `ringwatch.models.diffraction.render` takes.
    """
    owner = np.repeat(np.arange(len(start) - 1), np.diff(start))
    reach = np.minimum(q, 0.98 * 4.0 * math.pi / how.wavelength[owner])
    area = strength * lorentz_polarization(
        reach, how.wavelength[owner], how.polarization[owner]
    )
    room = 2 * _MOST_PARTS
    room += int((np.diff(start) * (1 + (how.doublet > 0))).sum() * 2.5)
    while True:
        out = (
            np.zeros(len(start), np.int64),
            np.empty(room, np.float32),
            np.empty(room, np.float32),
            np.empty(room, np.float32),
        )
        n = _place(start, q, area, how, out)
        if n >= 0:
            return out[0], out[1][:n], out[2][:n], out[3][:n]
        room *= 2
