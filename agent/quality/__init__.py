"""Quality: can this frame be trusted? One file per family of flags, one budget.

What it gives is imported on first use: pyFAI and compiled code take seconds, and the
settings of the flags are wanted before, by a service whose settings may be wrong.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringwatch.agent.quality.alarms import Alarms
    from ringwatch.agent.quality.facts import FrameFacts, exposure
    from ringwatch.agent.quality.fold import QualityFold
    from ringwatch.agent.quality.labels import with_label
    from ringwatch.agent.quality.readout.turned import turn_image
    from ringwatch.agent.quality.settings import QualitySettings
    from ringwatch.agent.quality.warm_up import warm_up_flags
    from ringwatch.agent.quality.words import set_aside, unread, verdict_word

__all__ = [
    "VALUE_UNITS",
    "Alarms",
    "FrameFacts",
    "QualityFold",
    "QualitySettings",
    "exposure",
    "set_aside",
    "turn_image",
    "unread",
    "verdict_word",
    "warm_up_flags",
    "with_label",
]

VALUE_UNITS = {
    "beam_center_dy_px": "px",
    "beam_center_sigma_px": "px",
    "changed_share": "1",
    "crystalline_fraction": "1",
    "dark_scale": "1",
    "deviatoric_strain_sigma_ppm": "ppm",
    "displacement_sigma_um": "um",
    "drift_dx_px_per_frame": "px",
    "drift_dy_px_per_frame": "px",
    "drift_intensity_per_frame": "1",
    "grain_error": "1",
    "hot_share": "1",
    "i0_ratio": "1",
    "intensity_over_i0_sigma": "1",
    "intensity_ratio": "1",
    "mask_edge_fraction": "1",
    "precision": "1",
    "radial_scale_sigma_ppm": "ppm",
    "saturated_share": "1",
    "sharp_width_q": "1/Angstrom",
    "spots": "count",
    "tilt_sigma_deg": "degree",
    "tilt_y_deg": "degree",
    "zinger_share": "1",
}
"""Physical values beside those that each flag names, with their units."""

_PLACES = {
    "Alarms": "alarms",
    "FrameFacts": "facts",
    "QualityFold": "fold",
    "QualitySettings": "settings",
    "exposure": "facts",
    "set_aside": "words",
    "turn_image": "readout.turned",
    "unread": "words",
    "verdict_word": "words",
    "warm_up_flags": "warm_up",
    "with_label": "labels",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
