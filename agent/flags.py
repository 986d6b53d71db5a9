"""The quality flags: what can be said of a frame, in bits that never change."""

from __future__ import annotations

from enum import Enum, StrEnum

__all__ = ["Flag", "FlagState", "Severity"]


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
    SATURATED = (8, "saturated", Severity.SUSPECT, "saturated_pixels", "count")
    BEAM_CENTER = (16, "beam_center", Severity.MISALIGNED, "beam_center_dx_px", "px")
    RADIAL_SCALE = (18, "radial_scale", Severity.SUSPECT, "radial_scale_ppm", "ppm")
    LOW_COUNTS = (26, "low_counts", Severity.SUSPECT, "time_to_target_s", "s")
    PIPELINE = (31, "pipeline", Severity.PIPELINE, "latency_ms", "ms")

    def __init__(
        self, bit: int, label: str, severity: Severity, value_key: str, unit: str
    ) -> None:
        self.bit = bit
        self.label = label
        self.severity = severity
        self.value_key = value_key
        self.unit = unit

    @property
    def mask(self) -> int:
        """The flag as an int64 bit mask."""
        return 1 << self.bit


class FlagState(StrEnum):
    """Three states: a check that was not made is never a clear one."""

    RAISED = "raised"
    CLEAR = "clear"
    NOT_EVALUATED = "not_evaluated"
