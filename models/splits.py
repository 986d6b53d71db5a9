"""Which development data may be used for what: by structure type, formula and group.

A structure type belongs to one part as a whole, so that a score on another part is one
on structure types of which training used no coordinates, cells or elements. How often
Wyckoff positions occur together is another matter: random crystals take that from all
of the Materials Project. Near-duplicates among measured patterns share a ``group``,
which belongs to one part as a whole too; what mineral it is may be in ``train``.
"""

from __future__ import annotations

import hashlib
from typing import Literal

__all__ = ["PatternPart", "StructurePart", "pattern_part", "structure_part"]

StructurePart = Literal["train", "choose", "seen", "test"]
"""``train``: prototypes may be made of it; ``choose``: settings may be chosen on it;
``seen``: kept for reports, other formulas of types in ``train``; ``test``: kept for
reports, types found nowhere else."""
PatternPart = Literal["choose", "test"]
"""``choose``: settings and calibrations may be fitted on it; ``test``: for reports."""

_SALT = "ringwatch-17"
"""Of the first sixty numbers the one that leaves the commonest type (double
perovskites, 11 % of our structures) to training, and the parts most alike in their
crystal systems; no score was looked at."""


def structure_part(structure_type: str, formula: str) -> StructurePart:
    """Part of a real structure: of the types 70 % train, 10 % choose, 20 % test.

    Parameters
    ----------
    structure_type : str
        Name of the type: space group, composition pattern and Wyckoff sequence.
    formula : str
        Chemical formula; a tenth of those in training types is kept apart as ``seen``.
    """
    place = _place(structure_type)
    if place >= 0.7:
        return "choose" if place < 0.8 else "test"
    return "seen" if _place(f"{structure_type}|{formula}") < 0.1 else "train"


def pattern_part(group: str) -> PatternPart:
    """Part of a measured pattern, by its group of near-duplicates: half and half."""
    return "choose" if _place(f"pattern|{group}") < 0.5 else "test"


def _place(key: str) -> float:
    """A number in 0..1 that depends on the key alone."""
    digest = hashlib.sha256(f"{_SALT}|{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
