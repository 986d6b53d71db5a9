"""Where the rings' centre is when it is far from where the geometry says.

A straight line through a set of concentric rings is mirror-symmetric about the foot of
the perpendicular from their centre, whatever the rings' radii. Two sectors that face
each other make such a line through the assumed centre; its self-convolution peaks at
the foot, ``t = dx cos(chi) + dy sin(chi)``. The 16 lines of a cake vote for (dx, dy).
It needs neither a reference nor rings in the (smeared) mean profile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.quality.geometry.rings import Profiles

__all__ = ["Coincidence", "Symmetry", "measure_coincidence", "search_center"]

_LINES = SECTORS // 2
_CLIP = 4.0  # robust standard deviations: a spot must not outvote rings
_HIGH_PASS = 21  # bins
_LEAST_OVERLAP = 120  # bins that face each other
_SELF = 7  # bins either side of the foot, where a peak would mirror itself
_REACH = 64.0  # px
_GRID = 2.0  # px


@dataclass(frozen=True, slots=True, kw_only=True)
class Symmetry:
    """Outcome of the search.

    Attributes
    ----------
    dx, dy : float
        Most symmetric centre relative to that of the geometry, pixels.
    score : float
        Mean correlation of the mirrored lines; 1 is perfect.
    z : float
        ``score`` over its standard deviation for lines without any symmetry.
    """

    dx: float
    dy: float
    score: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coincidence:
    """Whether the sharp structure of different sectors lies at the same radii.

    Attributes
    ----------
    correlation : float
        Mean correlation between sectors, -1..1.
    z : float
        The same over its standard deviation for unrelated sectors.
    sectors : int
        Sectors with sharp structure.
    """

    correlation: float
    z: float
    sectors: int


def measure_coincidence(profiles: Profiles) -> Coincidence:
    """Correlate all pairs of sectors that hold structure sharper than 21 bins."""
    texture, _, structured = _texture(profiles)
    texture = texture[:, structured]
    n = int(structured.sum())
    if n < 2:
        return Coincidence(correlation=math.nan, z=math.nan, sectors=n)
    energy = (texture**2).sum(axis=0)
    pairs = float((texture.sum(axis=1) ** 2).sum() - energy.sum())
    size = np.sqrt(energy)
    spectrum = np.abs(rfft(texture, 2 * texture.shape[0], axis=0)) ** 2
    # Bartlett: the variance of a correlation between two unrelated series is the sum
    # of the products of their autocorrelations; by Parseval, of their spectra.
    both = 2 * (spectrum.sum(axis=1) ** 2 - (spectrum**2).sum(axis=1)).sum()
    variance = float(both) / texture.shape[0] ** 2
    return Coincidence(
        correlation=pairs / float(size.sum() ** 2 - energy.sum()),
        z=pairs / math.sqrt(max(variance, 1e-300)),
        sectors=n,
    )


def search_center(profiles: Profiles) -> Symmetry | None:
    """Look for the most symmetric centre within 64 px.

    None where fewer than three lines have pixels on both sides.
    """
    step = float(np.median(profiles.step))
    correlation, overlap = _mirror(*_lines(profiles, step))
    feet = (np.arange(correlation.shape[1]) - correlation.shape[1] // 2) / 2 * step
    near = np.abs(feet) <= _REACH + 4
    correlation, overlap, feet = correlation[:, near], overlap[:, near], feet[near]
    usable = (overlap > _LEAST_OVERLAP).all(axis=1)
    if usable.sum() < 3:
        return None
    chi = (np.flatnonzero(usable) + 0.5) * 2 * math.pi / SECTORS
    correlation, overlap = correlation[usable], overlap[usable]
    dx, dy = _vote(correlation, feet, chi, step)
    dx, dy = _sharpen(correlation, feet, chi, dx, dy)
    score = _score(correlation, feet, chi, dx, dy)
    lines = float(np.median(overlap)) / 2 * int(usable.sum())
    return Symmetry(
        dx=dx,
        dy=dy,
        score=score,
        # the sharp structure is a few bins wide: so many bins are independent
        z=score * math.sqrt(lines / 3),
    )


def _texture(
    profiles: Profiles,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Sharp structure of each sector in robust units; where pixels are; which sectors.

    Square roots, so that the noise is even (Anscombe 1948).
    """
    used = profiles.norm > 0
    height = np.sqrt(np.maximum(profiles.sector, 0.0))
    share = uniform_filter1d(used.astype(np.float64), _HIGH_PASS, axis=0)
    smooth = uniform_filter1d(np.where(used, height, 0.0), _HIGH_PASS, axis=0)
    sharp = np.where(used, height - smooth / np.maximum(share, 1e-9), 0.0)
    noise = 0.5 / np.sqrt(np.where(used, profiles.norm, 1.0))
    noise *= np.sqrt(
        profiles.variance / np.maximum(np.abs(profiles.mean), profiles.variance * 1e-3)
    )[:, None]
    # A sector takes part if a few per cent of its bins stand out of counting noise.
    out = (used & (sharp > 5 * noise)).sum(axis=0)
    structured = (used.sum(axis=0) >= 60) & (out >= 5)
    unit = 1.4826 * _medians(np.abs(sharp), used)
    clipped = np.clip(sharp / np.where(unit > 0, unit, 1.0), -_CLIP, _CLIP)
    middle = np.where(used, clipped, 0.0).sum(axis=0) / np.maximum(used.sum(axis=0), 1)
    return np.where(used, clipped - middle, 0.0), used, structured


