"""The experiment as it really is: source, sample, furnace and detector in one clock.

It is a ``FrameSource``: expose it and it gives frames. What it knows about each frame
goes to ``truths`` and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.beam import Clock, StorageRing, ion_chamber_counts
from ringwatch.simulated_beamline.conditions import Conditions, Fault, PixelFault
from ringwatch.simulated_beamline.counting import frame_key
from ringwatch.simulated_beamline.detector_image import Beamstop, dark_pattern
from ringwatch.simulated_beamline.furnace import Furnace
from ringwatch.simulated_beamline.geometry import Geometry
from ringwatch.simulated_beamline.growth import Growth
from ringwatch.simulated_beamline.illumination import Illumination
from ringwatch.simulated_beamline.microstructure import Microstructure
from ringwatch.simulated_beamline.powder import Instrument
from ringwatch.simulated_beamline.readout import Readout
from ringwatch.simulated_beamline.sample import Sample

__all__ = ["CAPILLARY_RADIUS_MM", "READOUT_S", "Experiment", "FrameTruth"]

CAPILLARY_RADIUS_MM = 0.5
"""Of the capillary that holds the sample; ``sample_y`` moves it across the beam."""
READOUT_S = 0.002
"""What a frame takes beside its exposure, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTruth:
    """What really was when a frame was taken.

    Attributes
    ----------
    index : int
        Of the frame in its series, from 0, as written.
    shot : int
        Of the exposure since the experiment began, from 0.
    light : bool
        Whether the shutter was open.
    temperature : float
        Of the sample, kelvin.
    phases : tuple of str
    fractions : tuple of float
        Volume fraction of each phase.
    center_px : (x, y)
        Where the direct beam meets the detector, pixels.
    beam : float
        Intensity behind everything before the sample, 1 for a full one.
    faults : tuple of str
        Flag names of the faults in force.
    """

    index: int
    shot: int
    light: bool
    temperature: float
    phases: tuple[str, ...]
    fractions: tuple[float, ...]
    center_px: tuple[float, float]
    beam: float
    faults: tuple[str, ...]

    @property
    def phase(self) -> str:
        """Name of the phase of the largest fraction."""
        return self.phases[int(np.argmax(self.fractions))]


