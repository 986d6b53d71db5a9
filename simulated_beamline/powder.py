"""A sample's powder rings along q, as an instrument of finite resolution has them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.diffraction import (
    Grid,
    cell_volume,
    lorentz_polarization,
    reflections,
    render,
)
from ringwatch.simulated_beamline.geometry import Geometry
from ringwatch.simulated_beamline.phases import Phase
from ringwatch.simulated_beamline.sample import Sample

__all__ = ["ICE_LINES", "Instrument", "PowderRings", "halo", "smooth_background"]

ICE_LINES = (
    (3.90, 1.0),
    (3.67, 0.6),
    (3.44, 0.8),
    (2.67, 0.3),
    (2.25, 0.6),
    (2.07, 0.5),
    (1.95, 0.1),
    (1.92, 0.5),
    (1.88, 0.2),
    (1.72, 0.2),
)
"""Hexagonal ice: d-spacing, Angstrom, and counts relative to the first line.

Rounded from memory of powder tables; good for what ice looks like, not as a reference.
"""
_WEAKEST = 1e-4
"""Lines below this share of the strongest make no ring of their own."""
_POINTS = 16384
"""Points of the profile: about 20 to the pixel on a detector of 1024 pixels edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What widens a ring, apart from the pixel.

    Attributes
    ----------
    beam_size : float
        Full width at half maximum of the beam at the sample, m.
    divergence : float
        rad.
    bandwidth : float
        Relative width of the energy.
    crystallite : float
        Size of coherent domains, Angstrom.
    polarization : float
        pyFAI's factor: 1 horizontal, -1 vertical, 0 none.
    """

    beam_size: float = 0.4e-3
    divergence: float = 1e-4
    bandwidth: float = 5e-4
    crystallite: float = 1500.0
    polarization: float = 0.98

    def width(
        self, two_theta: NDArray[np.float64], geometry: Geometry
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gaussian and Lorentzian full width at half maximum in 2theta, rad.

        The pixel is a box, taken as a Gaussian of its variance (p^2 / 12). Lengths l
        on the detector widen 2theta by ``l cos^2(2theta) / dist``, the bandwidth by
        ``2 tan(theta)``; the domain size by Scherrer's ``0.94 lambda / (L cos theta)``
        (Klug and Alexander, X-Ray Diffraction Procedures, 2nd ed., 1974, eq. 9.1).
        """
        model = geometry.detector
        box = math.sqrt(8.0 * math.log(2.0) / 12.0)
        on_detector = math.hypot(
            self.beam_size,
            model.pixel_size * model.psf_fwhm_px,
            model.pixel_size * box,
        )
        gauss = np.sqrt(
            (on_detector * np.cos(two_theta) ** 2 / geometry.dist) ** 2
            + self.divergence**2
            + (2.0 * self.bandwidth * np.tan(two_theta / 2.0)) ** 2
        )
        size = self.crystallite * 1e-10
        lorentz = 0.94 * geometry.wavelength / (size * np.cos(two_theta / 2.0))
        return gauss, lorentz


