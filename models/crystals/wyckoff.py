"""Wyckoff positions of the 230 space groups, folded for fast structure factors.

PyXtal's settings are used throughout: unique axis b, hexagonal axes for R lattices,
origin choice 2. An orbit is stored without the copies that centring makes, and with one
of each pair that an inversion at the origin makes, so that cosines alone are summed.

The shipped table ``tables/wyckoff.npz`` is written by ``python -m
ringwatch.models.crystals.wyckoff_derivation`` from PyXtal (MIT licence), whose Wyckoff
statistics count structures of the Materials Project (CC BY 4.0); nothing live imports
PyXtal.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_POSITIONS = 27
"""Most Wyckoff positions a space group has (P m m m)."""
MAX_SITES = 24
"""Most sites of a crystal that the statistics keep."""
MAX_ATOMS = 200
"""Most atoms in the conventional cell that the statistics keep."""

LAUE_CLASSES = (
    "-1",
    "2/m",
    "mmm",
    "4/m",
    "4/mmm",
    "-3",
    "-31m",
    "-3m1",
    "6/m",
    "6/mmm",
    "m-3",
    "m-3m",
)
"""Laue classes in the order of their codes; -31m and -3m1 differ by setting."""

TABLE = "wyckoff.npz"
"""File name of the shipped tables."""


class WyckoffTables(NamedTuple):
    """Space groups as arrays; row 0 is empty, so a space-group number is an index.

    Attributes
    ----------
    n_centring : (231,) int64
        Number of centring vectors, the zero vector included.
    centring : (231, 4, 3) int64
        Centring vectors in sixths of a cell edge.
    laue : (231,) int64
        Index into `LAUE_CLASSES`.
    inversion : (231,) bool
        Whether an inversion centre lies at the origin.
    n_positions : (231,) int64
        Number of Wyckoff positions; position 0 is the general one.
    multiplicity : (231, 27) int64
        Atoms per conventional cell.
    freedom : (231, 27) int64
        Free coordinates, 0 to 3.
    first, n_operations : (231, 27) int64
        First of the folded operations of a position, and how many it has.
    rotation : (N, 3, 3) float64
        Matrix part: coordinates of an orbit member are ``rotation @ x + translation``.
    translation : (N, 3) float64
        Translation part in cell edges.
    weight : (N,) float64
        2 where the operation stands for an inversion pair, else 1.
    line_multiplicity : (12, 128) float64
        Symmetry-equivalent hkl by Laue class and `equality_bits`.
    sets : (S, 24) int64
        Sets of Wyckoff positions seen together in known structures, padded with -1.
    set_count : (S,) int64
        Structures that have the set.
    set_first : (232,) int64
        Sets of space group n are ``set_first[n]:set_first[n + 1]``.
    structures : (231,) int64
        Structures of each space group among the known ones.
    """

    n_centring: NDArray[np.int64]
    centring: NDArray[np.int64]
    laue: NDArray[np.int64]
    inversion: NDArray[np.bool_]
    n_positions: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    freedom: NDArray[np.int64]
    first: NDArray[np.int64]
    n_operations: NDArray[np.int64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    weight: NDArray[np.float64]
    line_multiplicity: NDArray[np.float64]
    sets: NDArray[np.int64]
    set_count: NDArray[np.int64]
    set_first: NDArray[np.int64]
    structures: NDArray[np.int64]


@cache
def wyckoff_tables() -> WyckoffTables:
    """Shipped tables, read once.

    Returns
    -------
    WyckoffTables
        Read-only by agreement: every generator of the process shares the arrays.
    """
    path = resources.files("ringwatch.models") / "tables" / TABLE
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in WyckoffTables._fields}
    # Small integers on disk: all rotations are twelfths and translations 24ths.
    arrays["rotation"] = arrays["rotation"] / 12.0
    arrays["translation"] = arrays["translation"] / 24.0
    for name in ("weight", "line_multiplicity"):
        arrays[name] = arrays[name].astype(np.float64)
    for name, array in arrays.items():
        if array.dtype.kind in "iu":
            arrays[name] = array.astype(np.int64)
    return WyckoffTables(**arrays)
