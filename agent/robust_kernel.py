"""Sums of rings without the sectors that single spots or zingers make too bright."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["sum_sound_sectors"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SIGMAS = 4.0  # one of 30,000 sound sectors is left out, one in 1,000 rings
_FEWEST = 5  # sectors, of which a median may be taken
_MOST = 0.25  # of the sectors; more are texture, or a sample on one side


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_sound_sectors(
    total: Floats,
    zeros: Integers,
    pixels: Integers,
    norm: Floats,
    dark: Floats,
    sums: Floats,
) -> int:
    """Sum each ring over its sectors but those that stand out; how many these are.

    A sector stands out where its mean is further above the median of the ring's than
    four standard deviations, by counting statistics or by the scatter of the sectors
    (median absolute deviation), whichever is more: texture and absorption stay. Where
    more than a quarter would be left out none is.

    Parameters
    ----------
    total, norm, dark : (n_q, n_sectors) float64
    zeros, pixels : (n_q, n_sectors) int64
        As in ``Cake``.
    sums : (5, n_q) float64
        Gets counts, zeros, pixels, normalisation and dark of the sectors that are kept.
    """
    bins, sectors = total.shape
    mean, order = np.empty(sectors), np.empty(sectors)
    stands_out = np.empty(sectors, np.bool_)
    left_out = 0
    for b in range(bins):
        seen = 0
        for s in range(sectors):
            mean[s] = math.nan
            if pixels[b, s] > 0 and norm[b, s] > 0.0:
                mean[s] = (total[b, s] - dark[b, s]) / norm[b, s]
                order[seen] = mean[s]
                seen += 1
        middle, scatter = math.inf, 0.0
        if seen >= _FEWEST:
            middle = np.median(order[:seen])
            for k in range(seen):
                order[k] = abs(order[k] - middle)
            scatter = 1.4826 * np.median(order[:seen])
        out = 0
        for s in range(sectors):
            stands_out[s] = False
            if middle < mean[s]:  # False for NaN
                due = max(middle, 0.0) * norm[b, s] + dark[b, s] + 1.0
                spread = max(math.sqrt(due) / norm[b, s], scatter)
                stands_out[s] = mean[s] - middle > _SIGMAS * spread
                out += stands_out[s]
        if out > _MOST * seen:  # of so many none is an exception
            stands_out[:] = False
            out = 0
        left_out += out
        sums[:, b] = 0.0
        for s in range(sectors):
            if not stands_out[s]:
                sums[0, b] += total[b, s]
                sums[1, b] += zeros[b, s]
                sums[2, b] += pixels[b, s]
                sums[3, b] += norm[b, s]
                sums[4, b] += dark[b, s]
    return left_out
