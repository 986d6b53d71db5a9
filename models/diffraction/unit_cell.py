"""A crystal as a list of atoms in a cell, and the metric of that cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from ringwatch.models.diffraction.form_factors import MAX_Z
from ringwatch.models.diffraction.orbits import expand_site, space_group_operations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Cell = tuple[float, float, float, float, float, float]
"""a, b, c in Angstrom, alpha, beta, gamma in degrees."""


def direct_metric(cell: Sequence[float]) -> NDArray[np.float64]:
    """Metric tensor of a cell.

    Parameters
    ----------
    cell : 6 floats
        a, b, c in Angstrom, alpha, beta, gamma in degrees.

    Returns
    -------
    (3, 3) float64
        Scalar products of the axes in A^2.

    Raises
    ------
    ValueError
        If there are not six numbers, or no such cell.
    """
    numbers = np.asarray(cell, np.float64)
    if numbers.shape != (6,) or not (np.isfinite(numbers) & (numbers > 0)).all():
        msg = f"cell {tuple(cell)}: expected a, b, c and three angles, all above zero"
        raise ValueError(msg)
    edges, angles = numbers[:3], numbers[3:]
    # cos(90 degrees) is 6e-17 in floating point: say zero, so that lines that coincide
    # by symmetry coincide in numbers.
    cosines = np.where(angles == 90.0, 0.0, np.cos(np.radians(angles)))
    metric = np.outer(edges, edges)
    for axis, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        metric[i, j] = metric[j, i] = edges[i] * edges[j] * cosines[axis]
    if np.linalg.eigvalsh(metric)[0] <= 0.0:
        msg = f"cell {tuple(cell)}: three axes with these angles do not exist"
        raise ValueError(msg)
    return metric


def cell_volume(cell: Sequence[float]) -> float:
    """Volume of a cell, the root of its metric's determinant.

    Parameters
    ----------
    cell : 6 floats
        a, b, c in Angstrom, alpha, beta, gamma in degrees.

    Returns
    -------
    float
        A^3.

    Raises
    ------
    ValueError
        If there is no such cell.
    """
    return float(np.sqrt(np.linalg.det(direct_metric(cell))))


def atomic_number(symbol: str) -> int:
    """Atomic number of an element that has form factors.

    Parameters
    ----------
    symbol : str
        Such as ``Ce``.

    Returns
    -------
    int
        1 to 98.

    Raises
    ------
    ValueError
        If the element is unknown or heavier than californium.
    """
    z = int(gemmi.Element(symbol).atomic_number)
    if not 1 <= z <= MAX_Z:
        msg = f"element {symbol!r}: expected a chemical symbol from H to Cf"
        raise ValueError(msg)
    return z


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystal:
    """All atoms of one conventional cell.

    Attributes
    ----------
    space_group : int
        Number in International Tables, 1 to 230.
    a, b, c : float
        Cell edges in Angstrom.
    alpha, beta, gamma : float
        Cell angles in degrees.
    elements : tuple of str, n
        Chemical symbols.
    positions : (n, 3) float64
        Fractional coordinates.
    occupancies : (n,) float64
        0 to 1.
    b_iso : (n,) float64
        Displacement parameters B = 8 pi^2 <u^2> in A^2.
    name, source : str
        What it is and who published it.

    Raises
    ------
    ValueError
        If a length disagrees, an element is unknown, or the cell is impossible.
    """

    space_group: int
    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    elements: tuple[str, ...]
    positions: NDArray[np.float64]
    occupancies: NDArray[np.float64]
    b_iso: NDArray[np.float64]
    name: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        n = len(self.elements)
        shapes = (self.positions.shape, self.occupancies.shape, self.b_iso.shape)
        if shapes != ((n, 3), (n,), (n,)):
            msg = (
                f"{self.name or 'crystal'}: {n} elements, but positions, occupancies"
                f" and b_iso have shapes {shapes}: expected ({n}, 3), ({n},), ({n},)"
            )
            raise ValueError(msg)
        if not 1 <= self.space_group <= 230:
            msg = f"space group {self.space_group}: expected a number from 1 to 230"
            raise ValueError(msg)
        for symbol in set(self.elements):
            atomic_number(symbol)
        cell_volume(self.cell)

    @property
    def cell(self) -> Cell:
        """a, b, c in Angstrom, alpha, beta, gamma in degrees."""
        return (self.a, self.b, self.c, self.alpha, self.beta, self.gamma)

    @property
    def volume(self) -> float:
        """Volume of the conventional cell in A^3."""
        return cell_volume(self.cell)

    @classmethod
    def from_sites(
        cls,
        *,
        space_group: int,
        cell: Sequence[float],
        elements: Sequence[str],
        positions: ArrayLike,
        occupancies: ArrayLike = 1.0,
        b_iso: ArrayLike = 0.0,
        setting: str = "",
        tolerance: float = 0.05,
        name: str = "",
        source: str = "",
    ) -> Crystal:
        """Expand an asymmetric unit by the operations of its space group.

        A site within ``tolerance`` of its own image is moved onto the special position,
        so that 0.3333 means a third.

        Parameters
        ----------
        space_group : int
            1 to 230.
        cell : 6 floats
            a, b, c in Angstrom, alpha, beta, gamma in degrees.
        elements : sequence of str
            Chemical symbols of the sites.
        positions : (n, 3) float
            Fractional coordinates of the sites.
        occupancies, b_iso : float or (n,) float
            Occupancies, and B in A^2.
        setting : str
            Hermann-Mauguin symbol with origin or axes, such as ``I 41/a m d:1``;
            default axis b, hexagonal axes, origin choice 2.
        tolerance : float
            In Angstrom.
        name, source : str
            What it is and who published it.

        Returns
        -------
        Crystal
            With all atoms of the cell, orbit by orbit.

        Raises
        ------
        ValueError
            If the setting does not belong to the space group, or a site is so near a
            special position that its orbit is ambiguous.
        """
        sites = np.atleast_2d(np.asarray(positions, np.float64))
        n = len(elements)
        metric = direct_metric(cell)
        operations = space_group_operations(space_group, setting)
        orbits = [expand_site(site, operations, metric, tolerance) for site in sites]
        copies = [len(orbit) for orbit in orbits]
        a, b, c, alpha, beta, gamma = (float(value) for value in cell)
        return cls(
            space_group=space_group,
            a=a,
            b=b,
            c=c,
            alpha=alpha,
            beta=beta,
            gamma=gamma,
            elements=tuple(np.repeat(np.asarray(elements, object), copies)),
            positions=np.concatenate(orbits),
            occupancies=np.repeat(np.broadcast_to(np.asarray(occupancies), n), copies),
            b_iso=np.repeat(np.broadcast_to(np.asarray(b_iso), n), copies),
            name=name,
            source=source,
        )
