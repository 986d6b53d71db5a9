"""Lines drawn as pseudo-Voigt profiles on an even grid of q or ln(q)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from ringwatch.models.fast_math import FINITE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LN2 = math.log(2.0)
NARROWEST = 1.3
"""Least width in grid points: narrower lines lose area between the points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Even grid of q or of ln(q), both ends included.

    Attributes
    ----------
    n_bins : int
        Number of points, 2 or more.
    q_min, q_max : float
        Ends in 1/Angstrom; q_min is above zero on a logarithmic grid.
    logarithmic : bool
        Even in ln(q), where a scaled cell is a shift.

    Raises
    ------
    ValueError
        If the range is empty.
    """

    n_bins: int
    q_min: float
    q_max: float
    logarithmic: bool

    def __post_init__(self) -> None:
        least = np.finfo(float).tiny if self.logarithmic else 0.0
        if self.n_bins < 2 or not least <= self.q_min < self.q_max < np.inf:
            msg = (
                f"grid of {self.n_bins} points from {self.q_min} to {self.q_max} 1/A:"
                " expected 2 points or more and 0 < q_min < q_max"
            )
            raise ValueError(msg)

    @property
    def origin(self) -> float:
        """First point in the grid's own coordinate, q or ln(q)."""
        return float(np.log(self.q_min)) if self.logarithmic else self.q_min

    @property
    def spacing(self) -> float:
        """Distance of points in the grid's own coordinate."""
        end = float(np.log(self.q_max)) if self.logarithmic else self.q_max
        return (end - self.origin) / (self.n_bins - 1)

    @property
    def q(self) -> NDArray[np.float64]:
        """Points in 1/Angstrom: (n,)."""
        make = np.geomspace if self.logarithmic else np.linspace
        points: NDArray[np.float64] = make(self.q_min, self.q_max, self.n_bins)
        return points

    @property
    def bin_width(self) -> NDArray[np.float64]:
        """Distance between points in 1/Angstrom: (n,)."""
        if self.logarithmic:
            return self.q * self.spacing
        return np.full(self.n_bins, self.spacing)


@nb.njit(cache=True, nogil=True, fastmath=FINITE, inline="always")
def _decay(x: np.float32) -> np.float32:
    """exp(-x) to 1e-5 for x from 0 to 20, of operations that a compiler vectorises.

    A call of expf per point took half of the drawing time. Taylor series of exp(-x/64),
    squared six times.
    """
    y = x * np.float32(-1.0 / 64.0)
    y = np.float32(1) + y * (
        np.float32(1)
        + y
        * (
            np.float32(0.5)
            + y
            * (np.float32(1 / 6) + y * (np.float32(1 / 24) + y * np.float32(1 / 120)))
        )
    )
    y *= y
    y *= y
    y *= y
    y *= y
    y *= y
    return y * y


@nb.njit(cache=True, nogil=True, fastmath=FINITE)
def _stamp_line(
    y: NDArray[np.float32],
    x: float,
    area: float,
    width: float,
    eta: float,
    relative: float,
    origin: float,
    spacing: float,
) -> None:
    """Add one line to ``y``; ``relative`` is its height in units of the cutoff."""
    n = len(y)
    lorentz_reach = 0.5 * math.sqrt(relative * eta) * width
    gauss_reach = (0.6 * math.sqrt(math.log2(relative + 1.0)) + 0.1) * width
    step = np.float32(2.0 * spacing / width)
    height = np.float32(area * eta * 2.0 / math.pi / width)
    low = max(0, int((x - lorentz_reach - origin) / spacing))
    high = min(n, int((x + lorentz_reach - origin) / spacing) + 2)
    # z counts from the first point of the window, where single precision suffices.
    first = np.float32(2.0 * (origin + low * spacing - x) / width)
    for t in range(high - low):
        z = first + step * np.float32(t)
        y[low + t] += height / (np.float32(1) + z * z)
    height = np.float32(area * (1.0 - eta) * math.sqrt(4.0 * _LN2 / math.pi) / width)
    low = max(0, int((x - gauss_reach - origin) / spacing))
    high = min(n, int((x + gauss_reach - origin) / spacing) + 2)
    first = np.float32(2.0 * (origin + low * spacing - x) / width)
    ln2 = np.float32(_LN2)
    for t in range(high - low):
        z = first + step * np.float32(t)
        y[low + t] += height * _decay(ln2 * z * z)


