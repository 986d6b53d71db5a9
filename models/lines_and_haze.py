"""Patterns on one even q grid, told apart into lines and the haze below them.

What a person teaches is either a set of lines (a gasket, a second phase) or a change of
what is smooth (a solvent, a window). Both are sought in a pattern divided by its mean,
so that neither exposure nor beam matters. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["POINTS", "EvenGrid", "stretched"]

Floats = NDArray[np.float64]

POINTS = 512
"""Points of the grid."""
_NEIGHBOUR = 4  # points from a line's top to where its contrast is measured against
_WINDOW = 35  # points in which the haze is below most of what a line holds
_LOW = 7  # the eighth lowest of the window: a fifth
_STRIDE = 4  # points from one window to the next
_SMOOTH = 12.0  # points, standard deviation
_FARTHEST = 6.0  # 1/Angstrom, as for the network: beyond it lines crowd
_KNOTS = 24  # points from one knot of the haze to the next
_LEAST = 1e-3  # of the mean: nothing lower is told apart
_COVERED = 0.98  # of the grid that a pattern must have measured


@dataclass(frozen=True)
class EvenGrid:
    """An even q grid of ``POINTS`` points.

    Attributes
    ----------
    q_min, q_max : float
        First and last point, 1/Angstrom.
    """

    q_min: float
    q_max: float

    def __post_init__(self) -> None:
        if not 0.0 < self.q_min < self.q_max:
            raise ValueError(
                f"q from {self.q_min:g} to {self.q_max:g} is no range: give ends above "
                "0 that rise, in 1/Angstrom"
            )

    @classmethod
    def covering(cls, q: Floats, intensity: Floats) -> EvenGrid:
        """The range that all patterns (B, n) on ``q`` (n,), 1/Angstrom, measured.

        Raises
        ------
        ValueError
            Where they share fewer than 32 points.
        """
        shared = np.isfinite(intensity).all(axis=0) & (q > 0.0)
        if np.count_nonzero(shared) < 32:
            raise ValueError(
                f"the patterns share {np.count_nonzero(shared)} points: 32 are needed; "
                "teach from frames of one detector"
            )
        return cls(float(q[shared][0]), float(min(q[shared][-1], _FARTHEST)))

    @cached_property
    def q(self) -> Floats:
        """(POINTS,), 1/Angstrom."""
        return np.linspace(self.q_min, self.q_max, POINTS)

    @cached_property
    def _smoothing(self) -> Floats:
        """From windows to points, (POINTS, POINTS / 4); rows sum to 1."""
        place = np.arange(POINTS)
        away = place[:, None] - place[::_STRIDE]
        weight = np.exp(-0.5 * (away / _SMOOTH) ** 2)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def resample(self, q: Floats, intensity: Floats) -> Floats:
        """Patterns (B, n) on ``q`` (n,) as (B, POINTS), each of mean 1.

        NaN where a pattern does not cover the grid, or holds no light.
        """
        out = np.full((len(intensity), POINTS), np.nan)
        for row, values in zip(out, intensity, strict=True):
            known = np.isfinite(values) & np.isfinite(q)
            x, y = q[known], values[known]
            if x.size < 8 or not self._covered_by(x):
                continue
            even = np.interp(self.q, x, y)
            mean = even.mean()
            if mean > 0.0:
                row[:] = even / mean
        return out

    def _covered_by(self, q: Floats) -> bool:
        """Whether points lie near nearly all of the grid."""
        right = np.searchsorted(q, self.q).clip(1, q.size - 1)
        away = np.minimum(np.abs(q[right] - self.q), np.abs(q[right - 1] - self.q))
        near = away <= max(0.05, 2.0 * (self.q[1] - self.q[0]))
        return bool(near.mean() >= _COVERED)

    def haze(self, x: Floats) -> Floats:
        """What lies below the lines of (B, POINTS): a low quantile, smoothed."""
        half = _WINDOW // 2
        wide = np.pad(x, ((0, 0), (half, half)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(wide, _WINDOW, axis=1)
        low = np.partition(windows[:, ::_STRIDE], _LOW, axis=2)[:, :, _LOW]
        return np.asarray(low @ self._smoothing.T)

    @staticmethod
    def contrast(x: Floats) -> Floats:
        """Points of (B, POINTS) over the mean of their neighbours on both sides."""
        k = _NEIGHBOUR
        wide = np.pad(x, ((0, 0), (k, k)), mode="edge")
        return np.asarray(x - 0.5 * (wide[:, 2 * k :] + wide[:, : -2 * k]))

    @staticmethod
    def knots(haze: Floats) -> Floats:
        """Logarithm of the haze (B, POINTS) at every 24th point."""
        return np.log(np.maximum(haze[:, ::_KNOTS], 0.0) + _LEAST)


def stretched(
    x: Floats, grid: EvenGrid, rng: np.random.Generator, most: float = 0.18
) -> Floats:
    """Patterns (B, POINTS) as of materials with larger or smaller cells.

    The lines move, the haze (air, windows, the container) stays: what a few stored
    materials show becomes what many might.
    """
    haze = grid.haze(x)
    factors = np.exp(rng.uniform(-most, most, len(x)))
    moved = np.empty_like(x)
    for row, lines, factor in zip(moved, x - haze, factors, strict=True):
        first, last = lines[:32].mean(), lines[-32:].mean()
        row[:] = np.interp(grid.q * factor, grid.q, lines, left=first, right=last)
    out = np.maximum(haze + moved, 0.0)
    return np.asarray(out / out.mean(axis=1, keepdims=True))
