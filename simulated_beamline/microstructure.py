"""A sample that is no ideal powder: texture, few grains, stress, single crystals.

Texture and grains are factors of each ring's intensity against azimuth, stress moves
the rings, spots are added. The background from air stays smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.counting import (
    frame_key,
    poisson_quantile,
    uniform_of,
)
from ringwatch.simulated_beamline.detector_image import PixelMap

__all__ = ["AZIMUTHS", "Grains", "Microstructure", "Spots", "Strain", "Texture"]

AZIMUTHS = 1440
"""Steps of azimuth that factors are tabulated in, counted from chi = -180 degrees."""
_POLE_ANGLES = 33
_TURNS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Texture:
    """Crystallites aligned with a fibre axis that lies across the beam.

    A ring's planes make an angle with the preferred plane, drawn from the number of
    the ring as for planes at random. About the fibre axis the crystallites are turned
    at random, so rings are even in chi about it and Friedel's law holds.

    Attributes
    ----------
    march : float
        March's parameter r: 1 random, below 1 plates, above 1 needles.
    axis_deg : float
        Azimuth chi of the fibre axis, degrees.
    """

    march: float = 0.7
    axis_deg: float = 90.0

    def factors(self, n_rings: int) -> NDArray[np.float32]:
        """Intensity over that of random crystallites, (n_rings, 1440).

        March-Dollase (W. A. Dollase, J. Appl. Cryst. 19, 267 (1986)):
        ``W(a) = (r^2 cos^2 a + sin^2 a / r)^(-3/2)``, averaged over the turn of the
        fibre; the scattering vector is taken across the beam.
        """
        # Half the azimuths and turns: the other halves are the same by Friedel's law
        # and by the mirror that holds the fibre.
        chi = (np.arange(AZIMUTHS // 2) + 0.5) / AZIMUTHS * 2.0 * np.pi - np.pi
        tilt = np.abs(np.cos(chi - math.radians(self.axis_deg)))[None, :, None]
        plane = ((np.arange(_POLE_ANGLES) + 0.5) / _POLE_ANGLES)[:, None, None]
        turn = np.cos((np.arange(_TURNS // 2) + 0.5) / _TURNS * 2.0 * np.pi)
        cosine = tilt * plane + np.sqrt((1.0 - tilt**2) * (1.0 - plane**2)) * turn
        r, square = self.march, cosine**2
        stretch = r * r * square + (1.0 - square) / r
        density = 1.0 / (stretch * np.sqrt(stretch))
        half = density.mean(axis=2).astype(np.float32)
        table = np.concatenate([half, half], axis=1)
        picked = [
            int(uniform_of(np.uint64(0x7E87), np.uint64(ring)) * _POLE_ANGLES)
            for ring in range(n_rings)
        ]
        return np.asarray(table[picked], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grains:
    """Few grains: a patch of a ring is as bright as the grains that feed it are many.

    Attributes
    ----------
    per_patch : float
        Mean number of grains that diffract into a patch.
    mosaic_deg : float
        Length of a patch along the ring, degrees.
    key : int
        Which grains: another key, another place of the sample.
    """

    per_patch: float = 10.0
    mosaic_deg: float = 1.0
    key: int = 0

    def factors(self, n_rings: int) -> NDArray[np.float32]:
        """Number of grains over its mean, (n_rings, 1440): Poisson's for each patch."""
        patches = max(1, round(360.0 / self.mosaic_deg))
        table = np.empty((n_rings, AZIMUTHS), np.float32)
        key = np.uint64(frame_key(self.key, 0x62A1))
        _count_grains(self.per_patch, patches, key, table)
        return table


@nb.njit(cache=True, nogil=True)
def _count_grains(per_patch, patches, key, table):  # type: ignore[no-untyped-def]
    for ring in range(table.shape[0]):
        first = nb.uint64(ring * (patches + 1))
        # Patches of different rings, and sectors of a cake, do not share their ends.
        begin = uniform_of(key, first)
        for k in range(table.shape[1]):
            patch = int(k * patches / table.shape[1] + begin) % patches
            u = uniform_of(key, first + nb.uint64(1 + patch))
            table[ring, k] = poisson_quantile(per_patch, u) / per_patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Strain:
    """Deviatoric strain: q of all rings times ``1 + amplitude cos(2 (chi - axis))``.

    Attributes
    ----------
    amplitude : float
        No unit; at small angles the relative change of a ring's radius.
    axis_deg : float
        Azimuth at which rings are widest, degrees.
    """

    amplitude: float = 0.0
    axis_deg: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """Reflections of single crystals: diamond anvils, a substrate, one coarse grain.

    Attributes
    ----------
    number : int
        Spots on the detector, outside the shadow.
    share : float
        Mean counts of one over all other light of the frame; they scatter by a factor
        of e (lognormal).
    fwhm_px : float
        Size, pixels.
    on_rings : bool
        At the radii of the sample's rings, or anywhere.
    key : int
        Which places.
    """

    number: int = 12
    share: float = 0.01
    fwhm_px: float = 4.0
    on_rings: bool = False
    key: int = 0

    def add(
        self, light: NDArray[np.float32], pixels: PixelMap, lines: NDArray[np.float64]
    ) -> None:
        """Add the spots in place to ``light``, expected counts; ``lines`` in 1/A."""
        rng = np.random.default_rng([self.key, 0x5B07])
        total = float(np.maximum(light, 0.0).sum(dtype=np.float64))
        placed = 0
        for _ in range(200 * self.number):
            if placed == self.number:
                break
            q = float(rng.choice(lines)) if self.on_rings else pixels.grid.q_max
            q *= 1.0 if self.on_rings else math.sqrt(rng.random())
            chi = rng.uniform(-np.pi, np.pi)
            strength = math.exp(rng.standard_normal() - 0.5)
            place = _place(pixels, q, chi)
            if place is None:
                continue
            _stamp(light, place, self.share * strength * total, self.fwhm_px)
            placed += 1


