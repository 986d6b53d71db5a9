"""What random crystals are drawn from, and what a drawn crystal is.

The priors began as those of Schopmans et al., Digital Discovery 2 (2023) 1414.
Volumes, axis ratios and closest contacts have since been fitted to real structures:
see `ringwatch.models.crystals.atom_volumes`, `cell_shapes` and `placement`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ringwatch.models.crystals.atom_volumes import atom_volumes
from ringwatch.models.crystals.cell_shapes import shape_table
from ringwatch.models.crystals.elements import covalent_radii, frequencies, similarity
from ringwatch.models.crystals.prototypes import (
    PrototypePool,
    TemplateArrays,
    empty_pool,
)
from ringwatch.models.crystals.site_lists import SiteLists, site_lists

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringwatch.models.crystals.wyckoff import WyckoffTables


class Priors(NamedTuple):
    """What `ringwatch.models.crystals.sampling.draw` draws from.

    Attributes
    ----------
    groups : (231,) float64
        Running sum of space-group probabilities.
    lists : SiteLists
        Wyckoff positions and which of them share an element.
    joint : (231,) float64
        Share of each group's random crystals whose positions are those of a known
        structure.
    elements : (99,) float64
        Weights of elements.
    similar : (99, 99) float64
        Row z: weights of the elements that may take the place of z.
    atom_volume : (99,) float64
        Volume per atom in A^3.
    radii : (99,) float64
        Covalent radii in A.
    shapes : (231, 6) float64
        See `ringwatch.models.crystals.cell_shapes.shape_table`.
    contact_draws : int
        Most draws of a site's free coordinates, of which the best is kept.
    partial : float
        Share of random crystals in which one element leaves places empty.
    prototype_share : (231,) float64
        Share of each group's crystals that are decorated prototypes.
    prototypes : TemplateArrays
        Their templates; may be empty.
    """

    groups: NDArray[np.float64]
    lists: SiteLists
    joint: NDArray[np.float64]
    elements: NDArray[np.float64]
    similar: NDArray[np.float64]
    atom_volume: NDArray[np.float64]
    radii: NDArray[np.float64]
    shapes: NDArray[np.float64]
    contact_draws: int
    partial: float
    prototype_share: NDArray[np.float64]
    prototypes: TemplateArrays


class Draw(NamedTuple):
    """One crystal as it was drawn.

    Attributes
    ----------
    space_group : int
        1 to 230.
    positions : (n,) int64
        Wyckoff position of each site.
    slots : (n,) int64
        Which element each site has.
    coordinates : (n, 3) float64
        Free parameters x, y, z of each site.
    occupancies : (n,) float64
        Above 0, at most 1. Elements that share a place are sites of their own.
    z : (e,) int64
        Atomic numbers of the element slots.
    b_iso : (e,) float64
        Displacement parameter of each element slot in A^2.
    cell : (6,) float64
        a, b, c in A, alpha, beta, gamma in degrees.
    template : int
        Which prototype was decorated; -1: none, the crystal is a random one.
    """

    space_group: int
    positions: NDArray[np.int64]
    slots: NDArray[np.int64]
    coordinates: NDArray[np.float64]
    occupancies: NDArray[np.float64]
    z: NDArray[np.int64]
    b_iso: NDArray[np.float64]
    cell: NDArray[np.float64]
    template: int


def build_priors(
    tables: WyckoffTables,
    group_probability: NDArray[np.float64],
    *,
    joint: float,
    contact_draws: int = 1,
    partial: float = 0.0,
    prototypes: PrototypePool | None = None,
    prototype_share: float = 0.0,
) -> Priors:
    """Weights of everything that is drawn.

    Parameters
    ----------
    tables : WyckoffTables
        Wyckoff positions.
    group_probability : (231,) float64
        Of each space group; entry 0 is 0.
    joint : float
        Share of random crystals with known Wyckoff sets, in groups that have many.
    contact_draws, partial : int, float
        See `Priors`.
    prototypes : PrototypePool, optional
        Templates of real structures.
    prototype_share : float
        Share of decorated prototypes in groups that have many types of structure.

    Returns
    -------
    Priors
        Running sums and weights.
    """
    pool = empty_pool() if prototypes is None else prototypes
    lists = site_lists()
    # One type or set would be seen over and over, so a group with few gets less: of
    # prototypes T / (T + 1) with T types, of known sets n / (n + 3).
    types = pool.types()
    elements = frequencies()
    return Priors(
        groups=np.cumsum(group_probability) / group_probability.sum(),
        lists=lists,
        joint=joint * lists.known_sets / (lists.known_sets + 3.0),
        elements=elements,
        similar=similarity() * (elements > 0),
        atom_volume=atom_volumes(),
        radii=covalent_radii(),
        shapes=shape_table(tables),
        contact_draws=contact_draws,
        partial=partial,
        prototype_share=prototype_share * types / (types + 1.0),
        prototypes=TemplateArrays(*pool),
    )
