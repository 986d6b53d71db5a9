"""Powder classes: what of the 230 space groups a powder pattern can tell apart.

The 97 classes are shipped as a small table, so that importing this costs milliseconds;
`derive_powder_classes` computes them from symmetry operations, and a test compares.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = [
    "BRAVAIS_INDEX",
    "BRAVAIS_LATTICES",
    "CLASS_INDEX",
    "CRYSTAL_SYSTEMS",
    "ENANTIOMORPHIC_PAIRS",
    "POWDER_CLASSES",
    "SYSTEM_INDEX",
    "PowderClass",
    "derive_powder_classes",
    "powder_class",
]

CRYSTAL_SYSTEMS = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "hexagonal",
    "cubic",
)
"""In the order of rising symmetry that `SYSTEM_INDEX` counts in."""

BRAVAIS_LATTICES = (
    *("aP", "mP", "mC", "oP", "oC", "oF", "oI"),
    *("tP", "tI", "hP", "hR", "cP", "cF", "cI"),
)
"""Pearson's letters; trigonal and hexagonal groups share hP."""

ENANTIOMORPHIC_PAIRS = (
    (76, 78),
    (91, 95),
    (92, 96),
    (144, 145),
    (151, 153),
    (152, 154),
    (169, 170),
    (171, 172),
    (178, 179),
    (180, 181),
    (212, 213),
)
"""Space groups that are mirror images: no powder pattern separates them."""

_LAST_OF_SYSTEM = (2, 15, 74, 142, 167, 194, 230)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowderClass:
    """Space groups that absent lines cannot tell apart.

    Attributes
    ----------
    number : int
        Smallest space-group number of the class: its name in numbers.
    symbol : str
        Extinction symbol (Int. Tables A, 2006, Table 3.1.4.1) in plain ASCII, in the
        setting of a member's standard symbol. Unique only beside ``bravais``: P--- is
        the name of four classes.
    bravais : str
        One of `BRAVAIS_LATTICES`.
    space_groups : tuple of int
        Members, rising.
    crystal_systems : tuple of str
        Of the members; two where trigonal and hexagonal ones share a class.
    conditions : tuple of str
        Reflection conditions such as ``0kl: k+l=2n``.
    """

    number: int
    symbol: str
    bravais: str
    space_groups: tuple[int, ...]
    crystal_systems: tuple[str, ...]
    conditions: tuple[str, ...]


def _load() -> tuple[PowderClass, ...]:
    path = resources.files("ringwatch.models") / "tables" / "powder_classes.json"
    return tuple(
        PowderClass(
            number=row["number"],
            symbol=row["symbol"],
            bravais=row["bravais"],
            space_groups=tuple(row["space_groups"]),
            crystal_systems=tuple(row["crystal_systems"]),
            conditions=tuple(row["conditions"]),
        )
        for row in json.loads(path.read_text(encoding="ascii"))
    )


def _index(values: Iterable[int]) -> NDArray[np.int64]:
    """Values of space groups 1 to 230, behind -1 for the missing group 0; read-only."""
    array = np.array([-1, *values], np.int64)
    array.flags.writeable = False
    return array


POWDER_CLASSES: tuple[PowderClass, ...] = _load()
"""The 97 classes, by rising number."""

_CLASS_OF = {
    group: index
    for index, entry in enumerate(POWDER_CLASSES)
    for group in entry.space_groups
}
_GROUPS = range(1, 231)

CLASS_INDEX = _index(_CLASS_OF[group] for group in _GROUPS)
"""(231,) int64: space group -> index into `POWDER_CLASSES`; -1 at 0."""

SYSTEM_INDEX = _index(int(np.searchsorted(_LAST_OF_SYSTEM, group)) for group in _GROUPS)
"""(231,) int64: space group -> index into `CRYSTAL_SYSTEMS`; -1 at 0."""

BRAVAIS_INDEX = _index(
    BRAVAIS_LATTICES.index(POWDER_CLASSES[_CLASS_OF[group]].bravais)
    for group in _GROUPS
)
"""(231,) int64: space group -> index into `BRAVAIS_LATTICES`; -1 at 0."""


def powder_class(space_group: int) -> int:
    """Smallest space-group number of a space group's powder class.

    Parameters
    ----------
    space_group : int
        Number in International Tables, 1 to 230.

    Returns
    -------
    int
        `PowderClass.number`.

    Raises
    ------
    ValueError
        If there is no such space group.
    """
    if space_group not in _CLASS_OF:
        msg = f"space group {space_group!r}: expected a whole number from 1 to 230"
        raise ValueError(msg)
    return POWDER_CLASSES[_CLASS_OF[space_group]].number


def derive_powder_classes() -> tuple[tuple[int, ...], ...]:
    """Compute the classes from the operations of the space groups (a second).

    Returns
    -------
    tuple of tuple of int
        Members of each class, by rising smallest member.
    """
    # Not at the top: whoever only looks a class up need not load gemmi.
    from ringwatch.models.extinction import derive_partition  # noqa: PLC0415

    return derive_partition("powder")
