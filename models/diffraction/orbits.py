"""From one atom to all that the operations of its space group make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gemmi
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Operations", "expand_site", "space_group_operations"]

Operations = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
"""Rotations (m, 3, 3) and translations (m, 3), centring included."""


def space_group_operations(space_group: int, setting: str = "") -> Operations:
    """Operations of a space group.

    Parameters
    ----------
    space_group : int
        1 to 230.
    setting : str
        Hermann-Mauguin symbol with origin or axes, such as ``I 41/a m d:1``; default:
        the reference setting.

    Raises
    ------
    ValueError
        If the setting does not belong to the space group.
    """
    if setting:
        group = gemmi.find_spacegroup_by_name(setting)
        if group is None or group.number != space_group:
            msg = (
                f"setting {setting!r} is not one of space group {space_group}:"
                " expected a Hermann-Mauguin symbol such as 'I 41/a m d:2'"
            )
            raise ValueError(msg)
    else:
        group = next(
            entry
            for entry in gemmi.spacegroup_table()
            if entry.number == space_group and entry.is_reference_setting()
        )
    operations = list(group.operations())
    unit = float(gemmi.Op.DEN)
    return (
        np.array([op.rot for op in operations]) / unit,
        np.array([op.tran for op in operations]) / unit,
    )


def expand_site(
    site: NDArray[np.float64],
    operations: Operations,
    metric: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Distinct images of a site, which is moved onto its special position first.

    Parameters
    ----------
    site : (3,) float64
        Fractional coordinates.
    operations : Operations
        Of the space group.
    metric : (3, 3) float64
        Of the cell, A^2.
    tolerance : float
        A site within so many Angstrom of its own image is on a special position.

    Returns
    -------
    (m, 3) float64
        Fractional coordinates, 0 to 1.

    Raises
    ------
    ValueError
        If the site is so near a special position that its orbit is ambiguous.
    """
    rotations, translations = operations

    def offsets(
        images: NDArray[np.float64], to: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        difference = images - to
        return difference - np.rint(difference)

    def lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.einsum("ni,ij,nj->n", vectors, metric, vectors)
        return np.sqrt(squares)

    shifts = offsets(rotations @ site + translations, site)
    near = lengths(shifts) < tolerance
    # The mean over the operations that keep a point is invariant under them.
    centre = site + shifts[near].mean(axis=0)
    images = (rotations @ centre + translations) % 1.0
    orbit: list[NDArray[np.float64]] = []
    for image in images:
        if not orbit or lengths(offsets(np.array(orbit), image)).min() > tolerance / 2:
            orbit.append(image)
    if len(orbit) * int(near.sum()) != len(rotations):
        msg = (
            f"site {tuple(site.tolist())}: {len(orbit)} distinct images, but"
            f" {int(near.sum())} of {len(rotations)} operations keep it: it lies at the"
            f" edge of the tolerance, {tolerance} A; give the special position exactly"
        )
        raise ValueError(msg)
    return np.array(orbit)
