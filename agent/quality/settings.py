"""What the flags are told: targets, tolerances, and which readback means what."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from scipy.special import ndtri, stdtrit

__all__ = ["QualitySettings"]

_STATISTICS = 20  # statistics per frame that share the budget of false alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings:
    """Settings of all flags of one detector.

    Attributes
    ----------
    false_alarms_per_hour : float
        Budget over all flags, 1/h; sets every statistical threshold. A settings file
        may ask for 3600 at most.
    frame_rate_hz : float
        Frames per second for which the budget holds, Hz.
    saturation : float or None
        Count at which a pixel is saturated; None: from the type of the pixels.
    saturated_tolerance : float
        Share of the recorded counts in saturated pixels beyond which the frame is bad,
        0..1.
    misread_tolerance : float
        Share of the pixels that may be empty where counts are expected, 0..1.
    least_beam : float
        Brightness over that of the run's reference below which there is no beam, 0..1.
    center_tolerance : float
        Displacement of the rings' centre that matters, in FWHM; 0.085 broadens the
        averaged ring by 1 %.
    center_floor : float
        Displacement from the centre of the geometry that a good calibration leaves, px.
    tilt_floor_px : float
        Displacement of the outermost ring by a tilt that a good calibration leaves, px.
    scale_tolerance : float
        Relative change of all radii that matters, 1.
    strain_tolerance : float
        Amplitude of the second harmonic of the radii that is worth telling, 1.
    beam_tolerance : float
        Relative change of intensity over I0 that matters, 0..1.
    least_sample : float
        Share of the run's first ring intensity below which the sample is gone, 0..1.
    dead_time_s : float or None
        Dead time of a pixel of a counting detector, s; None: ``count_rate_loss`` is not
        evaluated.
    count_rate_tolerance : float
        Share of the counts lost in the brightest pixels that matters, 0..1.
    mask_tolerance : float
        Share of the expected counts that pixels along one side of the mask may lack,
        0..1.
    outlier_tolerance : float
        Share of the frame's counts in hot pixels or zingers that matters, 0..1.
    spot_tolerance : float
        Share of the counts of rings and spots in spots that matters, 0..1.
    dark_age_limit_s : float
        Age of a dark beyond which it is stale, s.
    calibration_tolerance : float
        Relative difference between the geometry and a readback of the same quantity
        (distance, energy) that matters, 1.
    shadow_tolerance : float
        Share of the light missing in the shaded sectors that matters, 0..1.
    leak_tolerance : float
        Share of the frame's counts in a leak past the beamstop that matters, 0..1.
    grain_tolerance : float
        Relative scatter of a ring's mean intensity due to the number of grains that
        matters, 0..1.
    texture_tolerance : float
        Texture index less 1 that is worth telling, 1.
    ice_tolerance : float
        Share of the rings' intensity in ice that matters, 0..1.
    crystalline_tolerance : float
        Share of sharp structure in the intensity below which a sample is called
        amorphous, if counting statistics could have shown so little, 0..1.
    flat_plate : bool
        Whether the sample is a plate in reflection, so that its height displaces rings.
    displacement_tolerance_um : float
        Displacement of such a sample that matters, micrometres.
    target_precision : float
        Wanted standard deviation over intensity of the strongest rings, 1.
    exposure_key : str or None
        Readback with the exposure, s. None: the first key that is
        ``exposure_time`` or ``acquire_time``, or ends in one after a character that is
        no letter or digit.
    i0_key : str or None
        Readback of the beam monitor, any unit. None: the first key named ``i0`` or
        ending in ``_i0``.
    temperature_key : str or None
        Readback of the sample temperature. None: the first key that holds
        ``temperature`` (one with ``sample`` before others) and no word of what is no
        sample: detector, det, camera, cam, sensor, mono, dcm, chiller, water, cabinet,
        room, hutch, ambient. The key that is named here is believed.
    temperature_unit : {"K", "degC"}
        Its unit, kelvin or degrees Celsius; a negative value is in degrees Celsius in
        any case. Only ``ice`` asks how cold the sample is; other flags ask for changes.
    temperature_tolerance : float
        Change of temperature that may explain a change of the lattice, K: as far as
        solids expand, 1e-4 per kelvin.
    geometry_keys : tuple of str
        Readbacks of what moves the rings by moving the instrument: detector distance,
        photon energy. Those that hold energy, mono or dcm as a word go against the
        radii, wavelength or lambda with them; any other is a distance in m, cm, mm or
        um (mm where its zero is not the sample). One explains rings that moved only if
        it moved as they say.
    geometry_tolerance : float
        Relative change of such a readback that counts as a move, 1.
    reference_frames : int
        First sound frames of the run that make its reference; one whose light over I0
        departs from that of the others is left out, and the next one taken.

    Raises
    ------
    ValueError
        Where a number is out of its bounds.
    """

    false_alarms_per_hour: float = 0.1
    frame_rate_hz: float = 10.0
    saturation: float | None = None
    saturated_tolerance: float = 0.01
    misread_tolerance: float = 0.01
    least_beam: float = 0.05
    center_tolerance: float = 0.085
    center_floor: float = 0.25
    tilt_floor_px: float = 0.25
    scale_tolerance: float = 1e-4
    strain_tolerance: float = 1e-4
    beam_tolerance: float = 0.03
    least_sample: float = 0.2
    dead_time_s: float | None = None
    count_rate_tolerance: float = 0.01
    mask_tolerance: float = 0.4
    outlier_tolerance: float = 1e-3
    spot_tolerance: float = 0.01
    dark_age_limit_s: float = 12 * 3600.0
    calibration_tolerance: float = 1e-2
    shadow_tolerance: float = 0.05
    leak_tolerance: float = 0.01
    grain_tolerance: float = 0.1
    texture_tolerance: float = 0.05
    ice_tolerance: float = 0.02
    crystalline_tolerance: float = 0.01
    flat_plate: bool = False
    displacement_tolerance_um: float = 50.0
    target_precision: float = 0.02
    exposure_key: str | None = None
    i0_key: str | None = None
    temperature_key: str | None = None
    temperature_unit: Literal["K", "degC"] = "K"
    temperature_tolerance: float = 1.0
    geometry_keys: tuple[str, ...] = ()
    geometry_tolerance: float = 1e-5
    reference_frames: int = 3

    def __post_init__(self) -> None:
        positive = (
            "false_alarms_per_hour",
            "frame_rate_hz",
            "center_tolerance",
            "center_floor",
            "tilt_floor_px",
            "scale_tolerance",
            "strain_tolerance",
            "dark_age_limit_s",
            "calibration_tolerance",
            "texture_tolerance",
            "displacement_tolerance_um",
            "target_precision",
            "temperature_tolerance",
            "geometry_tolerance",
            "reference_frames",
        )
        shares = (
            "saturated_tolerance",
            "misread_tolerance",
            "least_beam",
            "beam_tolerance",
            "least_sample",
            "count_rate_tolerance",
            "mask_tolerance",
            "outlier_tolerance",
            "spot_tolerance",
            "shadow_tolerance",
            "leak_tolerance",
            "grain_tolerance",
            "ice_tolerance",
            "crystalline_tolerance",
        )
        for name in positive + shares:
            value = getattr(self, name)
            if not 0 < value < (1 if name in shares else float("inf")):
                limit = "between 0 and 1" if name in shares else "above 0"
                raise ValueError(f"{name} is {value}: give a number {limit}")
        if self.temperature_unit not in ("K", "degC"):
            raise ValueError(
                f"temperature_unit is {self.temperature_unit!r}: give K or degC"
            )
        if self.dead_time_s is not None and not 0 < self.dead_time_s < 1:
            raise ValueError(
                f"dead_time_s is {self.dead_time_s}: give seconds, such as 2e-7"
            )

    @property
    def tail(self) -> float:
        """Probability of a false alarm that one statistic of one frame may have."""
        return _tail(self.false_alarms_per_hour, self.frame_rate_hz)

    @property
    def threshold(self) -> float:
        """Two-sided Gaussian threshold, standard deviations (FLAGS: 5.27 at 10 Hz)."""
        return _gaussian(self.tail)

    def threshold_for(self, freedom: float, *, dimensions: Literal[1, 2] = 1) -> float:
        """Threshold where the standard deviation itself is estimated.

        Student's t in one dimension, Hotelling's T in two: there the F distribution has
        a closed form.
        """
        if dimensions == 1:
            return float(-stdtrit(freedom, self.tail / 2))
        return math.sqrt(freedom * (self.tail ** (-2.0 / freedom) - 1.0))


@lru_cache
def _tail(false_alarms_per_hour: float, frame_rate_hz: float) -> float:
    return min(false_alarms_per_hour / (frame_rate_hz * 3600 * _STATISTICS), 0.1)


@lru_cache
def _gaussian(tail: float) -> float:
    return float(-ndtri(tail / 2))
