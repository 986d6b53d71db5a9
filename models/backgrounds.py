"""Smooth backgrounds as samples, air and windows give them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["smooth_backgrounds"]


def smooth_backgrounds(
    rng: np.random.Generator, q: NDArray[np.float64], n: int
) -> NDArray[np.float32]:
    """Random backgrounds: a small-angle rise, an amorphous halo and a slow wave.

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
        Not negative, highest point 1. The rise decays over 0.2 to 2 1/Angstrom (air
        scatter); halos lie at 1.2 to 3.5 with a standard deviation of 0.2 to 0.8
        (glass, Kapton, water: 1.6 to 2.1 1/Angstrom).
    """
    x = q.astype(np.float32)[None]  # (1, n_q)

    def uniform(low: float, high: float) -> NDArray[np.float32]:
        return rng.uniform(low, high, (n, 1)).astype(np.float32)

    share = rng.dirichlet([0.6, 0.6, 0.6], n).astype(np.float32)[:, :, None]
    rise = np.exp(-(x - x[:, :1]) / uniform(0.2, 2.0))
    halo = np.exp(-0.5 * ((x - uniform(1.2, 3.5)) / uniform(0.2, 0.8)) ** 2)
    wave = 0.5 + 0.5 * np.sin(x * uniform(0.3, 2.5) + uniform(0.0, 6.28))
    total = share[:, 0] * rise + share[:, 1] * halo + share[:, 2] * wave
    return np.asarray(total / total.max(axis=1, keepdims=True), np.float32)
