"""Quality: can this frame be trusted? One file per family of flags, one budget."""

from ringwatch.agent.quality.facts import FrameFacts
from ringwatch.agent.quality.fold import QualityFold
from ringwatch.agent.quality.settings import QualitySettings
from ringwatch.agent.quality.words import set_aside, unread, verdict_word

__all__ = [
    "VALUE_UNITS",
    "FrameFacts",
    "QualityFold",
    "QualitySettings",
    "set_aside",
    "unread",
    "verdict_word",
]

VALUE_UNITS = {
    "beam_center_dy_px": "px",
    "beam_center_sigma_px": "px",
    "radial_scale_sigma_ppm": "ppm",
    "saturated_share": "1",
    "precision": "1",
}
"""Physical values beside those that each flag names, with their units."""
