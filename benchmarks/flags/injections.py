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
    PlateRaised,
)
from ringwatch.simulated_beamline.geometry import Geometry
from ringwatch.simulated_beamline.light_faults import CountRateLoss, MissingModule
from ringwatch.simulated_beamline.microstructure import (
    Grains,
    Microstructure,
    Spots,
    Strain,
    Texture,
)
from ringwatch.simulated_beamline.readout_faults import Duplicate

__all__ = [
    "SPOTS",
    "Doubled",
    "Fading",
    "Restructured",
    "along",
    "coarse",
    "dead_time",
    "found_height",
    "found_ppm",
    "found_tilt",
    "missing_module",
    "move_along_beam",
    "raise_plate",
    "real_distance",
    "rolled",
    "shift",
    "shifted_mask",
    "speckled",
    "strained",
    "tilt",
]

SPOTS = 10
"""Reflections of single crystals that a frame with spots has."""
_MARCH = -1.0 / 4.5  # pole density along over across the axis is r^-3 / r^1.5


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Restructured(Fault):
    """The sample's crystallites lie otherwise than the scene's; the beam is well.

    Attributes
    ----------
    sample : Microstructure
        Instead of the scene's own.
    """

    sample: Microstructure


@dataclass(frozen=True, slots=True, kw_only=True)
class Fading(Fault):
    """The light behind I0 goes down steadily: a sample that the beam damages.

    Attributes
    ----------
    per_frame : float
        Share lost from one frame to the next.
    """

    flag: ClassVar[str] = "drift"
    per_frame: float = 0.0

    def left(self, frames: int) -> float:
        """Share of the light after so many frames."""
        return max(1.0 - self.per_frame * frames, 0.0)


def strained(ppm: float, turn: float) -> Fault:
    """The sample is pulled along some azimuth."""
    pulled = Strain(amplitude=1e-6 * ppm, axis_deg=180.0 * turn)
    return Restructured(first=0, sample=Microstructure(strain=pulled))


def rolled(ratio: float, turn: float) -> Fault:
    """Poles are denser by ``ratio`` along the fibre than across it (March-Dollase)."""
    texture = Texture(march=ratio**_MARCH, axis_deg=180.0 * turn)
    return Restructured(first=0, sample=Microstructure(texture=texture))


def coarse(grains: float, turn: float) -> Fault:
    """So many grains feed a degree of a ring; which, depends on the direction."""
    some = Grains(per_patch=grains, key=round(1e6 * turn))
    return Restructured(first=0, sample=Microstructure(grains=some))


def speckled(share: float, turn: float) -> Fault:
    """Single crystals add ``SPOTS`` spots, together a share of the other light."""
    spots = Spots(number=SPOTS, share=share / SPOTS, key=round(1e6 * turn))
    return Restructured(first=0, sample=Microstructure(spots=spots))


def raise_plate(mm: float, turn: float) -> Fault:
    """A flat plate stands too high or too low."""
    return PlateRaised(first=0, height_um=found_height(mm, turn)[0])


def found_height(mm: float, turn: float) -> tuple[float]:
    """What the height should be found, um."""
    return (1e3 * mm * (1 if turn < 0.5 else -1),)


def dead_time(loss: float, turn: float, rate: float) -> Fault:
    """A dead time after each count that makes ``rate`` times itself ``loss``."""
    return CountRateLoss(first=0, dead_time_s=loss / rate)
