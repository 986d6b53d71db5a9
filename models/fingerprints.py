"""Patterns as short vectors whose angle says how alike they are.

A fingerprint is the root of the intensity above background and noise on the network's
logarithmic q grid, averaged over four bins, blurred a little, of length one. Measured
and simulated patterns go through the same `network_input`, so that they compare.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import grey_opening

from ringwatch.models.diffraction import (
    Grid,
    Reflections,
    line_areas,
    render,
)
from ringwatch.models.inputs import InputGrid, channels, network_input

__all__ = ["GRID", "LENGTH", "of_input", "of_lines", "of_pattern"]

Float = NDArray[np.float32]

GRID = InputGrid()
"""Of all fingerprints, whatever the network's: 0.3 to 6 1/Angstrom."""
_MERGED = 4
LENGTH = GRID.n_bins // _MERGED
"""Numbers in a fingerprint; one step is 0.6 % in q."""
_BLUR = np.array([1, 4, 6, 4, 1]) / 16
"""Lattice parameters that differ by half a percent still overlap."""
_FLOOR = 1.5
"""Times the median intensity is what noise and unresolved lines leave everywhere. With
it taken off, the nearest of 4,774 structures is of the right type for 61 % of 200 clean
patterns (62 % without), and for 44 % with 100 counts at the highest line over a
background half as high (18 % without)."""
_WIDEST = 25
"""Steps: whatever is wider, 15 % in q, is no line but a halo or air scatter."""
_WAVELENGTH = 1.5418
_FWHM = 0.012


def of_input(x: Float) -> tuple[Float, Float]:
    """Fingerprints and coverage of network inputs.

    Parameters
    ----------
    x : ndarray, (B, 3, n_bins)
        On `GRID`.

    Returns
    -------
    fingerprint : ndarray, (B, 512), float32
        Of length one each, or zero where there is no line.
    covered : ndarray, (B, 512), float32
        Share of the bins that were measured.
    """
    shape = (len(x), LENGTH, _MERGED)
    covered = x[:, 2].reshape(shape).mean(axis=2)
    root = np.stack([_above_floor(one[0], one[2]) for one in x])
    root = root.reshape(shape).mean(axis=2)
    root -= grey_opening(root, size=(1, _WIDEST), mode="nearest")
    half = len(_BLUR) // 2
    padded = np.pad(root, ((0, 0), (half, half)))
    blurred = np.zeros((len(x), LENGTH))
    for k, share in enumerate(_BLUR):
        blurred += share * padded[:, k : k + LENGTH]
    length = np.linalg.norm(blurred, axis=1, keepdims=True)
    found = blurred / np.maximum(length, 1e-12)
    return found.astype(np.float32), covered.astype(np.float32)


def _above_floor(root: Float, covered: Float) -> Float:
    """Root (n,) of the intensity above what is everywhere."""
    inside = covered > 0
    floor = float(np.median(root[inside])) ** 2 if inside.any() else 0.0
    return np.sqrt(np.maximum(root * root - _FLOOR * floor, 0.0))


def of_pattern(
    q: ArrayLike, intensity: ArrayLike, sigma: ArrayLike | None = None
) -> tuple[Float, Float]:
    """Fingerprint and coverage, (512,) each, of a measured pattern.

    Parameters
    ----------
    q, intensity, sigma : ndarray, (m,)
        As `ringwatch.models.inputs.network_input` takes them.

    Raises
    ------
    PatternError
        If the pattern has too few points or misses the grid.
    """
    found, covered = of_input(network_input(q, intensity, sigma, grid=GRID)[None])
    return found[0], covered[0]


def of_lines(lines: Reflections) -> Float:
    """Fingerprint (512,) of a crystal's lines, as Cu K-alpha shows them."""
    area = line_areas(lines, _WAVELENGTH)
    drawing = Grid(
        n_bins=GRID.n_bins, q_min=GRID.q_min, q_max=GRID.q_max, logarithmic=True
    )
    drawn = render(
        drawing,
        np.array([0, len(area)]),
        lines.q.astype(np.float32),
        (area / max(float(area.max(initial=0.0)), 1e-300)).astype(np.float32),
        np.full(len(area), _FWHM, np.float32),
        np.array([0.5], np.float32),
    )
    x = channels(drawn, np.ones_like(drawn), GRID)
    return np.asarray(of_input(x)[0][0], np.float32)
