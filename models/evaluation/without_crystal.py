"""Patterns without a crystal that the novelty score is judged on.

Drawn by code of their own from other physics than those that it learned from
(`ringwatch.models.disturbances.foreign_patterns`): a score must not be judged on the
very shapes that it was taught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.evaluation.datasets import LabelledPattern

__all__ = ["KINDS", "patterns_without_crystal"]

Floats = NDArray[np.float64]

_CONTAINER_HALOS = {
    "silica glass": ((1.53, 0.25, 1.0), (2.95, 0.45, 0.25), (5.2, 0.6, 0.25)),
    "Kapton": ((0.40, 0.06, 0.3), (1.25, 0.35, 1.0), (2.9, 0.5, 0.2)),
    "water": ((2.00, 0.40, 1.0), (2.95, 0.45, 0.45), (4.7, 0.7, 0.15)),
    "air alone": (),
}
"""Position, standard deviation (1/Angstrom) and height of broad maxima, after P. A. V.
Johnson et al., J. Non-Cryst. Solids 58 (1983) 109, and L. B. Skinner et al., J. Chem.
Phys. 138 (2013) 074506; Kapton read off patterns of the film."""


def patterns_without_crystal(
    n: int, *, seed: int = 0
) -> Iterator[tuple[str, LabelledPattern]]:
    """Name of the kind, and pattern, ``n`` of each of `KINDS`.

    Half are measured as in a laboratory (q 0.4 to 5.7 1/Angstrom), half as at a
    beamline (0.7 to 5.6); in steps of 0.001 to 0.01 1/Angstrom with 100 to a million
    counts at the highest point.
    """
    for number, (name, shape) in enumerate(KINDS.items()):
        for i in range(n):
            rng = np.random.Generator(np.random.Philox(key=[seed, number * n + i]))
            low, high = (0.4, 5.7) if i % 2 else (0.7, 5.6)
            q = np.arange(low, high, 10 ** rng.uniform(-3, -2))
            y = shape(rng, q)
            counts = 10 ** rng.uniform(2, 6)
            measured = rng.poisson(y / y.max() * counts).astype(np.float64)
            yield name, LabelledPattern(space_group=1, q=q, intensity=measured)


def _amorphous(rng: np.random.Generator, q: Floats) -> Floats:
    """Neighbours in shells that blur with distance (Debye, Ann. Phys. 351 (1915) 809).

    ``f^2(q) [1 + sum_j N_j sin(q r_j) / (q r_j) exp(-sigma_j^2 q^2 / 2)]`` with first
    neighbours at 1.6 to 3.2 Angstrom, and a density that the hole around each atom
    takes away at low q.
    """
    first = rng.uniform(1.6, 3.2)
    form = np.exp(-rng.uniform(0.02, 0.08) * q * q)
    structure = np.ones_like(q)
    for shell, number in ((1.0, rng.uniform(3, 9)), (1.65, rng.uniform(6, 14))):
        x = q * first * shell
        blur = np.exp(-0.5 * (rng.uniform(0.08, 0.2) * shell * q) ** 2)
        structure += number * np.sin(x) / x * blur
    hole = rng.uniform(8, 20) * np.exp(-0.5 * (0.9 * first * q) ** 2)
    total = form * np.maximum(structure - hole, 0.02)
    return np.asarray(total + rng.uniform(0.02, 0.3) * total.max())


def _container(rng: np.random.Generator, q: Floats) -> Floats:
    """Glass, film, water or nothing, and air scatter as 1 / (1 + (q r)^2)."""
    names = list(_CONTAINER_HALOS)
    maxima = _CONTAINER_HALOS[names[rng.integers(len(names))]]
    y = np.zeros_like(q)
    for centre, sigma, height in maxima:
        y += height * np.exp(-0.5 * ((q - centre) / sigma) ** 2)
    air = 1 / (1 + (q * rng.uniform(0.5, 2.0)) ** 2)
    return np.asarray(y + rng.uniform(0.3, 3.0) * air + rng.uniform(0.02, 0.3))


def _leak(rng: np.random.Generator, q: Floats) -> Floats:
    """The tail of the beam past its stop, a Lorentzian or Gaussian about q = 0."""
    width = rng.uniform(0.1, 0.6)
    x = (q / width) ** 2
    tail = 1 / (1 + x) if rng.random() < 0.5 else np.exp(-(x - x[0]))
    tail = tail / tail.max()
    return np.asarray(tail + 10 ** rng.uniform(-3, -1))


KINDS: dict[str, Callable[[np.random.Generator, Floats], Floats]] = {
    "amorphous halo": _amorphous,
    "empty container": _container,
    "direct-beam leak": _leak,
}
"""Shapes (n_q,) by name."""
