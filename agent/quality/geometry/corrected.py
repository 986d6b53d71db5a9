"""The pattern that a frame would have with the geometry its own rings ask for.

Each cell is put where it belongs by the measured centre and tilt; counts, their
variance and the normalisation move together, so nothing is gained or lost. It is
information: the plain pattern stays what it is.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Cake, Flag, Pattern, Quality
from ringwatch.agent.quality.geometry.ring_center import CenterFit

__all__ = ["corrected_pattern"]

Floats = NDArray[np.float64]

_LINEAR = 3.0  # FWHM; beyond, a cell no longer keeps the direction of its sector


def corrected_pattern(
    quality: Quality,
    fit: CenterFit | None,
    cake: Cake,
    pattern: Pattern,
    radius: NDArray[np.float64],
    chi: NDArray[np.float64],
) -> Pattern | None:
    """Pattern about the centre of the frame's own rings, on the same bins.

    Parameters
    ----------
    quality : Quality
        Of the same frame; without a raised ``beam_center`` or ``tilt`` there is nothing
        to correct.
    fit : CenterFit or None
    cake : Cake
    pattern : Pattern
        The plain one.
    radius : (n_q,) float64
        Of the bins, pixels.
    chi : (32,) float64
        Of the sectors, rad.

    Returns
    -------
    Pattern or None
        None where nothing moved, or too far for the sectors to stay what they are.
    """
    moved = {Flag.BEAM_CENTER, Flag.TILT}.intersection(quality.raised)
    if fit is None or not moved:
        return None
    along = fit.dx * np.cos(chi) + fit.dy * np.sin(chi)  # px
    turned = np.zeros_like(chi)  # 1/px
    if fit.tilt is not None:
        turned = (fit.tilt.x * np.cos(chi) + fit.tilt.y * np.sin(chi)) / fit.distance
    raw = pattern.sigma**2 * cake.norm.sum(axis=1) ** 2  # variance of counts
    every = cake.pixels.sum(axis=1)
    sums = np.zeros((4, radius.size))
    farthest = _put_in_place(
        radius,
        along,
        turned,
        cake.total,
        cake.dark,
        cake.norm,
        cake.pixels,
        raw / np.maximum(every, 1),
        sums,
    )
    if farthest > _LINEAR * fit.fwhm:
        return None
    net, variance, norm, pixels = sums
    due = every / np.where(pattern.coverage > 0, pattern.coverage, 1)
    there = (norm > 0) & (pixels > 0.5)
    scale = np.where(there, 1.0 / np.where(there, norm, 1.0), 0.0)
    coverage = np.where(there & (due > 0), pixels / np.maximum(due, 1.0), 0.0)
    return Pattern(
        q=pattern.q,
        intensity=net * scale,
        sigma=np.sqrt(np.maximum(variance, 0.0)) * scale,
        coverage=np.minimum(coverage, 1.0),
    )


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _put_in_place(
    radius: Floats,
    along: Floats,
    turned: Floats,
    total: Floats,
    dark: Floats,
    norm: Floats,
    pixels: NDArray[np.int64],
    variance: Floats,
    sums: Floats,
) -> float:
    """Share each cell between the two bins next to its place; the largest shift.

    A cell (n_q, 32) of radius ``r`` belongs to ``r - along - turned r^2`` (both (32,)).
    ``variance`` (n_q,) is that of one pixel's counts. Fills ``sums`` (4, n_q): net
    counts, their variance, ``norm`` and pixels. Cells that end outside are left out.
    """
    bins, sectors = total.shape
    lows = np.zeros(sectors, np.int64)
    farthest = 0.0
    for i in range(bins):
        r = radius[i]
        for s in range(sectors):
            shift = along[s] + turned[s] * r * r
            farthest = max(farthest, abs(shift))
            wanted = r - shift
            if not (radius[0] <= wanted <= radius[bins - 1]) or pixels[i, s] == 0:
                continue
            low = lows[s]
            while low > 0 and radius[low] > wanted:
                low -= 1
            while low < bins - 2 and radius[low + 1] <= wanted:
                low += 1
            lows[s] = low
            part = (wanted - radius[low]) / (radius[low + 1] - radius[low])
            rest = 1.0 - part
            net, count = total[i, s] - dark[i, s], pixels[i, s]
            sums[0, low] += rest * net
            sums[1, low] += rest * variance[i] * count
            sums[2, low] += rest * norm[i, s]
            sums[3, low] += rest * count
            sums[0, low + 1] += part * net
            sums[1, low + 1] += part * variance[i] * count
            sums[2, low + 1] += part * norm[i, s]
            sums[3, low + 1] += part * count
    return farthest
