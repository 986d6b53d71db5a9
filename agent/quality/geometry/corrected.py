"""The pattern that a frame would have with the geometry its own rings ask for.

Each cell is put where it belongs by the measured centre and tilt; counts, their
variance and the normalisation move together, so nothing is gained or lost. It is
information: the plain pattern stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Cake, Flag, Pattern, Quality
from ringwatch.agent.quality.geometry.ring_center import CenterFit

__all__ = ["corrected_pattern"]

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
    shift = fit.dx * np.cos(chi) + fit.dy * np.sin(chi) + np.zeros((radius.size, 1))
    if fit.tilt is not None:
        turned = fit.tilt.x * np.cos(chi) + fit.tilt.y * np.sin(chi)
        shift = shift + radius[:, None] ** 2 / fit.distance * turned
    if np.abs(shift).max() > _LINEAR * fit.fwhm:
        return None
    place = np.interp(
        radius[:, None] - shift, radius, np.arange(radius.size), left=-1.0, right=-1.0
    )
    raw = (pattern.sigma**2 * cake.norm.sum(axis=1) ** 2)[:, None]  # variance of counts
    share = cake.pixels / np.maximum(cake.pixels.sum(axis=1, keepdims=True), 1)
    net, variance, norm, pixels = _rebin(
        place, [cake.total - cake.dark, raw * share, cake.norm, cake.pixels]
    )
    due = cake.pixels.sum(axis=1) / np.where(pattern.coverage > 0, pattern.coverage, 1)
    there = (norm > 0) & (pixels > 0.5)
    scale = np.where(there, 1.0 / np.where(there, norm, 1.0), 0.0)
    coverage = np.where(there & (due > 0), pixels / np.maximum(due, 1.0), 0.0)
    return Pattern(
        q=pattern.q,
        intensity=net * scale,
        sigma=np.sqrt(np.maximum(variance, 0.0)) * scale,
        coverage=np.minimum(coverage, 1.0),
    )


def _rebin(
    place: NDArray[np.float64], columns: Sequence[NDArray[Any]]
) -> list[NDArray[np.float64]]:
    """Share each cell between the two bins next to its place (n_q, 32), and sum."""
    n = place.shape[0]
    inside = place >= 0
    low = np.clip(np.floor(place).astype(np.int64), 0, n - 2)
    part = np.where(inside, place - low, 0.0)
    rest = np.where(inside, 1.0 - part, 0.0)
    sums = [
        np.bincount(low.ravel(), weights=(column * rest).ravel(), minlength=n)
        + np.bincount(low.ravel() + 1, weights=(column * part).ravel(), minlength=n)
        for column in columns
    ]
    return [np.asarray(column, np.float64) for column in sums]
