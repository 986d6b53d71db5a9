"""What the values of pixels mean: saturation, markers of invalid ones, counts."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.errors import FrameShapeError
from ringwatch.agent.kernel import NO_COUNT

__all__ = [
    "flat_pixels",
    "marker_of",
    "saturation_of",
    "usable_counts",
    "usable_pixels",
]


@lru_cache(maxsize=64)
def saturation_of(dtype: np.dtype[Any], setting: float | None = None) -> float:
    """Count at which a pixel is saturated; infinite where nobody can know.

    Without a setting: for unsigned integers two below the overflow, as Dectris writes
    them (the largest value marks an invalid pixel, the one below saturation); for
    signed ones the largest value; for floating point unknown.
    """
    if setting is not None:
        return float(setting)
    if dtype.kind == "u":
        return float(np.iinfo(dtype).max - 1)
    if dtype.kind == "i":
        return float(np.iinfo(dtype).max)
    return math.inf


@lru_cache(maxsize=64)
def marker_of(dtype: np.dtype[Any]) -> float:
    """Value that marks an invalid pixel: the largest unsigned one (Dectris).

    8-bit images are ordinary pictures: there the largest value is saturation. NaN,
    which is equal to nothing, where there is no such value.
    """
    if dtype.kind == "u" and dtype.itemsize > 1:
        return float(np.iinfo(dtype).max)
    return math.nan


def flat_pixels(
    frame: NDArray[np.generic], shape: tuple[int, int]
) -> NDArray[np.generic]:
    """The pixels (y * x,) of a frame, in the byte order of this machine.

    Raises
    ------
    FrameShapeError
        Where the frame does not have the shape, or holds no real numbers.
    """
    if frame.shape != shape:
        raise FrameShapeError(
            f"the frame has shape {frame.shape} (y, x) but the geometry is for {shape}"
        )
    if frame.dtype.kind not in "uif":
        raise FrameShapeError(
            f"pixels of type {frame.dtype} cannot be reduced: integers or floating "
            "point numbers are expected"
        )
    native = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    if native.dtype == np.float16:
        native = native.astype(np.float32)
    return np.ascontiguousarray(native).ravel()


def usable_counts(frame: NDArray[np.generic]) -> NDArray[np.float64]:
    """Counts of a dark frame of any shape as float64; invalid pixels are 0."""
    return np.where(usable_pixels(frame), np.asarray(frame, np.float64), 0.0)


def usable_pixels(frame: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a frame of any shape holds counts.

    What is invalid is as in ``Cake``; no mask is known here.
    """
    values = np.asarray(frame, np.float64)
    usable = np.abs(values) < NO_COUNT  # False for NaN
    usable &= values != marker_of(frame.dtype)
    negative = usable & (values < 0)
    counts = negative & (values != -1) & (values != -2)
    if frame.dtype.kind != "f" or not counts.any():
        usable &= ~negative
    return usable