@nb.njit(cache=True, nogil=True)
def _stamp(
    start: NDArray[np.int64],
    q: NDArray[np.float32],
    area: NDArray[np.float32],
    fwhm: NDArray[np.float32],
    eta: NDArray[np.float32],
    origin: float,
    spacing: float,
    logarithmic: bool,
    cutoff: float,
    out: NDArray[np.float32],
) -> None:
    for b in range(len(start) - 1):
        top = 0.0
        for r in range(start[b], start[b + 1]):
            scale = q[r] if logarithmic else 1.0
            top = max(top, area[r] / max(fwhm[r], NARROWEST * spacing * scale))
        if top <= 0.0:
            continue
        for r in range(start[b], start[b + 1]):
            scale = q[r] if logarithmic else 1.0
            width = max(fwhm[r] / scale, NARROWEST * spacing)
            relative = area[r] / scale / width / (cutoff * top)
            if relative < 0.3:
                continue
            # In double precision: numba would take a float32 logarithm.
            x = math.log(np.float64(q[r])) if logarithmic else np.float64(q[r])
            height = area[r] / scale
            _stamp_line(out[b], x, height, width, eta[b], relative, origin, spacing)


def render(
    grid: Grid,
    start: NDArray[np.int64],
    q: NDArray[np.float32],
    area: NDArray[np.float32],
    fwhm: NDArray[np.float32],
    eta: NDArray[np.float32],
    *,
    cutoff: float = 1e-4,
) -> NDArray[np.float32]:
    """Draw B patterns as sums of pseudo-Voigt lines.

    Lines narrower than 1.3 grid points are drawn 1.3 points wide. The Lorentzian tail
    of a line is followed until it falls below ``cutoff`` of the highest single line.

    Parameters
    ----------
    grid : Grid
        Where to draw; n points.
    start : (B + 1,) int
        Lines of pattern b are ``start[b]:start[b + 1]``.
    q : (M,) float
        Centres in 1/Angstrom, above zero; lines beyond the grid may reach into it.
    area : (M,) float
        Areas, 0 or more, in units of intensity times 1/Angstrom.
    fwhm : (M,) float
        Full widths at half maximum in 1/Angstrom.
    eta : (B,) float
        Lorentzian share of each pattern, 0 to 1.
    cutoff : float
        Relative to the highest line, above 0.

    Returns
    -------
    (B, n) float32
        Intensity.

    Raises
    ------
    ValueError
        If lengths disagree or q is not above zero.
    """
    start, q = np.asarray(start, np.int64), np.asarray(q)
    if not len(q) == len(area) == len(fwhm) or len(eta) != len(start) - 1:
        msg = (
            f"{len(q)} centres, {len(area)} areas, {len(fwhm)} widths; {len(start) - 1}"
            f" patterns, {len(eta)} values of eta: expected equal numbers of each"
        )
        raise ValueError(msg)
    if start[0] < 0 or start[-1] > len(q) or (np.diff(start) < 0).any():
        msg = f"start must rise from 0 to at most the number of lines, {len(q)}"
        raise ValueError(msg)
    if len(q) and not q.min() > 0.0:
        msg = f"a line lies at q = {q.min()} 1/A: expected q above zero"
        raise ValueError(msg)
    out = np.zeros((len(start) - 1, grid.n_bins), np.float32)
    _stamp(
        start,
        np.ascontiguousarray(q, np.float32),
        np.ascontiguousarray(area, np.float32),
        np.ascontiguousarray(fwhm, np.float32),
        np.ascontiguousarray(eta, np.float32),
        grid.origin,
        grid.spacing,
        grid.logarithmic,
        cutoff,
        out,
    )
    return out
