"""Dispersion of the pixels in short stretches, where few hold a zinger, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["fano_of_stretches"]

_COUNTS = 8.0  # of a stretch
_FREE = 200.0  # pixels of one, less its cells: the Fano factor is known to 10 %
_FEWEST = 100  # stretches
_LOW = 20  # one of so many is the lowest that is looked at
_AGREE = 1.25  # the lower quartile over that, where one law holds for both
_BELOW = 1.1  # a Fano factor over the lower quartile of its measurements


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fano_of_stretches(
    pixels: NDArray[np.int64],
    total: NDArray[np.float64],
    total_sq: NDArray[np.float64],
    fano: float,
) -> float:
    """Fano factor of the pixels where it is less than ``fano``, which whole rows have.

    A stretch is some cells of one sector in a row, about their own means: it ends as
    soon as it holds counts and pixels enough, so that many are free of zingers where no
    ring is. The lower quartile speaks for the frame if the lowest twentieth agree: then
    most pixels follow one law and what is above it is something else. Photons of
    various heights (an analogue readout) have no such core, and ``fano`` stays.

    Parameters
    ----------
    pixels, total, total_sq : (n_q, 32)
        As in ``Cake``.
    fano : float
    """
    rows, sectors = pixels.shape
    found = np.empty(rows * sectors)
    number = 0
    for s in range(sectors):
        within = counts = free = every = 0.0
        for b in range(rows):
            n, t = float(pixels[b, s]), total[b, s]
            if n < 2.0:
                continue
            within += total_sq[b, s] - t * t / n
            counts += t
            free += n - 1.0
            every += n
            if free >= _FREE and counts >= _COUNTS:
                found[number] = within / free * every / counts
                number += 1
                within = counts = free = every = 0.0
    if number < _FEWEST:
        return fano
    order = np.sort(found[:number])
    quartile = order[number // 4]
    if quartile > _AGREE * order[number // _LOW]:
        return fano
    return min(fano, _BELOW * quartile)