def _medians(
    values: NDArray[np.float64], used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Median of the used values of each column; 0 where there are none."""
    ordered = np.sort(np.where(used, values, np.inf), axis=0)
    count = used.sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum(count // 2 - 1, 0)[None], axis=0)[0]
    return np.where(count > 0, middle, 0.0)


def _lines(
    profiles: Profiles, step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Join facing sectors: (16, 2 n) values and 0/1 where pixels are."""
    texture, used, _ = _texture(profiles)
    inner = max(round(profiles.radius[0] / step - 0.5), 0)
    n = inner + profiles.radius.size
    line, mask = np.zeros((_LINES, 2 * n)), np.zeros((_LINES, 2 * n))
    for joined, values in ((line, texture), (mask, used.astype(np.float64))):
        joined[:, n + inner :] = values[:, _LINES:].T
        joined[:, : n - inner] = values[::-1, :_LINES].T
    return line, mask


def _mirror(
    line: NDArray[np.float64], mask: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of each line with its mirror image about every foot.

    Entry k belongs to the foot at (k - (2 n - 1)) / 2 bins from the middle.
    """
    n = line.shape[1]
    size = next_fast_len(2 * n, real=True)
    values, where = rfft(line, size), rfft(mask, size)
    squares = rfft(line * line, size)
    match = irfft(values * values, size)[:, : 2 * n - 1]
    energy = irfft(squares * where, size)[:, : 2 * n - 1]
    overlap = irfft(where * where, size)[:, : 2 * n - 1]
    for apart in range(_SELF):
        left, right = slice(0, n - apart), slice(apart, n)
        twice = 1.0 if apart == 0 else 2.0
        at = slice(apart, 2 * n - 1 - apart, 2)
        match[:, at] -= twice * line[:, left] * line[:, right]
        both = line[:, left] ** 2 * mask[:, right] + line[:, right] ** 2 * mask[:, left]
        energy[:, at] -= twice / 2 * both
        overlap[:, at] -= twice * mask[:, left] * mask[:, right]
    enough = (overlap > _LEAST_OVERLAP) & (energy > 1.0)
    return np.where(enough, match / np.where(enough, energy, 1.0), 0.0), overlap


def _vote(
    correlation: NDArray[np.float64],
    feet: NDArray[np.float64],
    chi: NDArray[np.float64],
    step: float,
) -> tuple[float, float]:
    width = max(round(1.5 * _GRID / (step / 2)) | 1, 3)
    wide = maximum_filter1d(correlation, width, axis=1)
    side = np.arange(-_REACH, _REACH + _GRID, _GRID)
    x, y = np.meshgrid(side, side)
    votes = np.zeros_like(x)
    for row, angle in zip(wide, chi, strict=True):
        votes += _at(row, feet, x * math.cos(angle) + y * math.sin(angle))
    best = np.unravel_index(int(np.argmax(votes)), votes.shape)
    return float(x[best]), float(y[best])


def _sharpen(
    correlation: NDArray[np.float64],
    feet: NDArray[np.float64],
    chi: NDArray[np.float64],
    dx: float,
    dy: float,
) -> tuple[float, float]:
    """Least squares through each line's own best foot near (dx, dy)."""
    directions = np.stack([np.cos(chi), np.sin(chi)], axis=1)  # (L, 2)
    reach = 3.0
    for _ in range(3):
        foot = directions @ np.array([dx, dy])
        near = np.abs(feet[None] - foot[:, None]) <= reach
        best = np.argmax(np.where(near, correlation, -np.inf), axis=1)
        weight = np.maximum(correlation[np.arange(best.size), best], 1e-3) ** 2
        normal = np.einsum("li,lj,l->ij", directions, directions, weight)
        right = np.einsum("li,l->i", directions, weight * feet[best])
        dx, dy = (float(v) for v in np.linalg.solve(normal, right))
        reach = 2.0
    return dx, dy


def _score(
    correlation: NDArray[np.float64],
    feet: NDArray[np.float64],
    chi: NDArray[np.float64],
    dx: float,
    dy: float,
) -> float:
    """Mean over the lines of the correlation within 1.5 bins of the expected foot."""
    smooth = maximum_filter1d(correlation, 5, axis=1)
    found = [
        _at(row, feet, np.array(dx * math.cos(angle) + dy * math.sin(angle)))
        for row, angle in zip(smooth, chi, strict=True)
    ]
    return float(np.mean(found))


def _at(
    row: NDArray[np.float64], feet: NDArray[np.float64], where: NDArray[np.float64]
) -> NDArray[np.float64]:
    index = np.rint((where - feet[0]) / (feet[1] - feet[0])).astype(np.int64)
    return np.asarray(row[np.clip(index, 0, row.size - 1)])
