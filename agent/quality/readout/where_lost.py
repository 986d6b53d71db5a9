"""Where on the detector the light of a misread frame is missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS, Cake
from ringwatch.agent.quality.facts import Reference

__all__ = ["where_lost"]

_LEAST = 0.1  # of a sector's light; less may be its grains
_PART = 0.5  # of what the worst sector lost
_MOST = 26  # sectors; what is lost nearly all around has no direction


def where_lost(cake: Cake, reference: Reference | None) -> str:
    """Range of azimuth in which light is missing, in words; empty where none tells.

    Expected is the upper quartile of a ring's sectors, right though half of the frame
    is lost, on the pixels that the reference has (without one, that the frame has).
    """
    norm = cake.norm
    rate = np.divide(cake.total, norm, out=np.full(norm.shape, np.nan), where=norm > 0)
    seen = (norm > 0).any(axis=1)
    due = np.zeros(norm.shape[0])
    due[seen] = np.nanquantile(rate[seen], 0.75, axis=1)
    known = norm if reference is None else reference.norm / reference.frames
    expected = due @ known
    lit = expected > 0.0
    lost = np.zeros(expected.size)
    lost[lit] = (
        1.0 - np.where(norm > 0, cake.total, 0.0).sum(axis=0)[lit] / expected[lit]
    )
    dark = lost > max(_PART * float(lost.max(initial=0.0)), _LEAST)
    return _in_words(dark) if 0 < int(dark.sum()) <= _MOST else ""


def _in_words(dark: NDArray[np.bool_]) -> str:
    """The shortest range that holds all of the sectors, from its end to its other."""
    at = np.flatnonzero(dark)
    gaps = np.diff(at, append=at[0] + SECTORS)
    first = int(at[(int(np.argmax(gaps)) + 1) % at.size])
    wide = SECTORS - int(gaps.max()) + 1
    low = -180.0 + 360.0 / SECTORS * first
    high = low + 360.0 / SECTORS * wide
    return f" (chi {low:.0f} to {high:.0f} degrees)"
