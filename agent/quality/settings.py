"""What the flags are told: targets, tolerances, and which readback means what."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import fdtri, ndtri, stdtrit

__all__ = ["QualitySettings"]

_STATISTICS = 20  # statistics per frame that share the budget of false alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings:
    """Settings of all flags of one detector.

    Attributes
    ----------
    false_alarms_per_hour : float
        Budget over all flags, 1/h; sets every statistical threshold.
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
    scale_tolerance : float
        Relative change of all radii that matters, 1.
    target_precision : float
        Wanted standard deviation over intensity of the strongest rings, 1.
    exposure_key : str or None
        Readback with the exposure, s. None: the first key that ends in
        ``exposure_time`` or ``acquire_time``.
    i0_key : str or None
        Readback of the beam monitor, any unit. None: the first key named ``i0`` or
        ending in ``_i0``.
    temperature_key : str or None
        Readback of the sample temperature, K or degree C. None: the first key that
        holds ``temperature``.
    temperature_tolerance : float
        Change of temperature that explains a change of the lattice, K.
    geometry_keys : tuple of str
        Readbacks of what moves the rings by moving the instrument: detector distance,
        photon energy.
    geometry_tolerance : float
        Relative change of such a readback that counts as a move, 1.
    reference_frames : int
        First sound frames of the run that make its reference.

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
    scale_tolerance: float = 1e-4
    target_precision: float = 0.02
    exposure_key: str | None = None
    i0_key: str | None = None
    temperature_key: str | None = None
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
            "scale_tolerance",
            "target_precision",
            "temperature_tolerance",
            "geometry_tolerance",
            "reference_frames",
        )
        shares = ("saturated_tolerance", "misread_tolerance", "least_beam")
        for name in positive + shares:
            value = getattr(self, name)
            if not 0 < value < (1 if name in shares else float("inf")):
                limit = "between 0 and 1" if name in shares else "above 0"
                raise ValueError(f"{name} is {value}: give a number {limit}")

    @property
    def tail(self) -> float:
        """Probability of a false alarm that one statistic of one frame may have."""
        per_hour = self.frame_rate_hz * 3600 * _STATISTICS
        return min(self.false_alarms_per_hour / per_hour, 0.1)

    @property
    def threshold(self) -> float:
        """Two-sided Gaussian threshold, standard deviations (FLAGS: 5.27 at 10 Hz)."""
        return float(-ndtri(self.tail / 2))

    def threshold_for(self, freedom: float, *, dimensions: int = 1) -> float:
        """Threshold where the standard deviation itself is estimated.

        Student's t in one dimension, Hotelling's T in two.
        """
        if dimensions == 1:
            return float(-stdtrit(freedom, self.tail / 2))
        quantile = fdtri(dimensions, freedom, 1.0 - self.tail)
        return float((dimensions * quantile) ** 0.5)