class Experiment:
    """A sample in a furnace, in a beam, before a detector.

    Parameters
    ----------
    geometry : Geometry
        As calibrated; faults and ``detector_x`` move the detector away from it.
    sample : Sample
    instrument : Instrument
    beamstop : Beamstop or None
    faults : sequence of Fault
    seed : int
        Of all noise.
    counts : float
        Expected counts of a frame in full beam after ``exposure_s``.
    exposure_s : float
        Seconds.
    background : float
        Share of the counts that is no ring, from 0 to below 1.
    temperature : float
        Of the furnace at the start, kelvin.
    furnace_rate : float
        At which it heats and cools, K/s.
    microstructure : Microstructure or None
        None: an ideal powder.
    amorphous : float
        Share of the sample that scatters as a halo, 0 to 1.
    growth : (start, rate), optional
        The sample is a glass that crystallizes: see ``Growth``. Then ``amorphous`` is
        what is left of it.

    Attributes
    ----------
    microstructure : Microstructure or None
        May be changed from frame to frame: other grains in the beam.
    growth : Growth or None
    shutter_open : bool
    source_open : bool
        Whether the film grows.
    sample_y, detector_x : float
        mm; 0 is in the beam, and where the calibration was made.
    i0 : float
        What the monitor counted in the latest exposure.
    truths : list of FrameTruth
        All frames, in the order of exposure.
    """

    def __init__(
        self,
        geometry: Geometry,
        sample: Sample,
        *,
        instrument: Instrument | None = None,
        beamstop: Beamstop | None = None,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        counts: float = 3e7,
        exposure_s: float = 0.05,
        background: float = 0.4,
        temperature: float = 298.0,
        furnace_rate: float = 1.0,
        microstructure: Microstructure | None = None,
        amorphous: float = 0.0,
        growth: tuple[float, float] | None = None,
    ) -> None:
        self.geometry = geometry
        self.sample = sample
        self.instrument = instrument or Instrument()
        self.beamstop = beamstop
        self.faults = tuple(faults)
        self.seed = seed
        self.exposure_s = exposure_s
        self.microstructure = microstructure
        self.amorphous = amorphous
        self.clock = Clock()
        self.ring = StorageRing()
        self.furnace = Furnace(self.clock, temperature=temperature, rate=furnace_rate)
        self.growth: Growth | None = None
        if growth is not None:
            self.growth = Growth(self.clock, start=growth[0], rate=growth[1])
        self.shutter_open = True
        self.sample_y = self.detector_x = 0.0
        self.i0 = 0.0
        self.truths: list[FrameTruth] = []
        self._index = self._frame_number = 0
        self._previous: NDArray[Any] | None = None
        self._illumination = Illumination(
            geometry,
            sample,
            instrument=self.instrument,
            beamstop=beamstop,
            dark=dark_pattern(geometry, seed),
            counts_per_s=counts / exposure_s,
            background=background,
            temperature=self.furnace.sample,
        )

    @property
    def source_open(self) -> bool:
        """Whether the film grows; False without one."""
        return self.growth is not None and self.growth.source_open

    @source_open.setter
    def source_open(self, position: bool) -> None:
        if self.growth is not None:
            self.growth.source_open = position
        elif position:
            msg = "There is no film to grow; give the experiment growth=(start, rate)."
            raise ValueError(msg)

    # -- a frame ------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, int]:
        """Size (y, x) of a frame, pixels."""
        return self.geometry.detector.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        return np.dtype(self.geometry.detector.dtype)

    def arm(self) -> None:
        """Begin a series: frame numbers and faults count from 0."""
        self._index = self._frame_number = 0

    def read_out(self, exposure_time: float) -> Readout:
        """Expose for so many seconds of simulated time and give the frame."""
        index, shot = self._index, len(self.truths)
        if self.growth is not None:
            self.amorphous = 1.0 - self.growth.mean_share(exposure_time)
        faults = [f for f in self.faults if self.shutter_open and f.in_force(index)]
        conditions = self.conditions(faults)
        noise = np.random.default_rng([self.seed, shot])
        monitored = ion_chamber_counts(conditions.beam, exposure_time, noise)
        self.i0 = monitored * conditions.i0_gain
        pixels = self._illumination.expose(
            conditions,
            exposure_time,
            self.furnace.sample,
            self.microstructure,
            frame_key(self.seed, shot),
        )
        for fault in faults:
            pixels = fault.corrupt(pixels, self._previous, noise)
        self.truths.append(self._truth(index, shot, conditions, faults))
        number = self._frame_number + conditions.frames_lost
        self._index, self._frame_number = index + 1, number + 1
        for fault in faults:
            number = fault.renumber(number, index)
        self._previous = pixels
        self.clock.advance(exposure_time + READOUT_S)
        return Readout(pixels=pixels, frame_number=number, timestamp=time.time())

    def conditions(self, faults: Sequence[Fault] = ()) -> Conditions:
        """What a frame taken now would be exposed in, with these faults."""
        away = min(1.0, abs(self.sample_y) / CAPILLARY_RADIUS_MM)
        moved_px = self.detector_x * 1e-3 / self.geometry.detector.pixel_size
        # The detector moves to the right, so the beam's spot on it moves to the left.
        conditions = Conditions(
            geometry=self.geometry.shifted(-moved_px, 0.0),
            beam=self.ring.intensity(self.clock.now),
            transmission=float(self.shutter_open),
            sample=(1.0 - away**2) ** 0.5,
            amorphous=self.amorphous,
            pixel_faults=tuple(f for f in faults if isinstance(f, PixelFault)),
        )
        for fault in faults:
            conditions = fault.disturb(conditions)
        return conditions

    def expected(
        self, conditions: Conditions, exposure_time: float | None = None
    ) -> NDArray[np.float32]:
        """Expected counts of a frame, light and dark, before noise and full scale.

        Parameters
        ----------
        conditions : Conditions
            From ``conditions``.
        exposure_time : float, optional
            Seconds; by default ``exposure_s``.

        Returns
        -------
        (y, x) float32
            Counts; -1 where there is no sensor.
        """
        seconds = self.exposure_s if exposure_time is None else exposure_time
        return self._illumination.expected(
            conditions, seconds, self.furnace.sample, self.microstructure
        )

    def _truth(
        self, index: int, shot: int, conditions: Conditions, faults: Sequence[Fault]
    ) -> FrameTruth:
        temperature = self.furnace.sample
        return FrameTruth(
            index=index,
            shot=shot,
            light=self.shutter_open,
            temperature=temperature,
            phases=tuple(phase.name for phase in self.sample.phases),
            fractions=self.sample.fractions(temperature),
            center_px=self._illumination.pixels(conditions).center_px,
            beam=conditions.beam * conditions.transmission,
            faults=tuple(fault.flag for fault in faults),
        )

    def mask(self, margin_px: int = 3) -> NDArray[np.bool_]:
        """Pixels not to be used (shadow, gaps and a margin), True where masked.

        Parameters
        ----------
        margin_px : int
            How far the mask reaches beyond shadow and gaps, pixels.
        """
        calibrated = Conditions(geometry=self.geometry)
        return self._illumination.pixels(calibrated).mask(margin_px)
