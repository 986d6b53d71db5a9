"""What people call a flag: a few words each, for somebody who knows none of them."""

from __future__ import annotations

from ringwatch.agent.flags import Flag

__all__ = ["care", "title"]

_TITLES = {
    Flag.INVALID_VALUES: "values that no detector writes",
    Flag.MISREAD: "image incomplete or flipped",
    Flag.DUPLICATE: "the same frame again",
    Flag.SEQUENCE: "frames lost or out of order",
    Flag.NO_BEAM: "no beam",
    Flag.BEAM_DROP: "light lost behind the monitor",
    Flag.I0_SUSPECT: "beam monitor and frame disagree",
    Flag.NO_SAMPLE: "no sample",
    Flag.SATURATED: "saturated pixels",
    Flag.COUNT_RATE_LOSS: "more photons than can be counted",
    Flag.MASK_MISMATCH: "mask that does not fit",
    Flag.HOT_PIXELS: "hot pixels (bright specks, always in the same places)",
    Flag.ZINGERS: "zingers (bright specks, in other places each time)",
    Flag.STALE_CALIBRATION: "dark or geometry of another measurement",
    Flag.SHADOW: "shadow",
    Flag.BEAMSTOP_LEAK: "direct beam past the beamstop",
    Flag.BEAM_CENTER: "beam centre off",
    Flag.TILT: "detector tilted",
    Flag.RADIAL_SCALE: "all rings larger or smaller",
    Flag.SAMPLE_DISPLACED: "plate off the axis",
    Flag.STRAIN: "sample strained",
    Flag.GRAINY: "too few grains",
    Flag.SPOTS: "single bright spots",
    Flag.TEXTURE: "preferred orientation",
    Flag.ICE: "ice",
    Flag.AMORPHOUS_ONLY: "nothing crystalline",
    Flag.LOW_COUNTS: "too few counts",
    Flag.DRIFT: "slow drift",
    Flag.CHANGE_POINT: "sudden change of the pattern",
    Flag.NOVEL: "unlike a single crystalline phase",
    Flag.UNSURE: "label not sure",
    Flag.PIPELINE: "not analysed",
}
_CARE = {
    Flag.SEQUENCE.label: " where it does not matter which position each belongs to",
    Flag.I0_SUSPECT.label: ", but not normalised by the monitor",
    Flag.HOT_PIXELS.label: " once these pixels are masked",
    Flag.ZINGERS.label: " if the bright specks are left out",
    Flag.BEAM_DROP.label: " if their brightness does not matter",
}
_BY_NAME = {flag.label: words for flag, words in _TITLES.items()}


def title(flag: str) -> str:
    """Words for a flag by its name; for frames that no flag explains without one."""
    if not flag:
        return "not judged"
    return _BY_NAME.get(flag, flag.replace("_", " "))


def care(flag: str) -> str:
    """How frames can be used that are suspect for one reason; in general without it."""
    return _CARE.get(flag, ", with care for what is said above")
