"""A small pool of prototypes."""

from __future__ import annotations

import pytest

from ringwatch.models.crystals.prototypes import build_pool
from ringwatch.models.diffraction import Crystal

from .made_templates import make, spinel


@pytest.fixture(scope="module")
def small_pool():
    """Spinel, rock salt and a triclinic cell of general positions."""
    salt = Crystal.from_sites(
        space_group=225,
        cell=(5.64, 5.64, 5.64, 90, 90, 90),
        elements=["Na", "Cl"],
        positions=[[0, 0, 0], [0.5, 0.5, 0.5]],
    )
    loose = Crystal.from_sites(
        space_group=2,
        cell=(5.0, 6.0, 7.0, 80, 95, 100),
        elements=["Ca", "S", "O"],
        positions=[[0.1, 0.2, 0.3], [0.6, 0.15, 0.8], [0.35, 0.7, 0.05]],
    )
    return build_pool(
        [
            make(spinel("F d -3 m:1"), [0] * 8 + [0] * 8 + [1] * 16 + [2] * 32),
            make(salt, [0] * 4 + [1] * 4),
            make(loose, [0, 0, 1, 1, 2, 2]),
        ]
    )
