"""What the network sees of a pattern: three channels on one logarithmic q grid.

Training, ONNX Runtime and torch all go through this module, so a measured pattern and
a simulated one are resampled, freed of their background and scaled by the same code.
On a logarithmic grid a change of lattice parameter is a shift, which a convolution
likes. numpy and numba only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ringwatch.models.channels import fill_channels

__all__ = [
    "N_CHANNELS",
    "Float",
    "InputGrid",
    "PatternError",
    "channels",
    "coverage_of",
    "network_input",
    "network_inputs",
    "resample",
]

Float = NDArray[np.float32]

N_CHANNELS = 3
_FEWEST = 8
"""Points, and bins, that a pattern must have."""
_GAP = 0.05
"""Neighbouring points farther apart than this (1/Angstrom) and than five typical steps
bound a gap, which counts as not measured."""


class PatternError(ValueError):
    """A pattern that nothing can be said of: empty, all NaN, or out of range."""


@dataclass(frozen=True)
class InputGrid:
    """Logarithmic q grid of the network.

    Attributes
    ----------
    n_bins : int
        Number of bins.
    q_min, q_max : float
        Centres of the first and the last bin, in 1/Angstrom.
    """

    n_bins: int = 2048
    q_min: float = 0.30
    q_max: float = 6.0

    def __post_init__(self) -> None:
        if self.n_bins < 16 or not 0 < self.q_min < self.q_max:
            raise ValueError(
                f"{self} is no grid: n_bins >= 16 and 0 < q_min < q_max are needed"
            )

    @cached_property
    def q(self) -> NDArray[np.float64]:
        """Bin centres, shape (n_bins,), 1/Angstrom, ascending."""
        return np.exp(
            np.linspace(math.log(self.q_min), math.log(self.q_max), self.n_bins)
        )

    @property
    def spacing(self) -> float:
        """Spacing of ln(q)."""
        return math.log(self.q_max / self.q_min) / (self.n_bins - 1)

    @property
    def bin_width(self) -> NDArray[np.float64]:
        """Bin widths, shape (n_bins,), 1/Angstrom."""
        return self.q * self.spacing


@njit(cache=True, nogil=True)
def resample(
    q: NDArray[np.float64],
    values: NDArray[np.float64],
    log_q_min: float,
    spacing: float,
    out: Float,
) -> None:
    """Average the points of each logarithmic bin; interpolate where a bin holds none.

    Parameters
    ----------
    q : ndarray, (m,)
        Ascending, 1/Angstrom, positive.
    values : ndarray, (m,)
        Values at ``q``, any unit.
    log_q_min, spacing : float
        Natural logarithm of the first bin's centre, and the step.
    out : ndarray, (n,), float32
        Filled in place; bins beyond the ends of ``q`` get the end values.
    """
    n, m = len(out), len(q)
    total = np.zeros(n)
    count = np.zeros(n, np.int64)
    for k in range(m):
        place = (math.log(q[k]) - log_q_min) / spacing
        if -0.5 <= place < n - 0.5:
            bin_ = int(place + 0.5)
            total[bin_] += values[k]
            count[bin_] += 1
    k = 0
    for bin_ in range(n):
        if count[bin_]:
            out[bin_] = total[bin_] / count[bin_]
            continue
        centre = math.exp(log_q_min + bin_ * spacing)
        while k < m and q[k] < centre:
            k += 1
        if k == 0:
            out[bin_] = values[0]
        elif k == m:
            out[bin_] = values[m - 1]
        else:
            share = (centre - q[k - 1]) / (q[k] - q[k - 1])
            out[bin_] = values[k - 1] + share * (values[k] - values[k - 1])


def channels(intensity: Float, covered: Float, grid: InputGrid) -> Float:
    """Network input of patterns that lie on the grid already.

    Parameters
    ----------
    intensity : ndarray, (B, n_bins)
        Any unit; values where nothing was measured are ignored.
    covered : ndarray, (B, n_bins)
        1 where measured, 0 elsewhere.
    grid : InputGrid
        The grid.

    Returns
    -------
    ndarray, (B, 3, n_bins), float32
        Square root and logarithm of the intensity above background relative to its
        highest point, each in 0..1, and the coverage. A constant pattern gives zeros.
    """
    out = np.empty((len(intensity), N_CHANNELS, grid.n_bins), np.float32)
    values = np.ascontiguousarray(intensity, np.float32)
    mask = np.ascontiguousarray(covered, np.float32)
    for i in range(len(out)):
        fill_channels(values[i], mask[i], grid.q, out[i])
    return out


def coverage_of(q: NDArray[np.float64], grid: InputGrid) -> Float:
    """Which bins the ascending points ``q`` (m,) cover: (n_bins,) of 0 and 1."""
    covered = (grid.q >= q[0]) & (grid.q <= q[-1])
    steps = np.diff(q)
    if len(steps) and steps.max() > _GAP:  # else no step is wide, whatever is typical
        wide = max(_GAP, 5 * float(np.median(steps)))
        for k in np.flatnonzero(steps > wide):
            covered &= ~((grid.q > q[k]) & (grid.q < q[k + 1]))
    return covered.astype(np.float32)


def _usable_points(
    q: ArrayLike, intensity: ArrayLike, sigma: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points that were measured, by rising q."""
    x, y = np.array(q, np.float64, order="C"), np.asarray(intensity, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise PatternError(
            f"q has shape {x.shape} and intensity {y.shape}: "
            "pass two arrays of one shape (m,)"
        )
    keep = np.isfinite(x) & np.isfinite(y) & (x > 0)
    if sigma is not None:
        deviation = np.asarray(sigma, np.float64)
        if deviation.shape != x.shape:
            raise PatternError(
                f"sigma has shape {deviation.shape}, q {x.shape}: make them equal"
            )
        keep &= np.isfinite(deviation)
    count = int(np.count_nonzero(keep))
    if count < _FEWEST:
        raise PatternError(
            f"{count} of {len(x)} points are finite with q > 0; a pattern "
            f"needs {_FEWEST}: check the reduction, the mask and the unit of q "
            "(1/Angstrom)"
        )
    if count < len(x):
        x, y = x[keep], y[keep]
    if (x[1:] < x[:-1]).any():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    return x, y


def network_input(
    q: ArrayLike,
    intensity: ArrayLike,
    sigma: ArrayLike | None = None,
    *,
    grid: InputGrid | None = None,
) -> Float:
    """One measured pattern as the network's input.

    Parameters
    ----------
    q : ndarray, (m,)
        1/Angstrom, any sampling and order. Points that are not finite or not positive
        are left out.
    intensity : ndarray, (m,)
        Any unit; NaN where nothing was measured, such as bins without pixels.
    sigma : ndarray, (m,), optional
        Standard deviations; points whose sigma is not finite are left out.
    grid : InputGrid, optional
        The network's grid.

    Returns
    -------
    ndarray, (3, n_bins), float32

    Raises
    ------
    PatternError
        If shapes differ, fewer than eight points are usable, or the range misses the
        grid.
    """
    grid = grid or InputGrid()
    x, y = _usable_points(q, intensity, sigma)
    covered = coverage_of(x, grid)
    if covered.sum() < _FEWEST:
        raise PatternError(
            f"q spans {x[0]:.3g} to {x[-1]:.3g} 1/Angstrom, outside the network's "
            f"{grid.q_min} to {grid.q_max}: check that q is in 1/Angstrom"
        )
    values = np.empty(grid.n_bins, np.float32)
    scale = max(float(np.abs(y).max()), 1e-300)  # keeps float32 in range
    resample(x, y / scale, math.log(grid.q_min), grid.spacing, values)
    return channels(values[None], covered[None], grid)[0]


def network_inputs(
    q: Any,
    intensity: NDArray[np.floating],
    sigma: Any = None,
    *,
    grid: InputGrid,
) -> Float:
    """Network inputs (B, 3, n_bins) of patterns (B, n); ``q`` may be (n,).

    Raises
    ------
    PatternError
        As `network_input`, or where the shapes do not fit each other.
    """
    try:
        qs = np.broadcast_to(np.asarray(q), intensity.shape)
        sigmas = None if sigma is None else np.broadcast_to(sigma, intensity.shape)
    except ValueError as error:
        raise PatternError(
            f"q {np.shape(q)} or sigma {np.shape(sigma)} do not fit intensity "
            f"{intensity.shape}: pass (n,) or (B, n)"
        ) from error
    inputs = []
    for i in range(len(intensity)):
        one = None if sigmas is None else sigmas[i]
        try:
            inputs.append(network_input(qs[i], intensity[i], one, grid=grid))
        except PatternError as error:
            raise PatternError(f"pattern {i} of the batch: {error}") from error
    return np.stack(inputs)
