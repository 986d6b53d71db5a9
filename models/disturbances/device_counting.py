"""Counting noise in torch: the distribution that `counting.count` draws, on a GPU."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ringwatch.models.disturbances.counting import FOLDED, RAW, Counting

__all__ = ["count_on_device"]

_POISSON_BELOW = 200.0
"""Counts per bin above which a normal deviate is Poisson enough: skewness 0.07."""
_SKEWED_ABOVE = 3.0
"""Counts per point above which a normal deviate and Poisson's skewness will do."""


def _points_of_bins(edges: Tensor, how: Counting) -> Tensor:
    """How many points of the measurement fall into each bin: (D, n) float32."""
    q_low, q_high, step = (
        torch.from_numpy(values[:, None]).to(edges.device)
        for values in (how.q_low, how.q_high, how.step)
    )
    ends = ((edges - q_low) / step).ceil()  # (D, n + 1)
    last = ((q_high - q_low) / step).trunc()
    points = torch.minimum(ends[:, 1:], last + 1.0) - ends[:, :-1].clamp(min=0.0)
    return points.clamp(min=0.0).float()


def _count_raw(source: torch.Generator, mean: Tensor, points: Tensor) -> Tensor:
    """Mean counts of the points of each bin."""
    number = points.clamp(min=1.0)
    total = number * mean
    few = total < _POISSON_BELOW
    counted = torch.poisson(torch.where(few, total, 0.0), source) / number
    z = torch.empty_like(mean).normal_(generator=source)
    return torch.where(few, counted, mean + (mean / number).sqrt() * z)


def _count_treated(
    source: torch.Generator,
    mean: Tensor,
    points: Tensor,
    base: Tensor,
    folded: Tensor,
    most: int,
) -> Tensor:
    """Mean over the points of each bin of counts less ``base``, folded or cut at 0."""
    root, total = mean.sqrt(), torch.zeros_like(mean)
    few = mean < _SKEWED_ABOVE
    rate = torch.where(few, mean, 0.0)
    for point in range(most):
        z = torch.empty_like(mean).normal_(generator=source)
        value = mean + root * z + (z * z - 1.0) / 6.0
        value = torch.where(few, torch.poisson(rate, source), value) - base
        value = torch.where(folded, value.abs(), value.clamp(min=0.0))
        total += torch.where(point < points, value, 0.0)
    return total / points.clamp(min=1.0)


def _fill_between(y: Tensor, measured: Tensor) -> Tensor:
    """Interpolate the bins that lie between measured ones: (D, n)."""
    n = y.shape[1]
    bins = torch.arange(n, device=y.device)
    left = torch.where(measured, bins, -1).cummax(1).values
    right = torch.where(measured, bins, n).flip(1).cummin(1).values.flip(1)
    between = ~measured & (left >= 0) & (right < n)
    low, high = left.clamp(min=0), right.clamp(max=n - 1)
    start = y.gather(1, low)
    slope = (y.gather(1, high) - start) / (high - low).clamp(min=1)
    return torch.where(between, start + slope * (bins - low), y)


@torch.no_grad()
def count_on_device(
    source: torch.Generator,
    y: Tensor,
    background: Tensor,
    edges: NDArray[np.float64],
    how: Counting,
) -> Tensor:
    """Count patterns point by point and average the points of each bin.

    Parameters
    ----------
    source : torch.Generator
        Source of randomness, of the patterns' device. The numbers depend on the device
        and the batch; their distribution is that of
        `ringwatch.models.disturbances.counting.count`.
    y, background : (D, n) float32
        Intensity with background, strongest line near 1; the background in it.
    edges : (n + 1,) float64
        Of the bins, 1/Angstrom, ascending.
    how : Counting
        Counts, steps, and what was done afterwards.

    Returns
    -------
    (D, n) float32
        The same with noise.
    """
    if not len(y):
        return y
    device = y.device

    def column(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values[:, None].astype(np.float32)).to(device)

    points = _points_of_bins(torch.from_numpy(edges).to(device), how)
    counts = column(how.counts)
    mean = counts * y.clamp(min=0.0)  # (D, n)
    value = torch.empty_like(y)
    raw = torch.from_numpy(np.flatnonzero(how.treatment == RAW)).to(device)
    value[raw] = _count_raw(source, mean[raw], points[raw])
    which = np.flatnonzero(how.treatment != RAW)
    if len(which):
        treated = torch.from_numpy(which).to(device)
        level = counts[treated] * background[treated]
        base = level - column(how.base[which]) * level.clamp(min=0.0).sqrt()
        folded = torch.from_numpy(how.treatment[which, None] == FOLDED).to(device)
        # Known without asking the device: the widest bin by the finest step.
        most = math.ceil(np.diff(edges).max() / how.step[which].min()) + 1
        value[treated] = _count_treated(
            source, mean[treated], points[treated], base, folded, most
        )
    measured = points > 0.0
    value = torch.minimum(value / counts, column(how.ceiling))
    return _fill_between(torch.where(measured, value, y), measured)
