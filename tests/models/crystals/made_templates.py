"""Templates made of known crystals."""

from __future__ import annotations

import numpy as np

from ringwatch.models.crystals.prototype_sites import (
    make_template,
)
from ringwatch.models.crystals.wyckoff import wyckoff_tables
from ringwatch.models.diffraction import Crystal

TABLES = wyckoff_tables()
SPECIAL = 1 / 8  # of diamond's atoms in the second origin choice


def make(crystal, orbits):
    return make_template(
        TABLES,
        space_group=crystal.space_group,
        cell=crystal.cell,
        elements=crystal.elements,
        positions=crystal.positions,
        occupancies=crystal.occupancies,
        orbits=orbits,
    )


def spinel(setting):
    """MgAl2O4 in either origin choice (Hill et al., Phys. Chem. Miner. 4 (1979) 317),
    a fifth of the magnesium replaced by iron."""
    shift = 0.0 if setting.endswith("2") else SPECIAL
    u = 0.2624
    sites = [[SPECIAL] * 3, [SPECIAL] * 3, [0.5] * 3, [u] * 3]
    return Crystal.from_sites(
        space_group=227,
        cell=(8.08, 8.08, 8.08, 90, 90, 90),
        elements=["Mg", "Fe", "Al", "O"],
        positions=np.array(sites) + shift,
        occupancies=[0.8, 0.2, 1.0, 1.0],
        setting=setting,
    )
