"""Detectors and where they stand, in pyFAI's words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyFAI.detectors import Detector, Pilatus1M
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

__all__ = ["DetectorModel", "Geometry", "flat_panel", "pilatus_1m"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorModel:
    """A detector as its data sheet has it.

    Attributes
    ----------
    name : str
        What people call it.
    shape : (y, x)
        Pixels.
    pixel_size : float
        Edge of a square pixel, m.
    dtype : str
        numpy's name of a pixel's type.
    saturation_value : int
        Largest count that is told; larger ones are told as this one.
    invalid_value : int
        What pixels in gaps hold.
    psf_fwhm_px : float
        Full width at half maximum of the point spread, pixels.
    dark_rate : float
        Mean dark counts of a pixel per second.
    tiled : bool
        Made of modules with gaps between them (those of the Pilatus 1M).
    sensor : (material, thickness) or None
        pyFAI's name of the material, and m: slanting rays are stopped deeper in it and
        so register farther out (parallax). None: an infinitely thin sensor.
    """

    name: str
    shape: tuple[int, int]
    pixel_size: float
    dtype: str = "uint16"
    saturation_value: int = 65534
    invalid_value: int = 65535
    psf_fwhm_px: float = 3.0
    dark_rate: float = 20.0
    tiled: bool = False
    sensor: tuple[str, float] | None = None

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """True where there is no sensor, shape (y, x)."""
        if self.tiled:
            return np.asarray(Pilatus1M().mask, dtype=bool)
        return np.zeros(self.shape, dtype=bool)

    def build(self) -> Detector:
        """The detector as pyFAI has it."""
        if self.tiled:
            return Pilatus1M()
        size = self.pixel_size
        return Detector(pixel1=size, pixel2=size, max_shape=self.shape)


def flat_panel(side: int = 1024) -> DetectorModel:
    """An integrating flat panel of 205 mm edge, with dark current, without gaps.

    Parameters
    ----------
    side : int
        Pixels along an edge: 1024 makes them 0.2 mm, 512 makes them 0.4 mm.
    """
    return DetectorModel(
        name=f"flat panel {side}", shape=(side, side), pixel_size=0.2048 / side
    )


def pilatus_1m() -> DetectorModel:
    """A photon-counting Pilatus 1M: modules with gaps, int32, no dark counts."""
    return DetectorModel(
        name="Pilatus 1M",
        shape=(1043, 981),
        pixel_size=172e-6,
        dtype="int32",
        saturation_value=1_048_500,
        invalid_value=-1,
        psf_fwhm_px=1.0,
        dark_rate=0.0,
        tiled=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A detector in the beam. Lengths in m, angles in rad, as in a PONI file.

    Attributes
    ----------
    detector : DetectorModel
    dist, poni1, poni2, rot1, rot2 : float
        pyFAI's parameters; rot3 is 0.
    wavelength : float
        m.
    """

    detector: DetectorModel
    dist: float
    poni1: float
    poni2: float
    rot1: float = 0.0
    rot2: float = 0.0
    wavelength: float = 0.1665e-10

    @classmethod
    def centered(
        cls,
        detector: DetectorModel,
        *,
        q_edge: float = 6.5,
        wavelength: float = 0.1665e-10,
        tilt: tuple[float, float] = (0.0, 0.0),
    ) -> Geometry:
        """The beam near the middle, rings whole up to ``q_edge``.

        Parameters
        ----------
        detector : DetectorModel
        q_edge : float
            The q at the nearest edge, 1/Angstrom; it sets the distance.
        wavelength : float
            m.
        tilt : (rot1, rot2)
            rad; the beam stays where it was on the detector.
        """
        two_theta = 2.0 * np.arcsin(q_edge * 1e10 * wavelength / (4.0 * np.pi))
        y, x = (n * detector.pixel_size for n in detector.shape)
        # Off the centre of a pixel, so that no test leans on symmetry.
        beam_y, beam_x = y / 2 + 0.31e-3, x / 2 - 0.17e-3
        reach = min(beam_y, y - beam_y, beam_x, x - beam_x)
        rot1, rot2 = tilt
        along_beam = reach / np.tan(two_theta)
        # The beam meets the plane at poni + dist * tan(rot), see pyFAI's getFit2D.
        dist = along_beam * np.cos(rot1) * np.cos(rot2)
        return cls(
            detector=detector,
            dist=float(dist),
            poni1=float(beam_y - dist * np.tan(rot2) / np.cos(rot1)),
            poni2=float(beam_x + dist * np.tan(rot1)),
            rot1=rot1,
            rot2=rot2,
            wavelength=wavelength,
        )

    def shifted(self, dx_px: float, dy_px: float) -> Geometry:
        """The same with the beam's spot moved on the detector, pixels."""
        size = self.detector.pixel_size
        return replace(
            self, poni1=self.poni1 + dy_px * size, poni2=self.poni2 + dx_px * size
        )

    def integrator(self) -> AzimuthalIntegrator:
        """The same geometry as pyFAI has it, parallax included."""
        integrator = self._calibrated()
        if self.detector.sensor is not None:
            material, thickness = self.detector.sensor
            integrator.enable_parallax(
                sensor_material=material, sensor_thickness=thickness
            )
        return integrator

    def _calibrated(self) -> AzimuthalIntegrator:
        return AzimuthalIntegrator(
            dist=self.dist,
            poni1=self.poni1,
            poni2=self.poni2,
            rot1=self.rot1,
            rot2=self.rot2,
            wavelength=self.wavelength,
            detector=self.detector.build(),
        )

    @property
    def center_px(self) -> tuple[float, float]:
        """Where the direct beam meets the detector: (x, y), pixels."""
        fit2d: dict[str, Any] = dict(self.integrator().getFit2D())
        return float(fit2d["centerX"]), float(fit2d["centerY"])

    def save(self, path: Path) -> Path:
        """Write a PONI file, over an old one of that name, and return its path.

        It says nothing of parallax, as PONI files of beamlines seldom do.
        """
        path.unlink(missing_ok=True)  # pyFAI appends to an existing file
        self._calibrated().save(str(path))
        return path
