"""Which chemical elements stand in for one another."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from ringwatch.models.diffraction.form_factors import MAX_Z

PETTIFOR_ORDER = (
    "He Ne Ar Kr Xe Rn Fr Cs Rb K Na Li Ra Ba Sr Ca Yb Eu Sc Lu Tm Er Ho Dy Y Tb Gd Sm"
    " Pm Nd Pr Ce La Cf Bk Cm Am Pu Np U Pa Th Ac Zr Hf Ti Ta Nb V W Mo Cr Re Tc Mn Fe"
    " Ru Os Co Rh Ir Ni Pt Pd Au Ag Cu Mg Hg Cd Zn Be Tl In Al Ga Pb Sn Ge Si B Bi Sb"
    " As P Po Te Se S C At I Br Cl N O F H"
)
"""Elements in the order of Pettifor's chemical scale (Solid State Commun. 51 (1984)
31): neighbours form compounds of like structure."""

_RARE = "He Ne Ar Kr Tc Xe Pm Po At Rn Fr Ra Ac Pa Np Pu Am Cm Bk Cf"
"""Elements that are not drawn."""
_FREQUENT = {"O": 12, "S": 4, "F": 3, "Cl": 3, "N": 3, "Si": 3, "C": 1.5, "P": 3}
_REACH = 4.0
"""Distance on the scale at which an element stands in 1/e as often."""


def frequencies() -> NDArray[np.float64]:
    """How often elements are drawn at random.

    Returns
    -------
    (99,) float64
        Weights by atomic number; 0 for noble gases and most radioactive elements.
    """
    weights = np.ones(MAX_Z + 1)
    weights[0] = 0.0
    for symbol in _RARE.split():
        weights[gemmi.Element(symbol).atomic_number] = 0.0
    for symbol, weight in _FREQUENT.items():
        weights[gemmi.Element(symbol).atomic_number] = weight
    return weights


def covalent_radii() -> NDArray[np.float64]:
    """Covalent radii by atomic number, (99,) in Angstrom; entry 0 is 0.

    Source: Cordero et al., Dalton Trans. (2008) 2832, as gemmi has them.
    """
    radii = (gemmi.Element(z).covalent_r for z in range(1, MAX_Z + 1))
    return np.array([0.0, *radii])


def similarity() -> NDArray[np.float64]:
    """How readily one element takes the place of another.

    Returns
    -------
    (99, 99) float64
        ``exp(-distance / 4)`` by distance on Pettifor's scale; row and column 0 are 0.
        The diagonal is 1: an element may stay.
    """
    place = np.full(MAX_Z + 1, np.inf)
    for number, symbol in enumerate(PETTIFOR_ORDER.split()):
        place[gemmi.Element(symbol).atomic_number] = number
    place[0] = 0.0
    weights: NDArray[np.float64] = np.exp(-abs(place[:, None] - place) / _REACH)
    weights[0], weights[:, 0] = 0.0, 0.0
    return weights
