"""From an amplitude and a direction to a fault, and to what should be found of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ringwatch.simulated_beamline.conditions import Fault
from ringwatch.simulated_beamline.faults import (
    DetectorShift,
    DetectorTilt,
    DistanceChange,
    MaskShifted,
)
from ringwatch.simulated_beamline.geometry import Geometry
from ringwatch.simulated_beamline.light_faults import MissingModule
from ringwatch.simulated_beamline.readout_faults import Duplicate

__all__ = [
    "Doubled",
    "along",
    "found_ppm",
    "found_tilt",
    "missing_module",
    "move_along_beam",
    "real_distance",
    "shift",
    "shifted_mask",
    "tilt",
]


def shift(px: float, turn: float) -> Fault:
    """The rings' centre moves by pixels in a direction."""
    dx, dy = along(px, turn)
    return DetectorShift(first=0, dx_px=dx, dy_px=dy)


def tilt(degrees: float, turn: float) -> Fault:
    """The detector turns by degrees about an axis in a direction."""
    rot1, rot2 = along(degrees, turn)
    return DetectorTilt(first=0, rot1_deg=rot1, rot2_deg=rot2)


def move_along_beam(relative: float, turn: float) -> Fault:
    """The detector moves by a relative distance, away or near."""
    return DistanceChange(first=0, ppm=found_ppm(relative, turn)[0])


def missing_module(part: float, turn: float, edge: int) -> Fault:
    """A square somewhere in the detector, wholly; where does not depend on its size."""
    side = round(part * edge)
    place = np.random.default_rng(round(1e6 * turn)).uniform(size=2) * (edge - side)
    corner = (int(place[0]), int(place[1]))
    return MissingModule(first=0, corner_px=corner, size_px=(side, side))


def shifted_mask(px: float, turn: float) -> Fault:
    """The shadow lies whole pixels off the mask, along a row or a column."""
    dx, dy = ((1, 0), (0, 1), (-1, 0), (0, -1))[int(4 * turn) % 4]
    return MaskShifted(first=0, dx_px=int(px) * dx, dy_px=int(px) * dy)


def along(amplitude: float, turn: float) -> tuple[float, float]:
    """Components in the image, x and y."""
    angle = 2 * math.pi * turn
    return amplitude * math.cos(angle), amplitude * math.sin(angle)


def found_tilt(degrees: float, turn: float) -> tuple[float, float]:
    """What the tilt should be found: ``tilt`` has pyFAI's rot1 the other way."""
    x, y = along(degrees, turn)
    return -x, y


def found_ppm(relative: float, turn: float) -> tuple[float]:
    """How the radii should be found to change, ppm."""
    return (1e6 * relative * (1 if turn < 0.5 else -1),)


def real_distance(stands: Geometry) -> dict[str, float]:
    """A readback of the distance in mm, always true."""
    return {"detector_distance": 1e3 * stands.dist}  # mm


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled(Duplicate):
    """A frame delivered twice by the detector, its number as well."""

    flag: ClassVar[str] = "sequence"

    def renumber(self, number: int, index: int) -> int:
        """The number of the frame before."""
        return number - 1
