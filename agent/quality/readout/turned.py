"""A flipped image whose beam is far from the middle: its rings fit no sector.

Where the rings of different sectors do not coincide the frame may be upside down. The
pixels turned back tell: their rings coincide about the geometry's own centre.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Cake, Flag
from ringwatch.agent.quality.findings import Finding, raised
from ringwatch.agent.quality.geometry.profiles import make_profiles
from ringwatch.agent.quality.geometry.search import measure_coincidence

__all__ = ["Turn", "TurnSearch", "turn_image"]

_SURE = 0.5  # correlation of sectors about the right centre
_CERTAIN = 10.0  # sigma of it
_LEAST_SHARP = 4  # sectors
_TRIES = 3  # frames of a run; a wrong geometry stays wrong


class Turn(Enum):
    """How an image may have been turned: words, steps along rows and columns."""

    UPSIDE_DOWN = ("upside down", -1, 1)
    LEFT_TO_RIGHT = ("left to right", 1, -1)
    BY_180 = ("by 180 degrees", -1, -1)


Turned = Callable[[Turn], Cake]
"""Gives the cake of the same frame turned back."""


def turn_image(frame: NDArray[Any], turn: Turn) -> NDArray[Any]:
    """The image turned back, (y, x)."""
    _, rows, columns = turn.value
    return np.ascontiguousarray(frame[::rows, ::columns])


class TurnSearch:
    """Tries the turns on the first frames that ask for it; remembers what fitted."""

    def __init__(self) -> None:
        self._tries = 0
        self._found: Turn | None = None

    def judge(self, turned: Turned | None, binning: Binning) -> Finding | None:
        """Raise ``misread`` where a turned frame's rings coincide; else None.

        Parameters
        ----------
        turned : callable or None
            None: the pixels are not at hand.
        binning : Binning
        """
        if turned is None or (self._found is None and self._tries >= _TRIES):
            return None
        self._tries += 1
        for turn in (self._found,) if self._found else tuple(Turn):
            about = measure_coincidence(make_profiles(turned(turn), binning))
            sharp = about.sectors >= _LEAST_SHARP and about.z >= _CERTAIN
            if sharp and about.correlation > _SURE:
                self._found = turn
                return raised(
                    Flag.MISREAD,
                    1.0,
                    f"the image is turned {turn.value[0]}: turned back its rings "
                    f"coincide in {about.sectors} sectors (correlation "
                    f"{about.correlation:.2f}), as it is they do not",
                )
        return None
