"""A crystal's reflections, and powder patterns drawn from lines.

What the simulated detector draws, what the page lays over a pattern and what the
network is trained on come from here: one structure factor, one profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from ringwatch.models.diffraction.form_factors import form_factor_coefficients
from ringwatch.models.diffraction.profiles import Grid, render
from ringwatch.models.diffraction.unit_cell import (
    Crystal,
    atomic_number,
    cell_volume,
    direct_metric,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Crystal",
    "Grid",
    "Reflections",
    "cell_volume",
    "direct_metric",
    "line_areas",
    "lorentz_polarization",
    "reflections",
    "render",
]

_ABSENT = 1e-10
"""Lines weaker than this share of the strongest are rounding, not reflections."""
_SAME_LINE = 1e-7
"""Relative distance in q below which reflections make one line."""
_EV_ANGSTROM = 12398.419843320026
"""Photon energy times wavelength."""
_MAX_BOX = 20_000_000
"""Index triples that are looked at, 0.5 GB; a cell of 100 nm^3 at 10 1/A has 2e6."""
_PHASES_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflections:
    """Powder lines of one crystal, absent ones left out.

    Attributes
    ----------
    q : (n,) float64
        2 pi / d in 1/Angstrom, ascending.
    d_spacing : (n,) float64
        Angstrom.
    hkl : (n, 3) int64
        One member of each line, the lexicographically greatest of those not absent.
    multiplicity : (n,) int64
        Reflections that share the line.
    f_squared : (n,) float64
        Mean |F|^2 over the line in electrons^2 per cell, displacements included.
    """

    q: NDArray[np.float64]
    d_spacing: NDArray[np.float64]
    hkl: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    f_squared: NDArray[np.float64]


def lorentz_polarization(
    q: ArrayLike, wavelength: ArrayLike, polarization: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Lorentz and polarization factor of a powder line integrated over a ring's arc.

    ``(1 + P cos^2 2theta) / (1 + P) / (sin^2 theta cos theta)`` (Int. Tables C, 2004,
    chapter 6.2), the polarization normalised at 2theta = 0.

    Parameters
    ----------
    q : float array
        1/Angstrom, above zero.
    wavelength : float array
        Angstrom; broadcast against q.
    polarization : float array
        P: 1 for an unpolarized source, cos^2 of twice the Bragg angle behind a
        monochromator crystal, 0 for scattering across a fully polarized beam.

    Returns
    -------
    float array
        Without unit; 0 where the wavelength cannot reach q.
    """
    sine = np.asarray(q) * np.asarray(wavelength) / (4.0 * np.pi)
    reached = sine < 1.0
    sine2 = np.where(reached, sine, 0.5) ** 2
    share = np.asarray(polarization)
    polarized = (1.0 + share * (1.0 - 2.0 * sine2) ** 2) / (1.0 + share)
    factor: NDArray[np.float64] = polarized / (sine2 * np.sqrt(1.0 - sine2))
    return np.where(reached, factor, 0.0)


def line_areas(
    lines: Reflections, wavelength: float, polarization: float = 1.0
) -> NDArray[np.float64]:
    """Areas of powder lines drawn over q, in any unit.

    `lorentz_polarization` belongs to areas over 2theta; dq = k / 2 cos(theta) d2theta
    with k = 4 pi / wavelength.

    Parameters
    ----------
    lines : Reflections
        M lines.
    wavelength, polarization : float
        As `lorentz_polarization` takes them.

    Returns
    -------
    (M,) float64
        0 where the wavelength cannot reach q.
    """
    sine = np.minimum(lines.q * wavelength / (4.0 * np.pi), 1.0)
    strength = lines.f_squared * lines.multiplicity * np.sqrt(1.0 - sine**2)
    return strength * lorentz_polarization(lines.q, wavelength, polarization)


