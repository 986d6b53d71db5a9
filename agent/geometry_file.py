"""The geometry of a calibration, read from pyFAI's ``.poni`` file and doubted."""

from __future__ import annotations

import math
from pathlib import Path

import pyFAI
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent.errors import GeometryError

__all__ = ["load_geometry"]

_LEAST_WAVELENGTH_M, _MOST_WAVELENGTH_M = 1e-12, 2e-9
_LEAST_DISTANCE_M, _MOST_DISTANCE_M = 1e-3, 100.0


def load_geometry(path: Path) -> AzimuthalIntegrator:
    """Read a pyFAI ``.poni`` file.

    Raises
    ------
    GeometryError
        Where it is missing, is no geometry, or has no wavelength.
    """
    if not path.is_file():
        raise GeometryError(f"no geometry at {path}: give the path of a .poni file")
    try:
        geometry = pyFAI.load(str(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise GeometryError(
            f"{path} is no geometry that pyFAI reads ({error}): make one with "
            "pyFAI-calib2"
        ) from error
    if not geometry.dist or geometry.dist <= 0 or not geometry.pixel1:
        raise GeometryError(
            f"{path} has no distance or pixel size, so it is no geometry: make one "
            "with pyFAI-calib2"
        )
    placed = (geometry.dist, geometry.poni1, geometry.poni2, geometry.rot1)
    if not all(math.isfinite(v) for v in (*placed, geometry.rot2, geometry.rot3)):
        raise GeometryError(
            f"{path} holds a value that is no finite number: make it again with "
            "pyFAI-calib2"
        )
    if not geometry.wavelength:
        raise GeometryError(
            f"{path} has no wavelength: add a line 'Wavelength: 4.0e-11' (in metres)"
        )
    if not _LEAST_WAVELENGTH_M <= geometry.wavelength <= _MOST_WAVELENGTH_M:
        raise GeometryError(
            f"{path} says a wavelength of {geometry.wavelength:g} m: X-rays have 1e-12 "
            "to 2e-9 m (it is given in metres, 1 Angstrom is 1e-10)"
        )
    if not _LEAST_DISTANCE_M <= geometry.dist <= _MOST_DISTANCE_M:
        raise GeometryError(
            f"{path} says a distance of {geometry.dist:g} m from sample to detector: "
            "0.001 to 100 m are believed (it is given in metres)"
        )
    return geometry
