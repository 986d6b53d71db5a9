"""What leaves a detector after one exposure, and who may deliver it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["FrameSource", "ListedFrames", "Readout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """One frame as the detector's own electronics hand it over.

    Attributes
    ----------
    pixels : (y, x) array
        Counts.
    frame_number : int
        The detector's own counter, from 0 within a series. It skips where the
        detector lost a frame, which no document of the RunEngine shows.
    timestamp : float
        Time of the end of the exposure by the detector's clock, seconds.
    """

    pixels: NDArray[Any]
    frame_number: int
    timestamp: float


class FrameSource(Protocol):
    """Anything that can be exposed: the simulated experiment, or a list of frames."""

    @property
    def shape(self) -> tuple[int, int]:
        """Size (y, x) of a frame, pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""

    def arm(self) -> None:
        """Begin a series: the next frame is number 0."""

    def read_out(self, exposure_time: float) -> Readout:
        """Next frame of the series, after an exposure of so many seconds."""


class ListedFrames:
    """A source that delivers given frames in turn, and starts over at the end.

    Parameters
    ----------
    frames : sequence of (y, x) arrays
        All of one shape and type.

    Raises
    ------
    ValueError
        If there is no frame, or if they differ in shape or type.
    """

    def __init__(self, frames: Sequence[NDArray[Any]]) -> None:
        kinds = {(frame.shape, frame.dtype) for frame in frames}
        if len(kinds) != 1 or len(frames[0].shape) != 2:
            msg = (
                f"The frames have the shapes and types {sorted(map(str, kinds))}; "
                "expected one two-dimensional kind. Convert or crop them first."
            )
            raise ValueError(msg)
        self._frames = list(frames)
        self._next = 0

    @classmethod
    def blank(
        cls, shape: tuple[int, int] = (64, 64), dtype: DTypeLike = np.uint16
    ) -> ListedFrames:
        """Four frames of constant value 1, 2, 3 and 4, for tests of documents."""
        return cls([np.full(shape, value, dtype) for value in (1, 2, 3, 4)])

    @property
    def shape(self) -> tuple[int, int]:
        """Size (y, x) of a frame, pixels."""
        y, x = self._frames[0].shape
        return y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        return self._frames[0].dtype

    def arm(self) -> None:
        """Begin a series: the next frame is the first of the list."""
        self._next = 0

    def read_out(self, exposure_time: float) -> Readout:
        """Next frame of the list; ``exposure_time`` (s) changes nothing."""
        number = self._next
        self._next += 1
        return Readout(
            pixels=self._frames[number % len(self._frames)],
            frame_number=number,
            timestamp=time.time(),
        )
