"""What can go wrong with the light on its way to single pixels, and in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.conditions import PixelFault
from ringwatch.simulated_beamline.detector_image import PixelMap

__all__ = ["BeamstopLeak", "CountRateLoss", "MissingModule", "Shadow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow(PixelFault):
    """Something stands before a wedge of the detector: a cell's edge, a cable.

    Attributes
    ----------
    chi_deg, width_deg : float
        Middle and full width of the wedge in pyFAI's chi, degrees.
    transmission : float
        Share of the light that passes, 0 to 1.
    """

    flag: ClassVar[str] = "shadow"
    chi_deg: float = 40.0
    width_deg: float = 30.0
    transmission: float = 0.7

    def change_light(
        self, light: NDArray[np.float32], pixels: PixelMap
    ) -> NDArray[np.float32]:
        """Less light within the wedge."""
        away = np.cos(pixels.chi - np.float32(math.radians(self.chi_deg)))
        within = away > math.cos(math.radians(self.width_deg) / 2.0)
        dim = np.where(within, np.float32(self.transmission), np.float32(1.0))
        return np.where(light > 0.0, light * dim, light)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamstopLeak(PixelFault):
    """Direct beam passes the beamstop: a blob about its spot, or a streak through it.

    Attributes
    ----------
    share : float
        Leaked counts over those of the frame's light.
    fwhm_px : float
        Of the blob, or of the streak across, pixels. What the mask covers is not seen.
    streak_deg : float or None
        Direction of a streak, degrees from +x to +y; None: a round blob.
    length_px : float
        Full width at half maximum along the streak.
    side_px, side_deg : float
        How far beside the beam, pixels, and in which direction, degrees: a beamstop
        that is not aligned lets the beam's foot pass on one side.
    """

    flag: ClassVar[str] = "beamstop_leak"
    share: float = 0.01
    fwhm_px: float = 60.0
    streak_deg: float | None = None
    length_px: float = 600.0
    side_px: float = 0.0
    side_deg: float = 0.0

    def change_light(
        self, light: NDArray[np.float32], pixels: PixelMap
    ) -> NDArray[np.float32]:
        """More light about the beam."""
        ny, nx = light.shape
        side = math.radians(self.side_deg)
        x0 = pixels.center_px[0] + self.side_px * math.cos(side)
        y0 = pixels.center_px[1] + self.side_px * math.sin(side)
        x = np.arange(nx) + 0.5 - x0
        y = (np.arange(ny) + 0.5 - y0)[:, None]
        angle = math.radians(self.streak_deg or 0.0)
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        length = self.fwhm_px if self.streak_deg is None else self.length_px
        four_ln_2 = 4.0 * math.log(2.0)
        leak = np.exp(
            -four_ln_2 * ((along / length) ** 2 + (across / self.fwhm_px) ** 2)
        )
        sensitive = light >= 0.0
        total = float(light[sensitive].sum(dtype=np.float64))
        leak *= self.share * total / max(float(leak[sensitive].sum()), 1e-300)
        return np.where(sensitive, light + leak, light).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRateLoss(PixelFault):
    """Counts lost in the dead time after each count, paralyzable: ``m exp(-m tau)``.

    The true rate is m per pixel and second (G. F. Knoll, Radiation Detection and
    Measurement, 4th ed., 2010, eq. 4.32). The noise stays Poisson's, a little too wide.

    Attributes
    ----------
    dead_time_s : float
        tau, seconds.
    """

    flag: ClassVar[str] = "count_rate_loss"
    dead_time_s: float = 1e-6

    def change_counts(
        self, counts: NDArray[np.float32], exposure_time: float
    ) -> NDArray[np.float32]:
        """Fewer counts where there are many."""
        tau = np.float32(self.dead_time_s / exposure_time)
        return np.where(counts > 0.0, counts * np.exp(-counts * tau), counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingModule(PixelFault):
    """A rectangle of the detector reads 0.

    Attributes
    ----------
    corner_px, size_px : (x, y)
        Its first pixel and its size, pixels.
    """

    flag: ClassVar[str] = "misread"
    corner_px: tuple[int, int] = (0, 0)
    size_px: tuple[int, int] = (128, 128)

    def change_counts(
        self, counts: NDArray[np.float32], exposure_time: float
    ) -> NDArray[np.float32]:
        """Nothing within the rectangle."""
        (x, y), (nx, ny) = self.corner_px, self.size_px
        dead = counts.copy()
        module = dead[y : y + ny, x : x + nx]
        module[module > 0.0] = 0.0
        return dead
