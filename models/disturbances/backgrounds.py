"""Smooth backgrounds as samples, air, windows and containers give them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALOS", "compton", "halo", "smooth_backgrounds"]

Float = NDArray[np.float32]
Floats = NDArray[np.float64]

HALOS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "silica glass": ((1.53, 0.25, 1.0), (2.95, 0.45, 0.25), (5.2, 0.6, 0.25)),
    "Kapton": ((0.40, 0.06, 0.3), (1.25, 0.35, 1.0), (2.9, 0.5, 0.2)),
    "water": ((2.00, 0.40, 1.0), (2.95, 0.45, 0.45), (4.7, 0.7, 0.15)),
}
"""Broad maxima: position and standard deviation in 1/Angstrom, relative height. Glass:
P. A. V. Johnson et al., J. Non-Cryst. Solids 58 (1983) 109. Water: L. B. Skinner et
al., J. Chem. Phys. 138 (2013) 074506. Kapton: the 15 Angstrom and 5 Angstrom halos of
the film; positions read off, not fitted."""
_COARSE = 16
"""Bins per node that backgrounds are worked out on; they are smooth over many."""
_KINDS = 6


def halo(q: Floats, maxima: tuple[tuple[float, float, float], ...]) -> Floats:
    """Sum of Gaussian maxima, as in `HALOS`: (n,), any unit."""
    total = np.zeros(len(q))
    for centre, sigma, height in maxima:
        total += height * np.exp(-0.5 * ((q - centre) / sigma) ** 2)
    return total


def compton(q: Floats, half: Floats) -> Floats:
    """Incoherent scattering per electron.

    ``1 - 1 / (1 + (q / half)^2)^4``: that of a 1s-like density of decay length a, whose
    form factor is ``1 / (1 + (q a / 2)^2)^2`` (S = Z - sum f^2, Int. Tables C, 2004,
    section 7.4.3). Light elements saturate early.

    Parameters
    ----------
    q, half : float arrays that broadcast
        1/Angstrom; ``half`` is 2 / a: small for light elements, large for heavy ones.
    """
    return np.asarray(1.0 - (1.0 + (q / half) ** 2) ** -4.0)


def smooth_backgrounds(
    rng: np.random.Generator, q: NDArray[np.float64], n: int
) -> Float:
    """Random mixtures of what lies under powder lines.

    Six kinds, in random shares of which one or two dominate: a small-angle rise that
    decays over 0.2 to 2 1/Angstrom (air, direct beam); an amorphous halo of the sample
    at 1.2 to 3.5 with a standard deviation of 0.2 to 0.8, and its second order; a
    container of `HALOS`; Compton scattering; fluorescence, which is constant; and a
    slow wave for all else, such as a poor flat field.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    q : ndarray, (n_q,)
        Scattering vector, 1/Angstrom, ascending.
    n : int
        How many.

    Returns
    -------
    ndarray, (n, n_q), float32
        Not negative, highest point 1.
    """
    at = np.minimum(np.arange(0, len(q) + _COARSE - 1, _COARSE), len(q) - 1)
    x = q[at][None]  # (1, n_nodes)

    def uniform(low: float, high: float) -> Floats:
        return rng.uniform(low, high, (n, 1))

    share = rng.dirichlet(np.full(_KINDS, 0.35), n)[:, :, None]  # (n, kinds, 1)
    total = share[:, 0] * np.exp(-(x - x[:, :1]) / uniform(0.2, 2.0))
    centre, sigma = uniform(1.2, 3.5), uniform(0.2, 0.8)
    total += share[:, 1] * np.exp(-0.5 * ((x - centre) / sigma) ** 2)
    second = uniform(0.0, 0.5)
    total += share[:, 1] * second * np.exp(-0.5 * ((x / 1.75 - centre) / sigma) ** 2)
    known = np.stack([halo(x[0], maxima) for maxima in HALOS.values()])
    total += share[:, 2] * known[rng.integers(len(known), size=n)]
    total += share[:, 3] * compton(x, uniform(1.5, 7.0)) + share[:, 4]
    wave = np.sin(x * uniform(0.3, 2.5) + uniform(0.0, 6.28))
    total += share[:, 5] * (0.5 + 0.5 * wave)
    total /= total.max(axis=1, keepdims=True)
    return _between(np.asarray(total, np.float32), at, len(q))


def _between(nodes: Float, at: NDArray[np.intp], n_q: int) -> Float:
    """Interpolate node values (n, n_nodes) linearly to all bins: (n, n_q)."""
    bins = np.arange(n_q)
    left = np.minimum(bins // _COARSE, len(at) - 2)
    span = np.maximum(at[left + 1] - at[left], 1)
    weight = ((bins - at[left]) / span).astype(np.float32)
    low = nodes[:, left]
    low += weight * (nodes[:, left + 1] - low)
    return low
