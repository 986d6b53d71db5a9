"""Lists of Wyckoff positions with their elements that make no higher symmetry.

A list says which Wyckoff positions are occupied and which of them share an element.
Some lists, such as one atom on position a of P m m m, always have more symmetry than
their space group. Those that are shipped do not: spglib found the group of each, with
free coordinates drawn at random (``python -m
ringwatch.models.crystals.site_list_derivation``).
The positions come from PyXtal's Wyckoff statistics (MIT licence) of structures of the
Materials Project (CC BY 4.0), or site by site from the same statistics.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SITE_LISTS = "site_lists.npz"
"""File name of the shipped lists."""
MAX_ELEMENTS = 6
"""Most different elements in a list."""


class SiteLists(NamedTuple):
    """Lists by space group, those of known structures first.

    Attributes
    ----------
    first : (231, 3) int64
        Of space group n the lists of known structures are ``first[n, 0]:first[n, 1]``,
        others ``first[n, 1]:first[n, 2]``.
    known_sets : (231,) int64
        Different sets of positions among the lists of known structures.
    weights : (L,) float64
        Running sum of weights: of each known set the root of the number of structures.
    site_first : (L + 1,) int64
        Sites of list i are ``site_first[i]:site_first[i + 1]``.
    positions : (S,) int64
        Wyckoff positions, ascending: general ones first.
    slots : (S,) int64
        Which element a site has, from 0.
    """

    first: NDArray[np.int64]
    known_sets: NDArray[np.int64]
    weights: NDArray[np.float64]
    site_first: NDArray[np.int64]
    positions: NDArray[np.int64]
    slots: NDArray[np.int64]


@cache
def site_lists() -> SiteLists:
    """Shipped lists, read once.

    Returns
    -------
    SiteLists
        Read-only by agreement: every generator of the process shares the arrays.
    """
    path = resources.files("ringwatch.models") / "tables" / SITE_LISTS
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        size = stored["size"].astype(np.int64)
        return SiteLists(
            first=stored["first"].astype(np.int64),
            known_sets=stored["known_sets"].astype(np.int64),
            weights=np.cumsum(stored["weight"].astype(np.float64)),
            site_first=np.concatenate([[0], np.cumsum(size)]),
            positions=stored["positions"].astype(np.int64),
            slots=stored["slots"].astype(np.int64),
        )
