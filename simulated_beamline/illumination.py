"""How many counts each pixel expects: sample, light, geometry and dark current.

Frames and cakes are drawn from the same expectation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.conditions import Conditions
from ringwatch.simulated_beamline.counting import expose_expected, expose_pixels
from ringwatch.simulated_beamline.detector_image import Beamstop, PixelMap
from ringwatch.simulated_beamline.geometry import Geometry
from ringwatch.simulated_beamline.microstructure import Microstructure
from ringwatch.simulated_beamline.powder import (
    Instrument,
    PowderRings,
    halo,
    smooth_background,
)
from ringwatch.simulated_beamline.sample import Sample

__all__ = ["Illumination"]

_pixel_map = lru_cache(maxsize=4)(PixelMap)
"""Made once for all experiments that stand alike: slow, and large."""


class Illumination:
    """Expected counts of every pixel under any conditions.

    Parameters
    ----------
    geometry : Geometry
        As calibrated.
    sample : Sample
    instrument : Instrument
    beamstop : Beamstop or None
    dark : (y, x) float32
        Mean dark counts per second.
    counts_per_s : float
        Expected counts of light per second in full beam.
    background : float
        Share of them that is no ring.
    temperature : float
        Of the sample for which ``counts_per_s`` holds, kelvin.
    """

    def __init__(
        self,
        geometry: Geometry,
        sample: Sample,
        *,
        instrument: Instrument,
        beamstop: Beamstop | None,
        dark: NDArray[np.float32],
        counts_per_s: float,
        background: float,
        temperature: float,
    ) -> None:
        self._detector = geometry.detector
        self._dark = dark
        self._rings = PowderRings(sample, instrument, geometry)
        self._seen_as = self._rings.grid, instrument.polarization, beamstop
        self._scale(geometry, counts_per_s, background, temperature)

    def _scale(
        self,
        geometry: Geometry,
        counts_per_s: float,
        background: float,
        temperature: float,
    ) -> None:
        """Fix once how bright the source is: the only arbitrary constants."""
        pixels = _pixel_map(geometry, *self._seen_as, (0, 0), 0.0)
        gain = np.clip(pixels.gain, 0.0, None).ravel()
        cells = pixels.position.ravel().astype(np.int64)
        weight = np.bincount(cells, gain, minlength=self._rings.grid.n_bins)
        rings = self._rings.intensity(temperature)
        smooth = smooth_background(self._rings.grid.q)
        self._weight = weight
        self._ring_counts = counts_per_s * (1.0 - background)
        self._ring_rate = self._ring_counts / float(weight @ rings)
        smooth_rate = counts_per_s * background / float(weight @ smooth)
        self._background = smooth * smooth_rate

    def pixels(self, conditions: Conditions) -> PixelMap:
        """What each pixel sees."""
        height = conditions.plate_height_um * 1e-6
        return _pixel_map(
            conditions.geometry, *self._seen_as, conditions.dead_shift_px, height
        )

    def expected(
        self,
        conditions: Conditions,
        exposure_time: float,
        temperature: float,
        microstructure: Microstructure | None,
    ) -> NDArray[np.float32]:
        """Expected counts, light and dark, (y, x); -1 where there is no sensor.

        Parameters
        ----------
        conditions : Conditions
        exposure_time : float
            Seconds.
        temperature : float
            Of the sample, kelvin.
        microstructure : Microstructure or None
        """
        beam, rings, smooth = self._profiles(conditions, exposure_time, temperature)
        pixels = self.pixels(conditions)
        if microstructure is None:
            light = pixels.light((beam * (rings + smooth)).astype(np.float32))
        else:
            light = microstructure.light(
                pixels,
                (beam * rings).astype(np.float32),
                (beam * smooth).astype(np.float32),
                self._rings.nearest_line(temperature),
                self._rings.lines(temperature),
            )
        for fault in conditions.pixel_faults:
            light = fault.change_light(light, pixels)
        dark = self._dark * np.float32(exposure_time * conditions.dark)
        counts = np.where(light >= 0.0, light + dark, np.float32(-1.0))
        for fault in conditions.pixel_faults:
            counts = fault.change_counts(counts, exposure_time)
        return counts

    def expose(
        self,
        conditions: Conditions,
        exposure_time: float,
        temperature: float,
        microstructure: Microstructure | None,
        key: int,
    ) -> NDArray[Any]:
        """One frame with its counting noise, (y, x) of the detector's type.

        Parameters as in ``expected``; ``key`` from ``frame_key``.
        """
        detector = self._detector
        dtype = np.dtype(detector.dtype)
        full, invalid = detector.saturation_value, detector.invalid_value
        if microstructure is not None or conditions.pixel_faults:
            counts = self.expected(
                conditions, exposure_time, temperature, microstructure
            )
            return expose_expected(
                counts, key=key, full=full, invalid=invalid, dtype=dtype
            )
        # The same in one pass: a frame of an ideal powder costs no image in between.
        beam, rings, smooth = self._profiles(conditions, exposure_time, temperature)
        pixels = self.pixels(conditions)
        return expose_pixels(
            pixels.position,
            pixels.gain,
            (beam * (rings + smooth)).astype(np.float32),
            self._dark * np.float32(exposure_time * conditions.dark),
            key=key,
            full=full,
            invalid=invalid,
            dtype=dtype,
        )

    def _profiles(
        self, conditions: Conditions, exposure_time: float, temperature: float
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Seconds of full beam, and counts per second of it and unit gain on the grid.

        The latter apart for the sample's rings and for all else.
        """
        beam = conditions.beam * conditions.transmission * exposure_time
        rings = self._rings.intensity(temperature) * self._ring_rate
        smooth = self._background
        if conditions.amorphous > 0.0:
            glass = self._as_bright_as_rings(halo(self._rings.grid.q))
            smooth = smooth + conditions.sample * conditions.amorphous * glass
            rings = rings * (1.0 - conditions.amorphous)
        if conditions.ice > 0.0:
            ice = self._as_bright_as_rings(self._rings.ice())
            smooth = smooth + conditions.ice * ice
        return beam, conditions.sample * rings, smooth

    def _as_bright_as_rings(self, shape: NDArray[np.float64]) -> NDArray[np.float64]:
        """A profile brought to as many counts per second as the sample's rings have."""
        return shape * (self._ring_counts / float(self._weight @ shape))
