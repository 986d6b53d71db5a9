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
from ringwatch.agent.quality.geometry.search import (
    COINCIDES,
    measure_coincidence,
)

__all__ = ["Turn", "TurnSearch", "turn_image"]

_CERTAIN = 10.0  # sigma of it
_LEAST_SHARP = 4  # sectors
_TRIES = 3  # frames of a run; a wrong geometry stays wrong
_AGAIN = 8  # frames; an image that is turned stays so, and each look is a reduction


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
        self._looked = 0  # frames ago

    def judge(self, turned: Turned | None, binning: Binning) -> Finding | None:
        """Raise ``misread`` where a turned frame's rings coincide; else None.

        Once a turn is found only every eighth frame is turned back again.

        Parameters
        ----------
        turned : callable or None
            None: the pixels are not at hand.
        binning : Binning
        """
        if turned is None or (self._found is None and self._tries >= _TRIES):
            return None
        self._looked += 1
        if self._found is None:
            self._tries += 1
        elif self._looked < _AGAIN:
            return raised(
                Flag.MISREAD,
                1.0,
                f"the image is turned {self._found.value[0]}: turned back the rings of "
                "a frame shortly before coincided, and as it is they do not",
            )
        for turn in (self._found,) if self._found else tuple(Turn):
            about = measure_coincidence(make_profiles(turned(turn), binning))
            sharp = about.sectors >= _LEAST_SHARP and about.z >= _CERTAIN
            if sharp and about.correlation > COINCIDES:
                self._found, self._looked = turn, 0
                return raised(
                    Flag.MISREAD,
                    1.0,
                    f"the image is turned {turn.value[0]}: turned back its rings "
                    f"coincide in {about.sectors} sectors (correlation "
                    f"{about.correlation:.2f}), as it is they do not",
                )
        self._found = None
        return None
