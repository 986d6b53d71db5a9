"""Patterns that are not of one crystalline phase: what the novelty score learns from.

Mixtures of two crystals, and what a detector sees where there is no crystal: the halo
of an amorphous sample, an empty container, a leak of the direct beam.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.crystals import Peaks
from ringwatch.models.inputs import N_CHANNELS, Float, InputGrid, network_input

__all__ = ["KINDS_WITHOUT_CRYSTAL", "mixture", "without_crystal"]

KINDS_WITHOUT_CRYSTAL = ("amorphous halo", "empty container", "direct-beam leak")

Floats = NDArray[np.float64]

_CONTAINERS = (1.2, 1.5, 1.6, 2.0)
"""Centres of the first halo of containers, 1/Angstrom, rounded: polymer films, silica
(S. R. Elliott, Nature 354 (1991) 445), other glasses, water on their walls."""


def mixture(one: Peaks, other: Peaks, share: Floats) -> Peaks:
    """Lines of two crystals in one pattern, pairwise.

    Parameters
    ----------
    one, other : Peaks
        B crystals each; labels are those of ``one``.
    share : ndarray, (B,)
        Of ``other``, in 0..1, by the height of the highest line after the Lorentz
        factor for small angles, 1 / q^2: 0.5 makes both highest lines alike.
    """
    n = len(one.space_group)
    owner = [np.repeat(np.arange(n), np.diff(p.start)) for p in (one, other)]
    place = [
        np.arange(len(one.q)) + other.start[owner[0]],
        np.arange(len(other.q)) + one.start[owner[1] + 1],
    ]
    q = np.empty(len(one.q) + len(other.q), np.float32)
    strength = np.empty(len(q), np.float32)
    parts = ((one, 1 - share), (other, share))
    for (peaks, weight), of, at in zip(parts, owner, place, strict=True):
        highest = np.full(n, 1e-30)
        np.maximum.at(highest, of, peaks.strength / np.maximum(peaks.q, 0.3) ** 2)
        q[at] = peaks.q
        strength[at] = peaks.strength * (weight / highest)[of]
    return Peaks(
        space_group=one.space_group,
        start=one.start + other.start,
        q=q,
        strength=strength,
    )


def without_crystal(
    rng: np.random.Generator, grid: InputGrid, n: int
) -> tuple[Float, NDArray[np.int64]]:
    """Network inputs of patterns in which no crystal takes part.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    grid : InputGrid
        The network's.
    n : int
        How many.

    Returns
    -------
    x : ndarray, (n, 3, n_bins), float32
        In even steps of 0.0006 to 0.016 1/Angstrom, from 0.3..1.2 to 3.2..6.0, with 10
        to 3e6 counts a point at the highest point; a third as archives keep them, with
        a background taken off and what is negative folded up.
    kind : ndarray, (n,)
        Index into `KINDS_WITHOUT_CRYSTAL`.
    """
    kind = rng.integers(0, len(KINDS_WITHOUT_CRYSTAL), n)
    draw = (_halo, _container, _leak)
    x = np.empty((n, N_CHANNELS, grid.n_bins), np.float32)
    for i in range(n):
        low = 0.3 + 0.9 * rng.random() * (rng.random() < 0.6)
        q = np.arange(low, rng.uniform(3.2, 6.0), 10 ** rng.uniform(-3.2, -1.8))
        y = draw[kind[i]](rng, q)
        y *= 10 ** rng.uniform(1.0, 6.5) / y.max()
        measured = rng.poisson(y).astype(np.float64)
        if rng.random() < 1 / 3:
            measured = np.abs(measured - rng.uniform(0.7, 1.0) * y.min())
        x[i] = network_input(q, measured, grid=grid)
    return x, kind


def _rise(rng: np.random.Generator, q: Floats) -> Floats:
    """Air scatter: falls from the lowest q with a decay of 0.2 to 2 1/Angstrom."""
    return np.asarray(np.exp(-(q - q[0]) / rng.uniform(0.2, 2.0)))


def _hump(rng: np.random.Generator, q: Floats, centre: float) -> Floats:
    """A halo of standard deviation 0.1 to 0.6 1/Angstrom, and its weaker overtone."""
    width = rng.uniform(0.1, 0.6)
    first = np.exp(-0.5 * ((q - centre) / width) ** 2)
    # Second maximum of an amorphous structure factor at 1.6 to 2 times the first.
    second = np.exp(-0.5 * ((q - rng.uniform(1.6, 2.0) * centre) / (1.7 * width)) ** 2)
    return np.asarray(first + rng.uniform(0.0, 0.5) * second)


def _halo(rng: np.random.Generator, q: Floats) -> Floats:
    """An amorphous sample: one or two first maxima at 1 to 3.3 1/Angstrom."""
    y = rng.uniform(0.0, 0.5) * _rise(rng, q) + 10 ** rng.uniform(-2.5, -0.3)
    for _ in range(rng.integers(1, 4)):
        y = y + rng.uniform(0.2, 1.0) * _hump(rng, q, rng.uniform(1.0, 3.3))
    return y


def _container(rng: np.random.Generator, q: Floats) -> Floats:
    """Glass, a polymer film or nothing in the beam, and air."""
    centre = float(rng.choice(_CONTAINERS)) * rng.uniform(0.95, 1.05)
    y = rng.uniform(0.0, 1.0) * _hump(rng, q, centre)
    return np.asarray(
        y + rng.uniform(0.2, 2.0) * _rise(rng, q) + rng.uniform(0.02, 0.5)
    )


def _leak(rng: np.random.Generator, q: Floats) -> Floats:
    """The flank of the direct beam beside its stop: a power law or an exponential.

    The flank may end within a few points or reach far; beneath it lies what a beam
    without a sample leaves everywhere.
    """
    if rng.random() < 0.5:
        flank = (q / q[0]) ** -(10 ** rng.uniform(0.0, 1.3))
    else:
        flank = np.exp(-(q - q[0]) / 10 ** rng.uniform(-2.5, -0.3))
    return np.asarray(flank + 10 ** rng.uniform(-4.0, 0.5))
