"""Where the atoms of a random crystal go: free coordinates that keep them apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from ringwatch.models.crystals.philox import uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringwatch.models.crystals.wyckoff import WyckoffTables

ENOUGH = 0.85
"""Of the sum of covalent radii: no better place is sought; real crystals have 0.90."""


@nb.njit(cache=True, nogil=True)
def metric_tensor(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scalar products of the axes of a cell.

    Parameters
    ----------
    cell : (6,) float64
        a, b, c in A, alpha, beta, gamma in degrees.

    Returns
    -------
    (6,) float64
        a^2, b^2, c^2, 2 ab, 2 ac, 2 bc (dot products) in A^2.
    """
    a, b, c = cell[0], cell[1], cell[2]
    cosine = np.cos(np.radians(cell[3:]))
    return np.array(
        [
            a * a,
            b * b,
            c * c,
            2.0 * a * b * cosine[2],
            2.0 * a * c * cosine[1],
            2.0 * b * c * cosine[0],
        ]
    )


@nb.njit(cache=True, nogil=True, inline="always")
def _squared_distance(
    metric: NDArray[np.float64], dx: float, dy: float, dz: float
) -> float:
    """A^2 between an atom and the image of another in the nearest cell, by fractions.

    In a skewed cell another image may be nearer: good enough to prefer one place.
    """
    dx -= math.floor(dx + 0.5)
    dy -= math.floor(dy + 0.5)
    dz -= math.floor(dz + 0.5)
    square = metric[0] * dx * dx + metric[1] * dy * dy + metric[2] * dz * dz
    return square + metric[3] * dx * dy + metric[4] * dx * dz + metric[5] * dy * dz


@nb.njit(cache=True, nogil=True)
def _fill_orbit(
    tables: WyckoffTables,
    group: int,
    position: int,
    xyz: NDArray[np.float64],
    out: NDArray[np.float64],
) -> int:
    """Write all atoms of an orbit to ``out`` (3, n); the first is the operation's."""
    first = tables.first[group, position]
    at = 0
    for op in range(first, first + tables.n_operations[group, position]):
        paired = tables.inversion[group] and tables.weight[op] == 2.0
        for centre in range(tables.n_centring[group]):
            for axis in range(3):
                x = tables.translation[op, axis]
                for other in range(3):
                    x += tables.rotation[op, axis, other] * xyz[other]
                shift = tables.centring[group, centre, axis] / 6.0
                out[axis, at] = x + shift
                if paired:
                    out[axis, at + 1] = shift - x
            at += 2 if paired else 1
    return at


@nb.njit(cache=True, nogil=True)
def _closest(
    metric: NDArray[np.float64],
    atoms: NDArray[np.float64],
    radii: NDArray[np.float64],
    own: tuple[int, int],
    worst: float,
) -> float:
    """Least (distance / sum of radii)^2 of the first atom of an orbit to all others.

    ``own`` is the slice of the orbit, atoms before it are placed already. Stops at
    ``worst``: the place is no better than one that is known.
    """
    low, high = own
    x, y, z, radius = atoms[0, low], atoms[1, low], atoms[2, low], radii[low]
    least = 1e9
    for j in range(high):
        if j == low:
            continue
        square = _squared_distance(
            metric, x - atoms[0, j], y - atoms[1, j], z - atoms[2, j]
        )
        least = min(least, square / (radius + radii[j]) ** 2)
        if least <= worst:
            break
    return least


@nb.njit(cache=True, nogil=True)
def place_sites(
    state: NDArray[np.uint64],
    group: int,
    tables: WyckoffTables,
    positions: NDArray[np.int64],
    site_radii: NDArray[np.float64],
    cell: NDArray[np.float64],
    draws: int,
) -> NDArray[np.float64]:
    """Draw free coordinates site by site, the best of a few draws each.

    Parameters
    ----------
    state : (11,) uint64
        Stream of `ringwatch.models.crystals.philox.begin`; advanced.
    group : int
        Space group.
    tables : WyckoffTables
        Wyckoff positions.
    positions : (n,) int64
        Wyckoff position of each site, general ones first: they are placed last.
    site_radii : (n,) float64
        Covalent radius of each site's element in A.
    cell : (6,) float64
        a, b, c in A, alpha, beta, gamma in degrees.
    draws : int
        Most draws a site; 1: uniform coordinates, no distance is looked at.

    Returns
    -------
    (n, 3) float64
        Parameters x, y, z of each site.
    """
    n = len(positions)
    coordinates = np.empty((n, 3))
    total = 0
    for site in range(n):
        total += tables.multiplicity[group, positions[site]]
    atoms = np.empty((3, total))
    radii = np.empty(total)
    metric = metric_tensor(cell)
    low = 0
    trial = np.empty(3)
    for site in range(n - 1, -1, -1):
        position = positions[site]
        high = low + tables.multiplicity[group, position]
        radii[low:high] = site_radii[site]
        free = tables.freedom[group, position] > 0
        best = -1.0
        for _ in range(draws if free else 1):
            for axis in range(3):
                trial[axis] = uniform(state)
            if draws == 1:
                coordinates[site] = trial
                break
            _fill_orbit(tables, group, position, trial, atoms[:, low:high])
            contact = _closest(metric, atoms, radii, (low, high), best)
            if contact > best:
                best = contact
                coordinates[site] = trial
            if best >= ENOUGH**2:
                break
        if draws > 1:
            kept = coordinates[site]
            _fill_orbit(tables, group, position, kept, atoms[:, low:high])
        low = high
    return coordinates
