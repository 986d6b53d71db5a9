"""Space groups that spglib finds in crystals."""

from __future__ import annotations

import math
import warnings

import numpy as np
import spglib


def axes(crystal):
    """Cell axes as rows, a along x."""
    ca, cb, cg = (math.cos(math.radians(x)) for x in crystal.cell[3:])
    sg = math.sin(math.radians(crystal.gamma))
    z = (ca - cb * cg) / sg
    directions = [[1, 0, 0], [cg, sg, 0], [cb, z, math.sqrt(1 - cb**2 - z**2)]]
    return np.array(directions) * np.array(crystal.cell[:3])[:, None]


def spglib_number(crystal):
    """Space group that spglib finds; elements that share a place are one species."""
    places = {}
    for row in zip(
        crystal.elements, crystal.positions, crystal.occupancies, strict=True
    ):
        element, xyz, share = row
        place = tuple(np.round(xyz, 6) % 1.0)
        places.setdefault(place, []).append((element, round(float(share), 6)))
    mixtures = [tuple(sorted(mixture)) for mixture in places.values()]
    names = sorted(set(mixtures))
    atoms = (
        axes(crystal),
        list(places),
        [names.index(mixture) + 1 for mixture in mixtures],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spglib.get_symmetry_dataset(atoms, symprec=1e-4).number
