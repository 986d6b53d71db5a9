"""Random crystals of every space group, as peaks or as sites, without end.

Crystal number i of a seed is a pure function of (seed, i): it depends on no batch,
thread or device, and none comes twice. The kernels release the GIL, so that threads may
share one generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from ringwatch.models.crystals.group_priors import chosen_groups, training_prior
from ringwatch.models.crystals.powder_lines import fold_atoms, powder_lines
from ringwatch.models.crystals.priors import build_priors
from ringwatch.models.crystals.sampling import draw
from ringwatch.models.crystals.wyckoff import wyckoff_tables
from ringwatch.models.diffraction.form_factors import (
    dispersion_corrections,
    form_factor_table,
)
from ringwatch.models.diffraction.unit_cell import Crystal
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ringwatch.models.crystals.prototypes import PrototypePool

_MAX_KEY = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Powder lines of B crystals, one after the other.

    Attributes
    ----------
    space_group : (B,) int64
        1 to 230.
    start : (B + 1,) int64
        Lines of crystal b are ``start[b]:start[b + 1]``.
    q : (M,) float32
        2 pi / d in 1/Angstrom, in no particular order.
    strength : (M,) float32
        |F|^2 times multiplicity in electrons^2 per cell, without Lorentz and
        polarization factors. Lines that coincide exactly may come as several entries.
    """

    space_group: NDArray[np.int64]
    start: NDArray[np.int64]
    q: NDArray[np.float32]
    strength: NDArray[np.float32]


class CrystalGenerator:
    """Endless random crystals, drawn by number.

    Parameters
    ----------
    seed : int
        0 to 2**63 - 1.
    q_min, q_max : float
        Range of the lines in 1/Angstrom.
    class_balance : float
        Weight of an even choice over the 97 powder classes against the frequencies of
        the Materials Project.
    joint : float
        Share of random crystals whose Wyckoff positions occur together in a known
        structure, in groups that have many; with n known sets it is joint n / (n + 3).
    space_groups : sequence of int, optional
        Draw only these, in their relative frequencies.
    prototypes : PrototypePool, optional
        Templates of real structures (`ringwatch.models.crystals.prototypes`).
    prototype_share : float
        Share of crystals that are decorated templates, in groups that have many types
        of structure; of a group with T types the share times T / (T + 1).
    contact_draws : int
        Free coordinates of a random crystal's site are the best of up to so many, by
        the distance to the atoms placed before; 1: uniform.
    partial : float
        Share of random crystals in which one element leaves some of its places empty.
    wavelength : float, optional
        Angstrom; adds the dispersion corrections f' and f'' there.

    Attributes
    ----------
    space_group_prior : (231,) float64
        Frequencies that are drawn.
    class_prior : (97,) float64
        The same, summed over powder classes.

    Raises
    ------
    ValueError
        If a number is outside its range.
    """

    def __init__(
        self,
        *,
        seed: int,
        q_min: float = 0.29,
        q_max: float = 6.1,
        class_balance: float = 0.5,
        joint: float = 0.75,
        space_groups: Sequence[int] | None = None,
        prototypes: PrototypePool | None = None,
        prototype_share: float = 0.35,
        contact_draws: int = 6,
        partial: float = 0.05,
        wavelength: float | None = None,
    ) -> None:
        if not 0 <= seed < _MAX_KEY:
            msg = f"seed is {seed}: expected 0 to 2**63 - 1"
            raise ValueError(msg)
        if not 0.0 < q_min < q_max <= 25.0:
            msg = f"q range {q_min} to {q_max}: expected 0 < q_min < q_max <= 25 1/A"
            raise ValueError(msg)
        if not 1 <= contact_draws <= 100:
            msg = f"contact_draws is {contact_draws}: expected 1 to 100"
            raise ValueError(msg)
        shares = {
            "joint": joint,
            "prototype_share": prototype_share,
            "partial": partial,
        }
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                msg = f"{name} is {share}: expected a share from 0 to 1"
                raise ValueError(msg)
        prior = chosen_groups(training_prior(class_balance), space_groups)
        self.space_group_prior: NDArray[np.float64] = prior / prior.sum()
        self.class_prior: NDArray[np.float64] = np.zeros(len(POWDER_CLASSES))
        np.add.at(self.class_prior, CLASS_INDEX[1:], self.space_group_prior[1:])
        self._seed = seed
        self._s_range = (q_min / (2 * np.pi), q_max / (2 * np.pi))
        self._tables = wyckoff_tables()
        self._priors = build_priors(
            self._tables,
            self.space_group_prior,
            joint=joint,
            contact_draws=contact_draws,
            partial=partial,
            prototypes=prototypes,
            prototype_share=prototype_share,
        )
        self._factors, self._step = form_factor_table((q_max / (4 * np.pi)) ** 2)
        self._f_double = np.zeros(len(self._factors))
        if wavelength is not None:
            f_prime, self._f_double = dispersion_corrections(wavelength)
            self._factors += f_prime[:, None].astype(np.float32)

    def peaks(self, first: int, count: int) -> Peaks:
        """Lines of crystals ``first`` to ``first + count - 1``.

        Parameters
        ----------
        first : int
            Number of the first crystal, 0 or more.
        count : int
            How many.

        Returns
        -------
        Peaks
            Bitwise the same, however the numbers are split into calls.

        Raises
        ------
        ValueError
            If a number is negative or too large.
        """
        if first < 0 or count < 0 or first + count >= _MAX_KEY:
            msg = f"crystals {first} to {first + count}: expected 0 to 2**63 - 1"
            raise ValueError(msg)
        groups, start, q, strength = powder_lines(
            self._seed,
            first,
            count,
            self._tables,
            self._priors,
            self._s_range,
            self._factors,
            self._step,
            self._f_double,
        )
        return Peaks(space_group=groups, start=start, q=q, strength=strength)

    def crystal(self, index: int) -> Crystal:
        """Crystal number ``index`` with all atoms of its conventional cell.

        Parameters
        ----------
        index : int
            0 or more.

        Returns
        -------
        Crystal
            The same that `peaks` gives the lines of.

        Raises
        ------
        ValueError
            If the number is negative or too large.
        """
        if not 0 <= index < _MAX_KEY:
            msg = f"crystal {index}: expected 0 to 2**63 - 1"
            raise ValueError(msg)
        drawn = draw(self._seed, index, self._tables, self._priors)
        folded, weight, _, site = fold_atoms(self._tables, drawn)
        if self._tables.inversion[drawn.space_group]:
            paired = np.rint(weight / drawn.occupancies[site]) == 2
            folded = np.concatenate([folded, -folded[:, paired]], axis=1)
            site = np.concatenate([site, site[paired]])
        group = drawn.space_group
        centring = self._tables.centring[group, : self._tables.n_centring[group]] / 6
        positions = (folded.T + centring[:, None]).reshape(-1, 3) % 1.0
        site = np.tile(site, len(centring))
        slot = drawn.slots[site]
        kind = "random crystal" if drawn.template < 0 else "decorated prototype"
        a, b, c, alpha, beta, gamma = drawn.cell.tolist()
        return Crystal(
            space_group=int(group),
            a=a,
            b=b,
            c=c,
            alpha=alpha,
            beta=beta,
            gamma=gamma,
            elements=tuple(gemmi.Element(int(z)).name for z in drawn.z[slot]),
            positions=positions,
            occupancies=drawn.occupancies[site],
            b_iso=drawn.b_iso[slot],
            name=f"{kind} {index} of seed {self._seed}",
        )
