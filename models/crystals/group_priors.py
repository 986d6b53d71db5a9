"""How often each space group is drawn: as in nature, or evenly over the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ringwatch.models.crystals.wyckoff import wyckoff_tables
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["chosen_groups", "natural_prior", "training_prior"]


def natural_prior() -> NDArray[np.float64]:
    """Space-group frequencies of the structures in the Materials Project.

    Returns
    -------
    (231,) float64
        Sums to 1; entry 0 is 0. Half a structure is added to each group, so that none
        is ruled out.
    """
    count = wyckoff_tables().structures.astype(np.float64) + 0.5
    count[0] = 0.0
    prior: NDArray[np.float64] = count / count.sum()
    return prior


def training_prior(class_balance: float) -> NDArray[np.float64]:
    """Space-group frequencies between natural and even over the powder classes.

    Parameters
    ----------
    class_balance : float
        Weight of the part that is even over the 97 classes, 0 to 1. Within a class,
        groups go by the root of their number of structures.

    Returns
    -------
    (231,) float64
        Sums to 1; entry 0 is 0.

    Raises
    ------
    ValueError
        If the weight is not within 0 and 1.
    """
    if not 0.0 <= class_balance <= 1.0:
        msg = f"class_balance is {class_balance}: expected a weight from 0 to 1"
        raise ValueError(msg)
    root = np.sqrt(wyckoff_tables().structures[1:] + 3.0)
    index = CLASS_INDEX[1:]
    within = root / np.bincount(index, root)[index]
    even = np.concatenate([[0.0], within / len(POWDER_CLASSES)])
    return class_balance * even + (1.0 - class_balance) * natural_prior()


def chosen_groups(
    prior: NDArray[np.float64], space_groups: Sequence[int] | None
) -> NDArray[np.float64]:
    """Leave out of a prior the groups that were not chosen.

    Parameters
    ----------
    prior : (231,) float64
        Frequencies.
    space_groups : sequence of int, optional
        Those that were chosen; default: all.

    Returns
    -------
    (231,) float64
        Frequencies, which sum to less than before.

    Raises
    ------
    ValueError
        If there is no such group, or none was chosen.
    """
    if space_groups is None:
        return prior
    chosen = np.zeros(231, np.bool_)
    for number in space_groups:
        if not 1 <= number <= 230:
            msg = f"space group {number}: expected a number from 1 to 230"
            raise ValueError(msg)
        chosen[number] = True
    if not chosen.any():
        msg = "space_groups is empty: name at least one, or leave it out"
        raise ValueError(msg)
    return np.where(chosen, prior, 0.0)
