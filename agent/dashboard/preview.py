"""From pixels to a small picture: largest of each block, logarithm, eight bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.cakes import SECTORS
from ringwatch.agent.geometry import MASKED_CELL, Binning

__all__ = ["MASKED", "Preview", "cake_picture", "plain_cake", "preview"]

MASKED = 255
"""Level of what is masked, or marked invalid; others are 0 to 254."""

_EDGE = 512  # pixels of a preview, at most
_LEAST_RANGE = 8.0  # counts: an empty frame shows as dark, not as its noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A frame as a small picture.

    Attributes
    ----------
    levels : (h, w) uint8
        0 to 254 over log(1 + counts) from ``low`` to ``high``; 255 is masked.
    low, high : float
        Counts.
    block : int
        Pixels of the frame along the edge of one of the picture.
    """

    levels: NDArray[np.uint8]
    low: float
    high: float
    block: int


def preview(pixels: NDArray[np.generic], masked: NDArray[np.bool_] | None) -> Preview:
    """Make the picture of a frame.

    Parameters
    ----------
    pixels : (y, x) array
    masked : (y, x) bool or None
        Pixels that take part in nothing.
    """
    block = max(1, -(-max(pixels.shape) // _EDGE))
    h, w = (max(1, n // block) for n in pixels.shape)
    largest = np.full((h, w), -1.0, np.float32)
    for row in range(min(block, pixels.shape[0])):
        for column in range(min(block, pixels.shape[1])):
            part = (slice(row, None, block), slice(column, None, block))
            some: NDArray[Any] = pixels[part][:h, :w]
            sound = _sound(some)
            if masked is not None:
                sound &= ~masked[part][:h, :w]
            np.maximum(largest, np.where(sound, some, -1.0), out=largest)
    seen = largest >= 0
    levels, low, high = _levels(largest, seen, _LEAST_RANGE)
    return Preview(levels=levels, low=low, high=high, block=block)


def plain_cake(
    pixels: NDArray[np.generic], binning: Binning
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts and normalisation of each cell (n_q, 32), for a picture only."""
    flat = pixels.ravel()
    used = (binning.cell != MASKED_CELL) & _sound(flat)
    cell, shape = binning.cell[used], (binning.q.size, SECTORS)
    total, norm = (
        np.bincount(cell, weights[used], shape[0] * SECTORS).astype(np.float64)
        for weights in (flat, binning.weight)
    )
    return total.reshape(shape), norm.reshape(shape)


def cake_picture(
    total: NDArray[np.float64], norm: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """A cake (n_q, 32) as levels (32, up to 512), chi from -180 degrees upwards."""
    points = min(_EDGE, total.shape[0])
    edges = np.linspace(0, total.shape[0], points, endpoint=False).astype(np.intp)
    total, norm = np.add.reduceat(total, edges), np.add.reduceat(norm, edges)
    seen = norm > 0
    mean = np.where(seen, total / np.where(seen, norm, 1.0), -1.0)
    return _levels(mean.T, seen.T, 0.5)[0]


def _sound(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels hold counts, and no marker."""
    if pixels.dtype.kind == "u":
        return np.asarray(pixels < np.iinfo(pixels.dtype).max)
    if pixels.dtype.kind == "f":
        return np.asarray(np.isfinite(pixels) & (pixels >= 0) & (pixels < 1e18))
    return np.asarray(pixels >= 0)


def _levels(
    counts: NDArray[Any], seen: NDArray[np.bool_], least: float
) -> tuple[NDArray[np.uint8], float, float]:
    """Levels of counts, and the counts of the lowest and of the highest."""
    some = counts[seen]
    if not some.size:
        return np.full(counts.shape, MASKED, np.uint8), 0.0, least
    last = some.size - 1
    ranks = (last // 50, last - last // 1000)
    low, high = (float(v) for v in np.partition(some, ranks)[list(ranks)])
    high = max(high, low + least)
    bottom, top = np.log1p(low), np.log1p(high)
    scaled = (np.log1p(np.maximum(counts, 0)) - bottom) * (254.0 / (top - bottom))
    levels = np.clip(np.rint(scaled), 0, 254).astype(np.uint8)
    levels[~seen] = MASKED
    return levels, low, high
