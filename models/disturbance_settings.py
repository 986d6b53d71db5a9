"""How strongly simulated patterns are disturbed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DisturbanceSettings", "Range"]

Range = tuple[float, float]


@dataclass(frozen=True)
class DisturbanceSettings:
    """Ranges that the disturbances are drawn from; a pair is (low, high).

    Attributes
    ----------
    lab_share : float
        Share of disturbed patterns from a laboratory instrument (Cu K-alpha,
        Bragg-Brentano); the rest are from a beamline's area detector.
    clean_width, width : pair
        FWHM of instrument and crystallite size at q = 0, 1/Angstrom, log-uniform.
    clean_strain, strain : float
        Largest relative FWHM of microstrain.
    wavelength : pair
        Of beamline patterns, Angstrom, uniform.
    doublet_share : float
        Share of disturbed laboratory patterns with both K-alpha lines.
    texture_share, texture : float
        Share with texture, and the largest sigma of the log-normal factor per line.
    zero_shift, scale : float
        Standard deviations of an offset in q (1/Angstrom) and of a relative error of q.
    impurity_share, impurity_height, second_phase_share, second_phase_height : float
        Share with one to six foreign lines and their largest height; share with a
        second phase and its largest height; relative to the strongest line.
    background_share : float
        Share with a background beyond the constant pedestal.
    background, pedestal : pair
        Heights relative to the strongest line, log-uniform.
    lab_counts, beamline_counts : pair
        Counts per step at the top of the strongest line, log-uniform.
    lab_step, beamline_step : pair
        Steps of the measurement, 1/Angstrom, log-uniform.
    gap_share : float
        Share of disturbed beamline patterns with a gap in the range.
    """

    lab_share: float = 0.55
    clean_width: Range = (0.004, 0.012)
    width: Range = (0.005, 0.045)
    clean_strain: float = 0.0005
    strain: float = 0.004
    wavelength: Range = (0.15, 1.15)
    doublet_share: float = 0.6
    texture_share: float = 0.6
    texture: float = 0.5
    zero_shift: float = 0.0025
    scale: float = 0.0008
    impurity_share: float = 0.35
    impurity_height: float = 0.08
    second_phase_share: float = 0.1
    second_phase_height: float = 0.1
    background_share: float = 0.7
    background: Range = (0.003, 2.0)
    pedestal: Range = (0.002, 0.08)
    lab_counts: Range = (60.0, 60_000.0)
    beamline_counts: Range = (300.0, 1_000_000.0)
    lab_step: Range = (0.0007, 0.003)
    beamline_step: Range = (0.001, 0.006)
    gap_share: float = 0.15

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            pair = value if isinstance(value, tuple) else (value, value)
            if not 0 <= pair[0] <= pair[1]:
                raise ValueError(f"{name} = {value}: 0 <= low <= high is needed")
            if name.endswith("_share") and pair[1] > 1:
                raise ValueError(f"{name} = {value}: a share lies in 0..1")
