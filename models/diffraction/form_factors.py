"""Atomic form factors of International Tables C (1992), as gemmi ships them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import gemmi
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_Z = 98
"""Heaviest element of the form factors (International Tables 1992)."""

EV_ANGSTROM = 12398.419843320026
"""Photon energy times wavelength."""


@cache
def form_factor_coefficients() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cromer-Mann coefficients of neutral atoms (Int. Tables C, 1992, 6.1.1.4).

    Returns
    -------
    a, b : (99, 5) float64
        ``f(s) = sum_j a[z, j] exp(-b[z, j] s**2)`` with s = sin(theta) / wavelength in
        1/A; the last column is the constant (b = 0). Row 0 is empty.
    """
    a = np.zeros((MAX_Z + 1, 5))
    b = np.zeros((MAX_Z + 1, 5))
    for z in range(1, MAX_Z + 1):
        fit = gemmi.Element(z).it92
        a[z, :4], b[z, :4], a[z, 4] = fit.a, fit.b, fit.c
    return a, b


def dispersion_corrections(
    wavelength: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dispersion corrections of Cromer and Liberman (Acta Cryst. A37 (1981) 267).

    Parameters
    ----------
    wavelength : float
        Angstrom, 0.1 to 4.

    Returns
    -------
    f_prime, f_double : (99,) float64
        Electrons by atomic number; 0 for elements that the tables lack: hydrogen,
        helium, and those beyond uranium.

    Raises
    ------
    ValueError
        If the wavelength is outside the range of the tables.
    """
    if not 0.1 <= wavelength <= 4.0:
        msg = f"wavelength is {wavelength} A: expected 0.1 to 4 A"
        raise ValueError(msg)
    energy = EV_ANGSTROM / wavelength
    pairs = np.zeros((MAX_Z + 1, 2))
    for z in range(1, MAX_Z + 1):
        pairs[z] = gemmi.cromer_liberman(z=z, energy=energy)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def form_factor_table(
    s2_max: float, n: int = 2048
) -> tuple[NDArray[np.float32], float]:
    """Form factors on an even grid of s squared, for linear interpolation.

    Parameters
    ----------
    s2_max : float
        Largest (sin(theta) / wavelength)**2 in 1/A^2.
    n : int
        Number of nodes.

    Returns
    -------
    table : (99, n + 1) float32
        Electrons.
    step : float
        Distance of the nodes in 1/A^2.
    """
    a, b = form_factor_coefficients()
    step = s2_max / (n - 1)
    s2 = step * np.arange(n + 1)  # one node beyond, so that interpolation may touch it
    table = np.einsum("zj,zjs->zs", a, np.exp(-b[:, :, None] * s2))
    return table.astype(np.float32), step
