"""The physical state in which a frame is exposed, and what a fault may do to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.detector_image import PixelMap
from ringwatch.simulated_beamline.geometry import Geometry

__all__ = ["Conditions", "Fault", "PixelFault"]


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
    amorphous : float
        Share of the sample that scatters as a halo instead of rings, 0 to 1.
    ice : float
        Counts in rings of ice over those in the full sample's rings.
    dark : float
        Factor of the dark counts.
    i0_gain : float
        Factor of the I0 monitor alone.
    frames_lost : int
        Frames that the detector loses before this one.
    geometry : Geometry
        Where the detector really stands.
    dead_shift_px : (dx, dy)
        How far shadow and gaps lie from where the mask was drawn, whole pixels.
    plate_height_um : float
        Of a flat sample in reflection above the axis, micrometres.
    pixel_faults : tuple of PixelFault
        Faults that act on the image of expected counts, in this order.
    """

    geometry: Geometry
    beam: float = 1.0
    transmission: float = 1.0
    sample: float = 1.0
    amorphous: float = 0.0
    ice: float = 0.0
    dark: float = 1.0
    i0_gain: float = 1.0
    frames_lost: int = 0
    dead_shift_px: tuple[int, int] = (0, 0)
    plate_height_um: float = 0.0
    pixel_faults: tuple[PixelFault, ...] = ()


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

    def renumber(self, number: int, index: int) -> int:
        """What the detector's counter tells for its frame ``number``.

        Parameters
        ----------
        number : int
            The true one.
        index : int
            Of the frame in its series, as written.
        """
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFault(Fault):
    """A fault of light or electronics pixel by pixel, before the counting noise.

    Negative pixels of the images below have no sensor and stay negative.
    """

    def change_light(
        self, light: NDArray[np.float32], pixels: PixelMap
    ) -> NDArray[np.float32]:
        """Expected light with the fault in it, counts a pixel, (y, x)."""
        return light

    def change_counts(
        self, counts: NDArray[np.float32], exposure_time: float
    ) -> NDArray[np.float32]:
        """Expected counts, dark ones included, with the fault in them, (y, x).

        Parameters
        ----------
        counts : (y, x) float32
        exposure_time : float
            Seconds.
        """
        return counts