def reflections(
    crystal: Crystal, *, q_min: float, q_max: float, wavelength: float | None = None
) -> Reflections:
    """Powder lines of a crystal with their mean squared structure factors.

    The intensity of a line in a powder pattern is ``f_squared * multiplicity *
    lorentz_polarization(...) / volume**2`` up to a constant.

    Parameters
    ----------
    crystal : Crystal
        All atoms of the cell.
    q_min, q_max : float
        Range in 1/Angstrom, both ends included.
    wavelength : float, optional
        Angstrom; adds the dispersion corrections f' and f'' of Cromer and Liberman
        (gemmi) and averages Friedel pairs. Without it they are zero.

    Returns
    -------
    Reflections
        One row per distinct line; reflections of equal q are merged.

    Raises
    ------
    ValueError
        If the range is empty, or so wide that the cell has too many reflections.
    """
    if not 0.0 <= q_min < q_max < np.inf:
        msg = f"q range {q_min} to {q_max} 1/A: expected 0 <= q_min < q_max"
        raise ValueError(msg)
    hkl, q = _half_sphere(crystal, q_min, q_max)
    strength = _squared_structure_factors(crystal, hkl, q, wavelength)
    if not len(q):
        empty = np.zeros(0)
        none = np.zeros((0, 3), np.int64)
        return Reflections(
            q=empty, d_spacing=empty, hkl=none, multiplicity=none[:, 0], f_squared=empty
        )
    first = np.flatnonzero(np.diff(q, prepend=-1.0) > _SAME_LINE * q)
    count = np.diff(first, append=len(q))
    mean = np.add.reduceat(strength, first) / count
    line = np.repeat(np.arange(len(first)), count)
    # A line may hold absent members beside present ones, as 120 beside 210 in P a -3.
    present = strength > _ABSENT * mean[line]
    order = np.lexsort((hkl[:, 2], hkl[:, 1], hkl[:, 0], present, line))
    greatest = order[first + count - 1]
    kept = mean > _ABSENT * mean.max()
    line_q = (np.add.reduceat(q, first) / count)[kept]
    return Reflections(
        q=line_q,
        d_spacing=2.0 * np.pi / line_q,
        hkl=hkl[greatest][kept],
        multiplicity=2 * count[kept],  # each stands for its Friedel pair
        f_squared=mean[kept],
    )


def _half_sphere(
    crystal: Crystal, q_min: float, q_max: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """One of each Friedel pair in the range, by ascending q: hkl (n, 3), q (n,)."""
    edges = np.array(crystal.cell[:3])
    most = np.floor(edges * q_max / (2.0 * np.pi) + 1e-6).astype(np.int64)
    box = (most[0] + 1) * (2 * most[1] + 1) * (2 * most[2] + 1)
    if box > _MAX_BOX:
        msg = (
            f"{crystal.name or 'crystal'}: {box} reflections to look at up to"
            f" {q_max} 1/A, expected at most {_MAX_BOX}: lower q_max"
        )
        raise ValueError(msg)
    axes = (
        np.arange(0, most[0] + 1),
        np.arange(-most[1], most[1] + 1),
        np.arange(-most[2], most[2] + 1),
    )
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    h, k, l = hkl.T  # noqa: E741
    hkl = hkl[(h > 0) | (k > 0) | ((k == 0) & (l > 0))]
    hkl = hkl[(hkl[:, 0] > 0) | (hkl[:, 1] >= 0)]
    inverse = np.linalg.inv(direct_metric(crystal.cell))
    q = 2.0 * np.pi * np.sqrt(np.einsum("ni,ij,nj->n", hkl, inverse, hkl))
    slack = _SAME_LINE * q_max
    inside = np.flatnonzero((q >= q_min - slack) & (q <= q_max + slack))
    order = inside[np.argsort(q[inside], kind="stable")]
    return hkl[order], q[order]


def _squared_structure_factors(
    crystal: Crystal,
    hkl: NDArray[np.int64],
    q: NDArray[np.float64],
    wavelength: float | None,
) -> NDArray[np.float64]:
    """Mean |F|^2 of each Friedel pair in electrons^2: (n,)."""
    kinds = sorted(set(zip(crystal.elements, crystal.b_iso.tolist(), strict=True)))
    kind_of = {kind: column for column, kind in enumerate(kinds)}
    atoms = np.zeros((len(crystal.elements), len(kinds)))
    for row, kind in enumerate(
        zip(crystal.elements, crystal.b_iso.tolist(), strict=True)
    ):
        atoms[row, kind_of[kind]] = crystal.occupancies[row]
    a, b = form_factor_coefficients()
    z = np.array([atomic_number(symbol) for symbol, _ in kinds])
    b_iso = np.array([value for _, value in kinds])
    dispersion = np.zeros((2, len(kinds)))
    if wavelength is not None:
        energy = _EV_ANGSTROM / wavelength
        pairs = [gemmi.cromer_liberman(z=int(n), energy=energy) for n in z]
        dispersion = np.array(pairs).T
    s2 = (q / (4.0 * np.pi)) ** 2
    squared = np.empty(len(q))
    chunk = max(1, _PHASES_AT_ONCE // len(atoms))
    for low in range(0, len(q), chunk):
        part = slice(low, low + chunk)
        phase = 2.0 * np.pi * (hkl[part] @ crystal.positions.T)
        cosine, sine = np.cos(phase) @ atoms, np.sin(phase) @ atoms  # (n, kinds)
        gauss = np.exp(-s2[part, None, None] * b[z])  # (n, kinds, 5)
        damping = np.exp(-s2[part, None] * b_iso)
        f = ((a[z] * gauss).sum(axis=2) + dispersion[0]) * damping
        f_double = dispersion[1] * damping
        sums = (f * cosine, f * sine, f_double * cosine, f_double * sine)
        squared[part] = sum(part_sum.sum(axis=1) ** 2 for part_sum in sums)
    return squared
