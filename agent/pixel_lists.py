"""Lists of pixels made once: those of each cell, those along the edges of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.nouns import SECTORS

__all__ = ["CellPixels", "DarkPattern", "EdgePixels"]

_EDGE_PIXELS = 1024  # of one side; more would cost time and add nothing
_DARK_PIXELS = 8192
_TAIL = 5.0  # standard deviations; beyond is a pixel of its own kind
_STEPS = ((0, -1), (0, 1), (-1, 0), (1, 0))  # left, right, up, down as (y, x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellPixels:
    """Pixels of each cell: those of cell ``c`` are ``place[first[c]:first[c + 1]]``.

    Attributes
    ----------
    first : (n_cells + 1,) int32
    place : (n,) int32
        Indices into the flattened frame, rising within a cell.
    """

    first: NDArray[np.int32]
    place: NDArray[np.int32]

    @classmethod
    def of(cls, binning: Binning) -> CellPixels:
        """Sort the pixels by cell (a radix sort of 16-bit keys); masked ones go."""
        count = binning.pixels.ravel()
        first = np.zeros(count.size + 1, np.int32)
        np.cumsum(count, out=first[1:])
        order = np.argsort(binning.cell, kind="stable")
        return cls(first=first, place=order[: first[-1]].astype(np.int32))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgePixels:
    """Pixels on both sides of the mask's edge, in the order of ``group`` and ``cell``.

    Attributes
    ----------
    place : (n,) int32
        Indices into the flattened frame.
    cell : (n,) int32
        Cell that the pixel lies in, or for a masked one that of the open pixel beside.
    group : (n,) int64
        Side (left, right, up, down: 0..3) as in ``EdgeSums``, plus 4 if masked.
    """

    place: NDArray[np.int32]
    cell: NDArray[np.int32]
    group: NDArray[np.int64]

    @classmethod
    def of(cls, binning: Binning) -> EdgePixels | None:
        """Pixels of this mask, at most 1024 of a group; None without any."""
        shape = binning.shape
        cell = binning.cell.reshape(shape)
        masked = cell == MASKED_CELL
        index = np.arange(cell.size, dtype=np.int32).reshape(shape)
        places, cells, groups = [], [], []
        for side, step in enumerate(_STEPS):
            here, there = _pairs(step)
            # The pixel here is open and the one there, to that side, is masked; seen
            # from the masked one the open field lies on the opposite side.
            edge = ~masked[here] & masked[there]
            opposite = side ^ 1
            for place, group in ((index[here], side), (index[there], 4 + opposite)):
                chosen = _thinned(place[edge])
                places.append(chosen)
                cells.append(_thinned(cell[here][edge]).astype(np.int32))
                groups.append(np.full(chosen.size, group))
        place, cell_of, group_of = (
            np.concatenate(parts) for parts in (places, cells, groups)
        )
        if not place.size:
            return None
        order = np.lexsort((place, cell_of, group_of))
        return cls(place=place[order], cell=cell_of[order], group=group_of[order])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DarkPattern:
    """Pixels of a dark that stand out most from their cell.

    Attributes
    ----------
    place, cell : (n,) int32
        Pixel, and its cell.
    deviation : (n,) float64
        Counts above the cell's mean in the dark, noise and all.
    level : float
        Mean counts of a pixel of the dark.
    spread : float
        Variance of the deviations of all pixels, those beyond 5 standard deviations
        apart, counts squared.
    """

    place: NDArray[np.int32]
    cell: NDArray[np.int32]
    deviation: NDArray[np.float64]
    level: float
    spread: float

    @classmethod
    def of(cls, binning: Binning, dark: NDArray[np.float64]) -> DarkPattern | None:
        """Choose up to 8192 pixels of a mean dark (y * x,); None for a flat one."""
        used = np.flatnonzero((binning.cell != MASKED_CELL) & (dark != 0.0))
        cell = binning.cell[used].astype(np.int32)
        value = dark[used]
        n_cells = binning.q.size * SECTORS
        mean = np.bincount(cell, value, n_cells) / np.maximum(
            np.bincount(cell, minlength=n_cells), 1
        )
        deviation = value - mean[cell]
        spread = _spread(deviation)
        if spread <= 0.0:
            return None
        most = min(_DARK_PIXELS, used.size)
        strongest = np.argpartition(-np.abs(deviation), most - 1)[:most]
        strongest.sort()
        return cls(
            place=used[strongest].astype(np.int32),
            cell=cell[strongest],
            deviation=deviation[strongest],
            level=float(value.mean()),
            spread=spread,
        )


def _spread(deviation: NDArray[np.float64]) -> float:
    """Variance without the tails, by repeated clipping."""
    spread = float(np.mean(deviation**2)) if deviation.size else 0.0
    for _ in range(8):
        core = deviation[np.abs(deviation) < _TAIL * spread**0.5]
        spread = float(np.mean(core**2)) if core.size else 0.0
    return spread


def _pairs(
    step: tuple[int, int],
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Two views of an image: each pixel, and the one that lies ``step`` (y, x) away."""

    def cut(by: int) -> tuple[slice, slice]:
        if by == 0:
            return slice(None), slice(None)
        if by < 0:
            return slice(1, None), slice(None, -1)
        return slice(None, -1), slice(1, None)

    (here_y, there_y), (here_x, there_x) = cut(step[0]), cut(step[1])
    return (here_y, here_x), (there_y, there_x)


def _thinned(values: NDArray[np.generic]) -> NDArray[np.generic]:
    stride = -(-values.size // _EDGE_PIXELS) or 1
    return values[::stride]
