"""The quality flags: what can be said of a frame, in bits that never change."""

from __future__ import annotations

from enum import Enum, StrEnum

__all__ = ["SIGNAL_GONE", "Flag", "FlagState", "Severity"]


class Severity(StrEnum):
    """What a raised flag means for the frame."""

    BAD = "bad"
    MISALIGNED = "misaligned"
    SUSPECT = "suspect"
    INFORMATION = "information"
    PIPELINE = "pipeline"


class Flag(Enum):
    """The documented flags: bit, name, severity, key of the physical value, unit.

    The severity is the usual one; ``saturated`` and ``radial_scale`` may be raised with
    another (see ``Quality.severities``). Bits are never used again for something else.
    """

    INVALID_VALUES = (0, "invalid_values", Severity.BAD, "invalid_pixels", "count")
    MISREAD = (1, "misread", Severity.BAD, "misread_fraction", "1")
    DUPLICATE = (2, "duplicate", Severity.BAD, "duplicate_of_index", "index")
    SEQUENCE = (3, "sequence", Severity.SUSPECT, "missing_frames", "count")
    NO_BEAM = (4, "no_beam", Severity.BAD, "beam_fraction", "1")
    BEAM_DROP = (5, "beam_drop", Severity.SUSPECT, "intensity_over_i0", "1")
    I0_SUSPECT = (6, "i0_suspect", Severity.SUSPECT, "i0_over_intensity", "1")
    NO_SAMPLE = (7, "no_sample", Severity.BAD, "sample_fraction", "1")
    SATURATED = (8, "saturated", Severity.SUSPECT, "saturated_pixels", "count")
    COUNT_RATE_LOSS = (9, "count_rate_loss", Severity.SUSPECT, "count_rate_loss", "1")
    MASK_MISMATCH = (
        10,
        "mask_mismatch",
        Severity.SUSPECT,
        "masked_signal_fraction",
        "1",
    )
    HOT_PIXELS = (11, "hot_pixels", Severity.SUSPECT, "hot_pixels", "count")
    ZINGERS = (12, "zingers", Severity.SUSPECT, "zinger_pixels", "count")
    STALE_CALIBRATION = (13, "stale_calibration", Severity.SUSPECT, "dark_age_s", "s")
    SHADOW = (14, "shadow", Severity.SUSPECT, "shadow_fraction", "1")
    BEAMSTOP_LEAK = (15, "beamstop_leak", Severity.SUSPECT, "leak_fraction", "1")
    BEAM_CENTER = (16, "beam_center", Severity.MISALIGNED, "beam_center_dx_px", "px")
    TILT = (17, "tilt", Severity.MISALIGNED, "tilt_x_deg", "degree")
    RADIAL_SCALE = (18, "radial_scale", Severity.SUSPECT, "radial_scale_ppm", "ppm")
    SAMPLE_DISPLACED = (
        19,
        "sample_displaced",
        Severity.MISALIGNED,
        "displacement_um",
        "um",
    )
    STRAIN = (20, "strain", Severity.INFORMATION, "deviatoric_strain_ppm", "ppm")
    GRAINY = (21, "grainy", Severity.SUSPECT, "grains_per_cell", "1")
    SPOTS = (22, "spots", Severity.SUSPECT, "spot_fraction", "1")
    TEXTURE = (23, "texture", Severity.INFORMATION, "texture_index", "1")
    ICE = (24, "ice", Severity.SUSPECT, "ice_fraction", "1")
    AMORPHOUS_ONLY = (
        25,
        "amorphous_only",
        Severity.INFORMATION,
        "crystalline_fraction_limit",
        "1",
    )
    LOW_COUNTS = (26, "low_counts", Severity.SUSPECT, "time_to_target_s", "s")
    DRIFT = (27, "drift", Severity.INFORMATION, "drift_ppm_per_frame", "ppm")
    CHANGE_POINT = (28, "change_point", Severity.INFORMATION, "change_chi2", "1")
    NOVEL = (29, "novel", Severity.INFORMATION, "novelty", "1")
    UNSURE = (30, "unsure", Severity.INFORMATION, "label_prob", "1")
    PIPELINE = (31, "pipeline", Severity.PIPELINE, "latency_ms", "ms")

    def __init__(
        self, bit: int, label: str, severity: Severity, value_key: str, unit: str
    ) -> None:
        self.bit = bit
        self.label = label
        self.severity = severity
        self.value_key = value_key
        self.unit = unit

    # Members are looked up in dicts some hundred times a frame; Enum's own hash is a
    # function of Python. Nothing may depend on the order of a set of flags.
    __hash__ = object.__hash__

    @property
    def mask(self) -> int:
        """The flag as an int64 bit mask."""
        return 1 << self.bit


class FlagState(StrEnum):
    """Three states: a check that was not made is never a clear one."""

    RAISED = "raised"
    CLEAR = "clear"
    NOT_EVALUATED = "not_evaluated"


SIGNAL_GONE = (Flag.NO_BEAM, Flag.MISREAD, Flag.INVALID_VALUES)
"""A frame with one of these raised has no rings: no label, and no taught flag."""
