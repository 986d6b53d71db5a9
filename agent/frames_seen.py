"""What passed the worker of late, for whoever wants to look at a frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Cake, FileLocator, FrameRef

__all__ = ["FramesSeen", "Place", "SeenFrame"]

Place = tuple[str, str, str, int]
"""Run, stream, data key and index of a frame."""

MOST_PLACES = 50_000
"""Locators kept, some 300 bytes each."""


class SeenFrame(NamedTuple):
    """A frame, its pixels (y, x), and the cake that they became."""

    ref: FrameRef
    pixels: NDArray[np.generic]
    cake: Cake


class FramesSeen:
    """The newest frame whole, and of earlier ones the files that hold their pixels.

    The worker writes, any thread reads; nothing is locked, as each step is one store
    into an attribute or a dict. The pixels are not copied: nobody may write into them.

    Attributes
    ----------
    newest : SeenFrame or None
    """

    def __init__(self) -> None:
        self.newest: SeenFrame | None = None
        self._locators: dict[Place, FileLocator] = {}

    def take(self, ref: FrameRef, pixels: NDArray[np.generic], cake: Cake) -> None:
        """Take a frame that was reduced."""
        self.newest = SeenFrame(ref, pixels, cake)
        if isinstance(ref.locator, FileLocator):
            place = ref.run_uid, ref.stream, ref.data_key, ref.index
            self._locators[place] = ref.locator
            if len(self._locators) > MOST_PLACES:
                del self._locators[next(iter(self._locators))]

    def find(self, place: Place) -> FileLocator | None:
        """Where the pixels of a frame are; None where that is not known (any more)."""
        return self._locators.get(place)
