"""Rings on a detector: pyFAI's geometry of each pixel, shadow, gaps, dark current."""

from __future__ import annotations

from dataclasses import dataclass, field

import numba as nb
import numpy as np
from numpy.typing import NDArray
from pyFAI.units import to_unit

from ringwatch.models.diffraction import Grid
from ringwatch.simulated_beamline.geometry import Geometry

__all__ = ["Beamstop", "PixelMap", "dark_pattern"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beamstop:
    """A disc on an arm, fixed to the beam and not to the detector.

    Attributes
    ----------
    q_radius : float
        Radius of the disc, 1/Angstrom.
    arm_width : float
        m, on the detector.
    arm_angle : float
        Azimuth chi of the arm, degrees, in pyFAI's sense.
    """

    q_radius: float = 0.45
    arm_width: float = 1.2e-3
    arm_angle: float = 90.0

    def shadow(
        self,
        q: NDArray[np.float64],
        chi: NDArray[np.float64],
        radius: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Where nothing arrives.

        Parameters
        ----------
        q, chi, radius : (y, x) float64
            1/Angstrom, rad, and m from the direct beam.
        """
        away = chi - np.radians(self.arm_angle)
        beside = np.abs(radius * np.sin(away)) < self.arm_width / 2
        arm = beside & (np.cos(away) > 0.0)
        shadowed: NDArray[np.bool_] = (q < self.q_radius) | arm
        return shadowed


@dataclass(slots=True)
class PixelMap:
    """What each pixel sees, for one geometry.

    Parameters
    ----------
    geometry : Geometry
    grid : Grid
        Of the profile.
    polarization : float
        pyFAI's factor.
    beamstop : Beamstop or None
    dead_shift_px : (dx, dy)
        How far shadow and gaps are displaced, whole pixels.
    plate_height : float
        Of a flat sample in reflection above the axis, m: its rings move by
        ``-2 s cos(theta) / R`` in 2theta.

    Attributes
    ----------
    position : (y, x) float32
        Place on the profile, points.
    gain : (y, x) float32
        Solid angle relative to a pixel at the point of normal incidence times
        polarization; 0 in the shadow, -1 in gaps.
    chi : (y, x) float32
        Azimuth of each pixel in pyFAI's sense, rad.
    center_px : (x, y)
        Where the direct beam meets the detector, pixels.
    """

    geometry: Geometry
    grid: Grid
    polarization: float
    beamstop: Beamstop | None
    dead_shift_px: tuple[int, int] = (0, 0)
    plate_height: float = 0.0
    position: NDArray[np.float32] = field(init=False)
    gain: NDArray[np.float32] = field(init=False)
    chi: NDArray[np.float32] = field(init=False)
    center_px: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.geometry.detector.shape
        integrator = self.geometry.integrator()
        # Once: pyFAI would find the places of all pixels again for each quantity.
        places = np.ascontiguousarray(
            np.moveaxis(integrator.position_array(shape), 2, 0)
        )
        q, chi, radius = (
            self._seen(places, unit) for unit in ("q_A^-1", "chi_rad", "r_m")
        )
        self.chi = np.ascontiguousarray(chi, dtype=np.float32)
        gain = integrator.solidAngleArray(shape)
        gain = gain * _polarized(places, self.polarization)
        if self.beamstop is not None:
            gain[self._displaced(self.beamstop.shadow(q, chi, radius))] = 0.0
        gain[self._displaced(self.geometry.detector.gaps)] = -1.0
        if self.plate_height:
            q = self._seen_from(q)
        points = (q - self.grid.q_min) / self.grid.spacing
        # A shifted detector may see a little beyond the profile: nothing is there.
        beyond = points >= self.grid.n_bins - 1
        gain[beyond & (gain > 0.0)] = 0.0
        points[beyond] = 0.0
        self.position = np.ascontiguousarray(points, dtype=np.float32)
        self.gain = np.ascontiguousarray(gain, dtype=np.float32)
        self.center_px = self.geometry.center_px

    def _seen(self, places: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
        """A quantity of each pixel as pyFAI defines it, (y, x); places (zyx, y, x)."""
        z, y, x = places
        asked = to_unit(unit)
        found = asked.equation(x, y, z, self.geometry.wavelength)
        return np.asarray(found * asked.scale, np.float64)

    def _seen_from(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """True q (y, x) of what a raised plate sends to where ``q`` is calibrated."""
        k = 4.0 * np.pi / (self.geometry.wavelength * 1e10)
        theta = np.arcsin(q / k)
        theta = theta + self.plate_height * np.cos(theta) / self.geometry.dist
        return np.asarray(k * np.sin(theta), np.float64)

    def _displaced(self, dead: NDArray[np.bool_]) -> NDArray[np.bool_]:
        for by, axis in zip(self.dead_shift_px, (1, 0), strict=True):
            dead = _moved(dead, by, axis) if by else dead
        return dead

    def light(self, profile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Expected counts of light that is the same all around, (y, x).

        Parameters
        ----------
        profile : (n,) float32
            Expected counts per unit gain on ``grid``.

        Returns
        -------
        (y, x) float32
            -1 where there is no sensor.
        """
        out = np.empty(self.gain.shape, np.float32)
        _interpolate(self.position.ravel(), self.gain.ravel(), profile, out.reshape(-1))
        return out

    def mask(self, margin_px: int = 3) -> NDArray[np.bool_]:
        """Pixels not to be used, as a careful user would draw the mask, (y, x).

        Parameters
        ----------
        margin_px : int
            How far the mask reaches beyond shadow and gaps, pixels.
        """
        blocked = self.gain <= 0.0
        grown = blocked.copy()
        for axis in (0, 1):
            source = grown.copy()
            for step in range(1, margin_px + 1):
                for sign in (-step, step):
                    grown |= _moved(source, sign, axis)
        return grown


@nb.njit(cache=True, nogil=True)
def _interpolate(position, gain, profile, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        low = int(position[i])
        part = position[i] - low
        mean = gain[i] * (profile[low] * (1.0 - part) + profile[low + 1] * part)
        out[i] = mean if gain[i] >= 0.0 else -1.0


def _polarized(places: NDArray[np.float64], factor: float) -> NDArray[np.float32]:
    """Share of the light that polarization leaves, (y, x); places (zyx, y, x) in m.

    ``(1 + cos^2 t - factor cos(2 chi) sin^2 t) / 2`` at the angle t from the beam
    (R. Kahn et al., J. Appl. Cryst. 15, 330 (1982)), as pyFAI has it; of coordinates
    alone, with ``sin^2 t cos(2 chi) = (x^2 - y^2) / r^2``.
    """
    z2, y2, x2 = (part * part for part in places)
    whole = x2 + y2 + z2
    return np.asarray(0.5 * (1.0 + (z2 - factor * (x2 - y2)) / whole), np.float32)


def _moved(image: NDArray[np.bool_], by: int, axis: int) -> NDArray[np.bool_]:
    moved = np.roll(image, by, axis)
    edge: list[slice] = [slice(None)] * image.ndim
    edge[axis] = slice(0, by) if by > 0 else slice(by, None)
    moved[tuple(edge)] = False
    return moved


def dark_pattern(geometry: Geometry, seed: int) -> NDArray[np.float32]:
    """Mean dark counts per second of each pixel: 15 % spread, columns 5 %, (y, x)."""
    model = geometry.detector
    if not model.dark_rate:  # a million random numbers for nothing
        return np.zeros(model.shape, np.float32)
    rng = np.random.default_rng([seed, 0xDA2C])
    pixels = 1.0 + 0.15 * rng.standard_normal(model.shape)
    columns = 1.0 + 0.05 * rng.standard_normal(model.shape[1])
    pattern = model.dark_rate * np.clip(pixels * columns, 0.2, None)
    return np.where(model.gaps, 0.0, pattern).astype(np.float32)
