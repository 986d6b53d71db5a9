"""How preferred orientation and few grains change the intensities of powder lines."""

from __future__ import annotations

import math

import gemmi
import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ringwatch.models.diffraction.unit_cell import direct_metric

__all__ = ["directions_of_forms", "line_factors", "march_dollase", "orbit_factors"]

Floats = NDArray[np.float64]

_LAUE_ENDS = np.array([2, 15, 74, 88, 142, 148, 167, 176, 194, 206, 230])
"""Last space group of each Laue class (Int. Tables A, 2016)."""
_LAUE_DIRECTIONS = np.array([1, 2, 4, 4, 8, 3, 6, 6, 12, 12, 24])
"""Directions of a general form, Friedel opposites counted once."""


def directions_of_forms(space_group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Directions of a general form {hkl}, Friedel opposites counted once.

    Parameters
    ----------
    space_group : (n,) int
        1 to 230.

    Returns
    -------
    (n,) int64
        1 (triclinic) to 24 (m-3m).
    """
    return _LAUE_DIRECTIONS[np.searchsorted(_LAUE_ENDS, space_group)]


@njit(cache=True, nogil=True)
def march_dollase(r: float, cosine: float) -> float:
    """Density of plane normals relative to a random powder.

    ``(r^2 cos^2 a + sin^2 a / r)^(-3/2)`` (W. A. Dollase, J. Appl. Cryst. 19 (1986)
    267, eq. 1); its mean over the sphere is 1.

    Parameters
    ----------
    r : float
        Above 0: below 1 for plates, above 1 for needles, 1 for none. Pressed powders
        have 0.6 to 1.3.
    cosine : float
        Of the angle between the normal and the axis of texture.
    """
    square = cosine * cosine
    x = r * r * square + (1.0 - square) / r
    return 1.0 / (x * math.sqrt(x))


def orbit_factors(
    hkl: ArrayLike,
    *,
    cell: tuple[float, float, float, float, float, float],
    space_group: int,
    axis: tuple[int, int, int],
    r: float,
) -> Floats:
    """March-Dollase factor of lines with known indices: the mean over each orbit.

    Parameters
    ----------
    hkl : (n, 3) int
        One member of each line.
    cell : six floats
        a, b, c in Angstrom, alpha, beta, gamma in degrees.
    space_group : int
        1 to 230; its Laue class makes the orbits.
    axis : three int
        Indices of the plane that lies flat (r < 1) or stands upright (r > 1).
    r : float
        Above 0.

    Returns
    -------
    (n,) float64

    Raises
    ------
    ValueError
        If r is not positive or the axis is 0 0 0.
    """
    if not r > 0.0 or not any(axis):
        msg = f"r = {r}, axis {axis}: expected r > 0 and an axis that is not 0 0 0"
        raise ValueError(msg)
    group = gemmi.find_spacegroup_by_number(space_group).operations().sym_ops
    rotations = np.array([op.rot for op in group]) / gemmi.Op.DEN  # (k, 3, 3)
    members = np.asarray(hkl) @ rotations  # (k, n, 3): rows hR
    inverse = np.linalg.inv(direct_metric(cell))
    direction = inverse @ np.asarray(axis)
    lengths = np.sqrt(np.einsum("kni,ij,knj->kn", members, inverse, members))
    cosine2 = ((members @ direction) / lengths) ** 2 / (np.asarray(axis) @ direction)
    density = (r * r * cosine2 + (1.0 - cosine2) / r) ** -1.5
    return np.asarray(density.mean(axis=0))


@njit(cache=True, nogil=True)
def line_factors(
    rng: np.random.Generator,
    start: NDArray[np.int64],
    directions: NDArray[np.int64],
    r: Floats,
    grains: Floats,
) -> Floats:
    """Draw the factor that texture and grain statistics put on each line.

    A line's intensity is the mean of the March-Dollase density over the directions of
    its form. For want of indices (`orbit_factors` takes them) the angles are drawn,
    cosines uniform: half of the crystals have a special axis of texture, which several
    directions of a form are equally far from, and half of the lines belong to a special
    form. The number of grains in reflection is Poisson's; its relative deviation
    1/sqrt(grains) (L. E. Alexander, H. P. Klug, E. Kummer, J. Appl. Phys. 19 (1948)
    742) is drawn as a log-normal of mean 1.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    start : (B + 1,) int
        Lines of pattern b are ``start[b]:start[b + 1]``.
    directions : (B,) int
        Of a general form.
    r : (B,) float
        March-Dollase parameter; 1: no texture.
    grains : (B,) float
        Mean number of grains that reflect into one direction; inf: a perfect powder.

    Returns
    -------
    (start[-1],) float64
        Mean 1 over many lines.
    """
    factor = np.ones(start[-1])
    for b in range(len(start) - 1):
        special = 1 if rng.random() < 0.5 else 2
        for line in range(start[b], start[b + 1]):
            n = directions[b]
            if n > 1 and rng.random() < 0.5:
                n //= 2
            if r[b] != 1.0:
                distinct = max(1, n // (2 * special))
                total = 0.0
                for _ in range(distinct):
                    total += march_dollase(r[b], rng.random())
                factor[line] = total / distinct
            if grains[b] < math.inf:
                variance = math.log1p(1.0 / (grains[b] * n))
                deviate = rng.standard_normal()
                factor[line] *= math.exp(math.sqrt(variance) * deviate - variance / 2)
    return factor
