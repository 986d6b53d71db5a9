"""Compiled sums of the light next to the beam that is too bright for a sample."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["excess_near_beam", "excess_to_one_side"]

Floats = NDArray[np.float64]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def excess_near_beam(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    maximum: Floats,
    expected: Floats,
    scale: float,
    in_ring: NDArray[np.bool_],
    inner: int,
    end: int,
    times: tuple[float, float],
    threshold: float,
    gain: float,
) -> Floats:
    """Counts above ``scale * expected`` in cells of more than ``times`` that.

    The first of ``times`` holds before bin ``inner``, the second beyond. Each cell must
    stand out by ``threshold`` sigma, and by what few quanta of ``gain`` counts do by
    chance.

    ``expected`` is (n_q, 32). Of the cells before bin ``end`` that are in no ring.
    Gives the excess, its variance, the part before bin ``inner``, the share of the
    azimuth that takes part beyond, and the brightest pixel.
    """
    sectors = sector.shape[1]
    around = np.zeros(sectors)
    out = np.zeros(5)
    for i in range(end):
        if in_ring[i] and i >= inner:
            continue
        for s in range(sectors):
            w = norm[i, s]
            if not w > 0.0:
                continue
            e = scale * max(expected[i, s], 0.0)
            if not sector[i, s] > times[0 if i < inner else 1] * e:
                continue
            more = (sector[i, s] - e) * w
            noise = threshold * math.sqrt(variance[i] * w) + threshold**2 * gain
            if more > noise:
                out[0] += more
                out[1] += variance[i] * w
                out[4] = max(out[4], maximum[i, s])
                if i < inner:
                    out[2] += more
                else:
                    around[s] += more
    power = 0.0
    for s in range(sectors):
        power += around[s] * around[s]
    beyond = out[0] - out[2]
    out[3] = beyond * beyond / (sectors * power) if power > 0.0 else 0.0
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def excess_to_one_side(
    sector: Floats,
    norm: Floats,
    variance: Floats,
    maximum: Floats,
    expected: Floats,
    in_ring: NDArray[np.bool_],
    bins: tuple[int, int, int],
    times: tuple[float, float],
    threshold: float,
    gain: float,
) -> Floats:
    """Counts above ``expected`` next to the beam, and those on one side of it only.

    As ``excess_near_beam``, for light of which only the trend along the radius is known
    (``expected``, (n_q,)). ``bins``: those before the first hold the beam itself, where
    no sample scatters; the shadow ends before the second, the neighbourhood before the
    third. Beyond the first a cell counts with what it has more than the cell that faces
    it; a sector with the sum of that, if it stands out by ``threshold`` sigma.

    Gives the excess, that before the first bin, that on one side, the variance of both,
    the brightest pixel, and how many cells were looked at.
    """
    sectors = sector.shape[1]
    half = sectors // 2
    beam, inner, end = bins
    more, noise = np.zeros(sectors), np.zeros(sectors)
    out = np.zeros(6)
    for i in range(end):
        if in_ring[i] and i >= inner:
            continue
        e = max(expected[i], 0.0)
        least = times[0 if i < inner else 1] * e
        for s in range(sectors):
            w, facing = norm[i, s], norm[i, (s + half) % sectors]
            if not w > 0.0 or not (facing > 0.0 or i < beam):
                continue
            out[5] += 1.0
            here, there = sector[i, s], sector[i, (s + half) % sectors]
            # Both cells of a pair are summed where either is too bright: else those
            # that are so by chance would make even light uneven.
            light, pixels = here, w
            if i >= beam and there > here:
                light, pixels = there, facing
            excess = (light - e) * pixels
            if not light > least or not excess > (
                threshold * math.sqrt(variance[i] * pixels) + threshold**2 * gain
            ):
                continue
            out[0] += max(here - e, 0.0) * w
            out[4] = max(out[4], maximum[i, s])
            if i < beam:
                out[1] += excess
                out[3] += variance[i] * w
            else:
                more[s] += (here - there) * w
                noise[s] += variance[i] * w * (1.0 + w / facing)
    for s in range(sectors):
        if more[s] > threshold * math.sqrt(noise[s]):
            out[2] += more[s]
            out[3] += noise[s]
    return out
