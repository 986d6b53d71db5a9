"""What can go wrong, injected where it goes wrong: in the beam and the geometry.

A fault is in force for the frames ``first`` to ``last`` of a series (both included,
counted from 0 as they are written; ``last`` None: to the end), in light frames only.
``flag`` is the name of the flag that a perfect agent would give as the root cause.
Faults of the electronics are in ``readout_faults``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.geometry import Geometry

__all__ = [
    "BeamLost",
    "Conditions",
    "DetectorShift",
    "DetectorTilt",
    "DistanceChange",
    "Dropped",
    "Fault",
    "I0Glitch",
    "SampleLost",
    "Saturated",
    "ShutterClipped",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The physical state in which a frame is exposed.

    Attributes
    ----------
    beam : float
        Intensity of the source, 1 for a full one; I0 sees it.
    transmission : float
        From I0 to the sample: attenuators, a fast shutter, the share of the exposure.
    sample : float
        Share of the sample in the beam; the background from air stays.
    i0_gain : float
        Factor of the I0 monitor alone.
    frames_lost : int
        Frames that the detector loses before this one.
    geometry : Geometry
        Where the detector really stands.
    """

    geometry: Geometry
    beam: float = 1.0
    transmission: float = 1.0
    sample: float = 1.0
    i0_gain: float = 1.0
    frames_lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong during a range of frames; this one changes nothing.

    Attributes
    ----------
    first : int
    last : int or None
    """

    flag: ClassVar[str] = ""
    first: int
    last: int | None = None

    def in_force(self, index: int) -> bool:
        """Whether the frame ``index`` of the series is affected."""
        return self.first <= index and (self.last is None or index <= self.last)

    def disturb(self, conditions: Conditions) -> Conditions:
        """Conditions with the fault in them."""
        return conditions

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """Frame with the fault in it; (y, x).

        Parameters
        ----------
        pixels, previous : (y, x) arrays
            This frame and the one written before it, None for the first.
        rng : numpy.random.Generator
            Depends on seed and frame alone.
        """
        return pixels


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
class Dropped(Fault):
    """The detector loses ``count`` frames before each of these: its counter skips."""

    flag: ClassVar[str] = "sequence"
    count: int = 1

    def disturb(self, conditions: Conditions) -> Conditions:
        """Frames that never arrive."""
        lost = conditions.frames_lost + self.count
        return replace(conditions, frames_lost=lost)