def _place(pixels: PixelMap, q: float, chi: float) -> tuple[float, float] | None:
    """Where (q, chi) meets the detector, (x, y) in pixels; None where nothing counts.

    The radius of an untilted detector, then corrected by the q found there.
    """
    geometry = pixels.geometry
    two_theta = 2.0 * math.asin(
        min(q * geometry.wavelength * 1e10 / (4.0 * math.pi), 1.0)
    )
    if two_theta >= 1.5:
        return None
    radius = geometry.dist * math.tan(two_theta) / geometry.detector.pixel_size
    x0, y0 = pixels.center_px
    ny, nx = pixels.gain.shape
    for _ in range(4):
        x, y = x0 + radius * math.cos(chi), y0 + radius * math.sin(chi)
        if not (0.0 <= x < nx and 0.0 <= y < ny):
            return None
        here = float(pixels.position[int(y), int(x)]) * pixels.grid.spacing
        if pixels.gain[int(y), int(x)] <= 0.0 or here <= 0.0:
            return None
        radius *= q / here
    return x, y


def _stamp(
    light: NDArray[np.float32], place: tuple[float, float], counts: float, fwhm: float
) -> None:
    reach = math.ceil(2.0 * fwhm)
    x0, y0 = place
    left, top = max(int(x0) - reach, 0), max(int(y0) - reach, 0)
    area = light[top : int(y0) + reach + 1, left : int(x0) + reach + 1]
    x = np.arange(left, left + area.shape[1]) + 0.5 - x0
    y = np.arange(top, top + area.shape[0])[:, None] + 0.5 - y0
    spot = np.exp(-4.0 * math.log(2.0) * (x**2 + y**2) / fwhm**2)
    spot *= counts * 4.0 * math.log(2.0) / (math.pi * fwhm**2)
    area[area > 0.0] += spot[area > 0.0].astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Microstructure:
    """What makes a sample's rings uneven; None leaves a thing out."""

    texture: Texture | None = None
    grains: Grains | None = None
    strain: Strain | None = None
    spots: Spots | None = None

    def factors(self, n_rings: int) -> NDArray[np.float32]:
        """Factor of the intensity of each ring against azimuth, (n_rings, 1440)."""
        table = np.ones((n_rings, AZIMUTHS), np.float32)
        for part in (self.texture, self.grains):
            if part is not None:
                table *= _tabulated(part, n_rings)
        return table

    def light(
        self,
        pixels: PixelMap,
        rings: NDArray[np.float32],
        smooth: NDArray[np.float32],
        nearest: NDArray[np.int32],
        lines: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """Expected counts of light, (y, x); -1 where there is no sensor.

        Parameters
        ----------
        pixels : PixelMap
        rings, smooth : (n,) float32
            Counts per unit gain on the grid of ``pixels``, in rings and apart.
        nearest : (n,) int32
            Ring next to each point of the grid.
        lines : (m,) float64
            Rings, 1/Angstrom.
        """
        strain = self.strain or Strain()
        out = np.empty(pixels.gain.shape, np.float32)
        _uneven_light(
            pixels.position.ravel(),
            pixels.gain.ravel(),
            pixels.chi.ravel(),
            rings,
            smooth,
            nearest,
            self.factors(len(lines)),
            strain.amplitude,
            math.radians(strain.axis_deg),
            out.reshape(-1),
        )
        if self.spots is not None:
            self.spots.add(out, pixels, lines)
        return out


@lru_cache(8)
def _tabulated(part: Texture | Grains, n_rings: int) -> NDArray[np.float32]:
    return part.factors(n_rings)


@nb.njit(cache=True, nogil=True)
def _uneven_light(  # type: ignore[no-untyped-def]
    position, gain, chi, rings, smooth, nearest, factors, strain, axis, out
):
    """The grid begins at q = 0, so a scale of q is a scale of the position."""
    steps = factors.shape[1]
    for i in range(len(out)):
        if gain[i] <= 0.0:
            out[i] = gain[i]
            continue
        low = int(position[i])
        part = position[i] - low
        light = smooth[low] * (1.0 - part) + smooth[low + 1] * part
        place = nb.float64(position[i])
        if strain != 0.0:
            place /= 1.0 + strain * math.cos(2.0 * (chi[i] - axis))
            place = min(place, len(rings) - 2.0)
        low = int(place)
        part = place - low
        ring = rings[low] * (1.0 - part) + rings[low + 1] * part
        step = int((chi[i] + math.pi) * (steps / (2.0 * math.pi)))
        step = min(max(step, 0), steps - 1)
        out[i] = gain[i] * (light + ring * factors[nearest[int(place + 0.5)], step])