def pseudo_voigt(
    gauss: NDArray[np.float64], lorentz: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Width and Lorentzian share of the pseudo-Voigt nearest to a convolution.

    P. Thompson, D. E. Cox and J. B. Hastings, J. Appl. Cryst. 20, 79 (1987), eq. 11-12.
    """
    g, h = gauss, lorentz
    fifth = g**5 + 2.69269 * g**4 * h + 2.42843 * g**3 * h**2
    fifth += 4.47163 * g**2 * h**3 + 0.07842 * g * h**4 + h**5
    width = fifth**0.2
    x = h / width
    return width, 1.36603 * x - 0.47719 * x**2 + 0.11116 * x**3


def smooth_background(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scattering without rings: air, a glass capillary, Compton; 1 at q = 0, no unit.

    Parameters
    ----------
    q : (n,) float64
        1/Angstrom.
    """
    air = 0.75 * np.exp(-q / 0.9)
    glass = 0.12 * np.exp(-0.5 * ((q - 1.55) / 0.42) ** 2)
    compton = 0.25 * (1.0 - 0.5 * np.exp(-((q / 3.0) ** 2)))
    total: NDArray[np.float64] = air + glass + compton
    return total / total[0] if len(total) else total


def halo(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scattering of a glass: two broad maxima and a shoulder, no unit.

    Parameters
    ----------
    q : (n,) float64
        1/Angstrom.
    """
    maxima = ((1.0, 1.9, 0.35), (0.35, 3.2, 0.55), (0.2, 5.2, 0.9))
    total: NDArray[np.float64] = np.zeros_like(q)
    for height, center, sigma in maxima:
        total += height * np.exp(-0.5 * ((q - center) / sigma) ** 2)
    return total


@lru_cache(maxsize=64)
def _farthest(geometry: Geometry) -> float:
    """Largest q on the detector, 1/Angstrom; found once, it takes all pixels."""
    return float(geometry.integrator().center_array(unit="q_A^-1").max())


@dataclass(slots=True)
class PowderRings:
    """Intensity per solid angle along q, without polarization.

    Parameters
    ----------
    sample : Sample
    instrument : Instrument
    geometry : Geometry
        Sets the range of q, the wavelength and what a pixel's width is in q. Small
        shifts of the detector later on do not matter for that.
    """

    sample: Sample
    instrument: Instrument
    geometry: Geometry
    grid: Grid = field(init=False)
    _latest: tuple[float, NDArray[np.float64]] | None = field(init=False, default=None)
    _found: tuple[float, NDArray[np.float64]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        q_max = _farthest(self.geometry) * 1.02
        self.grid = Grid(n_bins=_POINTS, q_min=0.0, q_max=q_max, logarithmic=False)

    def intensity(self, temperature: float) -> NDArray[np.float64]:
        """Rings of all phases at a temperature (kelvin) on ``grid``, (n,) arbitrary.

        Proportional to scattering per volume: a line counts with
        ``m |F|^2 / V^2 / (sin^2(theta) cos(theta))`` (B. E. Warren, X-Ray Diffraction,
        1969, eq. 4.10) times the phase's volume fraction.
        """
        if self._latest is None or self._latest[0] != temperature:
            total = np.zeros(_POINTS)
            parts = zip(
                self.sample.phases, self.sample.fractions(temperature), strict=True
            )
            for phase, fraction in parts:
                if fraction > 1e-6:
                    total += fraction * self._one(phase, temperature)
            self._latest = (temperature, total)
        return self._latest[1]

    def _one(self, phase: Phase, temperature: float) -> NDArray[np.float64]:
        wavelength = self.geometry.wavelength * 1e10
        crystal = phase.crystal(temperature)
        lines = reflections(crystal, q_min=0.1, q_max=self.grid.q_max * 1.02)
        theta = np.arcsin(lines.q * wavelength / (4.0 * np.pi))
        strength = lines.f_squared * lines.multiplicity / cell_volume(crystal.cell) ** 2
        strength *= lorentz_polarization(lines.q, wavelength, 0.0)
        gauss, lorentz = self.instrument.width(2.0 * theta, self.geometry)
        width, share = pseudo_voigt(gauss, lorentz)
        # A profile of unit area in 2theta has the area dq/d(2theta) in q.
        per_radian = 2.0 * np.pi * np.cos(theta) / wavelength
        profile = render(
            self.grid,
            np.array([0, len(lines.q)]),
            lines.q.astype(np.float32),
            (strength * per_radian).astype(np.float32),
            (width * per_radian).astype(np.float32),
            np.array([share.mean()], np.float32),
            cutoff=1e-6,
        )
        return profile[0].astype(np.float64)

    def lines(self, temperature: float) -> NDArray[np.float64]:
        """Where the rings lie, 1/Angstrom, ascending (m,).

        Lines nearer to each other than four points of ``grid`` are one ring; those
        below 1e-4 of the strongest are none.
        """
        if self._found is None or self._found[0] != temperature:
            self._found = (temperature, self._distinct_lines(temperature))
        return self._found[1]

    def _distinct_lines(self, temperature: float) -> NDArray[np.float64]:
        places, strengths = [], []
        parts = zip(self.sample.phases, self.sample.fractions(temperature), strict=True)
        for phase, fraction in parts:
            found = reflections(
                phase.crystal(temperature), q_min=0.1, q_max=self.grid.q_max
            )
            places.append(found.q)
            strengths.append(fraction * found.f_squared * found.multiplicity)
        q, strength = np.concatenate(places), np.concatenate(strengths)
        order = np.argsort(q[strength > _WEAKEST * strength.max()])
        q = q[strength > _WEAKEST * strength.max()][order]
        apart = np.diff(q, prepend=-np.inf) > 4.0 * self.grid.spacing
        return np.asarray(q[apart], dtype=np.float64)

    def nearest_line(self, temperature: float) -> NDArray[np.int32]:
        """Index in ``lines`` of the ring next to each point of ``grid``, (n,)."""
        q = self.lines(temperature)
        between = 0.5 * (q[1:] + q[:-1])
        return np.searchsorted(between, self.grid.q).astype(np.int32)

    def ice(self) -> NDArray[np.float64]:
        """Rings of hexagonal ice on ``grid``, (n,) arbitrary."""
        d_spacing, counts = np.array(ICE_LINES).T
        q = 2.0 * np.pi / d_spacing
        wavelength = self.geometry.wavelength * 1e10
        theta = np.arcsin(np.minimum(q * wavelength / (4.0 * np.pi), 1.0))
        width, _ = pseudo_voigt(*self.instrument.width(2.0 * theta, self.geometry))
        per_radian = 2.0 * np.pi * np.cos(theta) / wavelength
        sigma = width * per_radian / math.sqrt(8.0 * math.log(2.0))
        away = (self.grid.q[:, None] - q) / sigma
        # Counts of a ring spread over its circumference, which grows with q.
        rings: NDArray[np.float64] = np.exp(-0.5 * away**2) @ (counts / (sigma * q))
        return rings
