"""The mean of dark frames, ready to be subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import Binning
from ringwatch.agent.pixel_lists import DarkPattern
from ringwatch.agent.pixel_values import flat_pixels, usable_counts
from ringwatch.agent.sums import per_cell

__all__ = ["Dark"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dark:
    """Mean dark frame, ready for the pass.

    Attributes
    ----------
    pixels : (y * x,) float64
        Mean counts; 0 where the dark has no valid value.
    total : (n_q, 32) float64
        Sum per cell.
    frames : int
        Number of frames averaged.
    pattern : DarkPattern or None
        Pixels that stand out of the others; None for a flat dark.
    """

    pixels: NDArray[np.float64]
    total: NDArray[np.float64]
    frames: int
    pattern: DarkPattern | None = None

    @classmethod
    def of(cls, binning: Binning, frames: Sequence[NDArray[np.generic]]) -> Self:
        """Average dark frames (each (y, x)); invalid pixels count as 0.

        Raises
        ------
        FrameShapeError
            Where a dark does not fit the binning.
        """
        total = np.zeros(binning.cell.size)
        for frame in frames:
            total += usable_counts(flat_pixels(frame, binning.shape))
        mean = total / len(frames)
        every = np.arange(mean.size, dtype=np.int32)
        return cls(
            pixels=mean,
            total=per_cell(binning, every, mean),
            frames=len(frames),
            pattern=DarkPattern.of(binning, mean),
        )
