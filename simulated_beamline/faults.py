"""What can go wrong, injected where it goes wrong: in the beam and the geometry.

A fault is in force for the frames ``first`` to ``last`` of a series (both included,
counted from 0 as they are written; ``last`` None: to the end), in light frames only.
``flag`` is the name of the flag that a perfect agent would give as the root cause.
Faults of the light pixel by pixel come from ``light_faults``, those of the electronics
are in ``readout_faults``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from ringwatch.simulated_beamline.conditions import Conditions, Fault, PixelFault
from ringwatch.simulated_beamline.light_faults import (
    BeamstopLeak,
    CountRateLoss,
    MissingModule,
    Shadow,
)

__all__ = [
    "Amorphous",
    "BeamLost",
    "BeamstopLeak",
    "Conditions",
    "CountRateLoss",
    "DetectorShift",
    "DetectorTilt",
    "DistanceChange",
    "Dropped",
    "Fault",
    "I0Glitch",
    "Ice",
    "MaskShifted",
    "MissingModule",
    "PixelFault",
    "PlateRaised",
    "SampleDisplacedAlongBeam",
    "SampleLost",
    "Saturated",
    "Shadow",
    "ShutterClipped",
    "Swapped",
    "WrongDark",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamLost(Fault):
    """The source gives ``fraction`` of its intensity (a dump: 0); I0 sees it too."""

    flag: ClassVar[str] = "no_beam"
    fraction: float = 0.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Less beam."""
        return replace(conditions, beam=conditions.beam * self.fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutterClipped(Fault):
    """The fast shutter passes only a share of the exposure; I0 does not see it."""

    flag: ClassVar[str] = "beam_drop"
    fraction: float = 0.5

    def disturb(self, conditions: Conditions) -> Conditions:
        """Less light behind I0."""
        passed = conditions.transmission * self.fraction
        return replace(conditions, transmission=passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturated(Fault):
    """An attenuator falls out of the beam: ``factor`` times the light, I0 unchanged."""

    flag: ClassVar[str] = "saturated"
    factor: float = 300.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """More light behind I0."""
        passed = conditions.transmission * self.factor
        return replace(conditions, transmission=passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class I0Glitch(Fault):
    """The monitor lies by ``factor``; the beam is well."""

    flag: ClassVar[str] = "i0_suspect"
    factor: float = 0.5

    def disturb(self, conditions: Conditions) -> Conditions:
        """Another gain of the monitor."""
        return replace(conditions, i0_gain=conditions.i0_gain * self.factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLost(Fault):
    """Only ``fraction`` of the sample is in the beam."""

    flag: ClassVar[str] = "no_sample"
    fraction: float = 0.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Less sample."""
        return replace(conditions, sample=conditions.sample * self.fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorShift(Fault):
    """The detector slips: the rings' centre moves by (dx, dy) pixels on it."""

    flag: ClassVar[str] = "beam_center"
    dx_px: float = 0.0
    dy_px: float = 0.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Another place of the detector."""
        moved = conditions.geometry.shifted(self.dx_px, self.dy_px)
        return replace(conditions, geometry=moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTilt(Fault):
    """The detector turns about its point of normal incidence, degrees."""

    flag: ClassVar[str] = "tilt"
    rot1_deg: float = 0.0
    rot2_deg: float = 0.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Another attitude of the detector; the beam's spot on it stays."""
        old = conditions.geometry
        rot1 = old.rot1 + math.radians(self.rot1_deg)
        rot2 = old.rot2 + math.radians(self.rot2_deg)
        turned = replace(old, rot1=rot1, rot2=rot2)
        before, after = old.center_px, turned.center_px
        turned = turned.shifted(before[0] - after[0], before[1] - after[1])
        return replace(conditions, geometry=turned)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceChange(Fault):
    """The detector moves along the beam by ``ppm`` of its distance."""

    flag: ClassVar[str] = "radial_scale"
    ppm: float = 0.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Another distance."""
        old = conditions.geometry
        moved = replace(old, dist=old.dist * (1.0 + 1e-6 * self.ppm))
        return replace(conditions, geometry=moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleDisplacedAlongBeam(Fault):
    """The sample lies ``offset_mm`` farther downstream: its distance shrinks.

    All rings shrink alike. No detector across the beam can tell that from a distance,
    so the flag is ``radial_scale``; ``sample_displaced`` is for reflection geometry.
    """

    flag: ClassVar[str] = "radial_scale"
    offset_mm: float = 0.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Another distance; the beam's spot on the detector stays."""
        old = conditions.geometry
        slant = math.cos(old.rot1) * math.cos(old.rot2)
        nearer = replace(old, dist=old.dist - 1e-3 * self.offset_mm * slant)
        before, after = old.center_px, nearer.center_px
        nearer = nearer.shifted(before[0] - after[0], before[1] - after[1])
        return replace(conditions, geometry=nearer)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateRaised(Fault):
    """A flat plate in reflection stands ``height_um`` above the axis."""

    flag: ClassVar[str] = "sample_displaced"
    height_um: float = 100.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """A displaced surface."""
        return replace(conditions, plate_height_um=self.height_um)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ice(Fault):
    """Hexagonal ice grows: its rings hold ``share`` of the sample's ring counts."""

    flag: ClassVar[str] = "ice"
    share: float = 0.1

    def disturb(self, conditions: Conditions) -> Conditions:
        """More ice."""
        return replace(conditions, ice=conditions.ice + self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amorphous(Fault):
    """``share`` of what is crystalline has become amorphous, 0 to 1."""

    flag: ClassVar[str] = "amorphous_only"
    share: float = 1.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Fewer rings, more halo."""
        left = (1.0 - conditions.amorphous) * (1.0 - self.share)
        return replace(conditions, amorphous=1.0 - left)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskShifted(Fault):
    """Shadow and gaps lie (dx, dy) whole pixels from where the mask was drawn.

    The mask of ``Experiment.mask`` reaches 3 pixels beyond them by default; draw it
    without margin to see smaller shifts.
    """

    flag: ClassVar[str] = "mask_mismatch"
    dx_px: int = 1
    dy_px: int = 0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Dead areas elsewhere."""
        return replace(conditions, dead_shift_px=(self.dx_px, self.dy_px))


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongDark(Fault):
    """Light frames hold ``factor`` times the dark counts of the dark frames.

    Another temperature of the detector, or dark frames of another exposure.
    """

    flag: ClassVar[str] = "stale_calibration"
    factor: float = 2.0

    def disturb(self, conditions: Conditions) -> Conditions:
        """Another dark current."""
        return replace(conditions, dark=conditions.dark * self.factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped(Fault):
    """The detector loses ``count`` frames before each of these: its counter skips."""

    flag: ClassVar[str] = "sequence"
    count: int = 1

    def disturb(self, conditions: Conditions) -> Conditions:
        """Frames that never arrive."""
        lost = conditions.frames_lost + self.count
        return replace(conditions, frames_lost=lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapped(Fault):
    """Frames are delivered in pairs the wrong way round: n+1 before n, from first on.

    Give ``last = first + 1`` for one pair.
    """

    flag: ClassVar[str] = "sequence"

    def renumber(self, number: int, index: int) -> int:
        """The number of the other frame of the pair."""
        return number - 1 if (index - self.first) % 2 else number + 1
