"""How strongly simulated patterns are disturbed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DisturbanceSettings", "Range"]

Range = tuple[float, float]


@dataclass(frozen=True)
class DisturbanceSettings:
    """Ranges that the disturbances are drawn from; a pair is (low, high).

    Three kinds of instrument are simulated beside the clean one: a diffractometer as
    archives of minerals publish it (``archive``: fine steps, few counts, background
    taken off), any other laboratory diffractometer (``lab``), and an area detector at a
    beamline. The ranges of the first two cover, a little wider, what was measured on
    261 published patterns that are not used for reports: FWHM of 0.003 to 0.011
    1/Angstrom, microstrain 0.001 to 0.006, Lorentzian share 0.2 to 1, noise of 0.2 to
    6 % of the strongest line, lines 10 to 60 % off in intensity.

    Attributes
    ----------
    lab_share : float
        Share of disturbed patterns from a laboratory instrument (Cu K-alpha,
        Bragg-Brentano); the rest are from a beamline's area detector.
    archive_share : float
        Share of the former as archives publish them.
    quiet_share : float
        Share of disturbed patterns with a perfect sample and no noise, foreign line or
        background: only the optics are disturbed.
    clean_width, archive_width, lab_width, width : pair
        FWHM of instrument and crystallite size at q = 0, 1/Angstrom, log-uniform;
        ``width`` is a beamline's.
    clean_strain, strain : float
        Largest relative FWHM of microstrain; the latter log-uniform over two decades.
    wavelength : pair
        Of beamline patterns, Angstrom, uniform.
    doublet_share : float
        Share of disturbed laboratory patterns with both K-alpha lines.
    flat_share, depth : float
        Share of beamline patterns whose width follows the geometry of a flat detector,
        and the sample's largest extent along the beam relative to the spot's width; see
        `ringwatch.models.disturbances.instruments`. The others are constant in 2theta.
    overflow_share : float
        Share of laboratory patterns whose beam is longer than the sample below a 2theta
        of 8 to 24 degrees.
    divergence : pair
        Axial divergence (H + S) / L of laboratory instruments, without unit,
        log-uniform; see `ringwatch.models.disturbances.aberrations`.
    texture_share, texture : float
        Share with preferred orientation, and the largest abs(ln r) of its
        March-Dollase parameter r.
    grains : pair
        Crystallites that reflect into one direction of a form, log-uniform.
    zero_shift, scale : float
        Standard deviations of a zero error, given as offset in q at small angles
        (1/Angstrom), and of a relative error of q.
    displacement : float
        Standard deviation of sample displacement over goniometer radius.
    impurity_share, second_phase_share : float
        Share with one to six foreign lines; share with a second phase.
    impurity_height, second_phase_height : pair
        Height of a foreign line, and of the second phase's strongest, relative to our
        strongest, log-uniform: the first trace costs a classifier most.
    background_share : float
        Share with a background beyond the constant pedestal.
    background, pedestal, archive_pedestal : pair
        Heights relative to the strongest line, log-uniform. What an archive has taken
        off leaves its noise.
    archive_counts, lab_counts, beamline_counts : pair
        Counts per step at the top of the strongest line, log-uniform.
    archive_step, lab_step, beamline_step : pair
        Steps of the measurement, 1/Angstrom, log-uniform.
    saturation_share : float
        Share of disturbed beamline patterns whose highest lines are cut off at 0.2 to
        0.9 of the strongest.
    loss_share, loss : float
        Share of disturbed laboratory patterns with counting losses, and the largest:
        ``measured = true / (1 + loss true)`` (G. F. Knoll, Radiation Detection and
        Measurement, 2010, chapter 4), the strongest line being 1.
    folded_share : float
        Share of archived patterns whose negative rest was made positive (the others
        were cut off at zero).
    gap_share : float
        Share of disturbed beamline patterns with a gap in the range.
    """

    lab_share: float = 0.6
    archive_share: float = 0.6
    quiet_share: float = 0.1
    clean_width: Range = (0.004, 0.012)
    archive_width: Range = (0.0028, 0.014)
    lab_width: Range = (0.004, 0.028)
    width: Range = (0.006, 0.035)
    clean_strain: float = 0.0005
    strain: float = 0.008
    wavelength: Range = (0.15, 1.15)
    doublet_share: float = 0.9
    divergence: Range = (0.004, 0.04)
    flat_share: float = 0.5
    depth: float = 1.5
    overflow_share: float = 0.15
    texture_share: float = 0.7
    texture: float = 0.7
    grains: Range = (2.0, 5_000.0)
    zero_shift: float = 0.002
    scale: float = 0.0008
    displacement: float = 0.0003
    impurity_share: float = 0.3
    impurity_height: Range = (0.002, 0.15)
    second_phase_share: float = 0.25
    second_phase_height: Range = (0.002, 0.2)
    background_share: float = 0.7
    background: Range = (0.002, 1.5)
    pedestal: Range = (0.0005, 0.15)
    archive_pedestal: Range = (0.01, 1.0)
    archive_counts: Range = (40.0, 8_000.0)
    lab_counts: Range = (300.0, 300_000.0)
    beamline_counts: Range = (400.0, 500_000.0)
    archive_step: Range = (0.0006, 0.0009)
    lab_step: Range = (0.0012, 0.003)
    beamline_step: Range = (0.0015, 0.006)
    folded_share: float = 0.8
    saturation_share: float = 0.05
    loss_share: float = 0.1
    loss: float = 0.3
    gap_share: float = 0.15

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            ranged = isinstance(getattr(type(self), name), tuple)
            if ranged != (isinstance(value, tuple) and len(value) == 2):
                expected = "a pair (low, high)" if ranged else "one number"
                raise ValueError(f"{name} = {value}: {expected} is needed")
            pair = value if ranged else (value, value)
            if not 0 <= pair[0] <= pair[1]:
                raise ValueError(f"{name} = {value}: 0 <= low <= high is needed")
            if name.endswith("_share") and pair[1] > 1:
                raise ValueError(f"{name} = {value}: a share lies in 0..1")
