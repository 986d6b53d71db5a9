"""What a dark took away from a frame's profile: too much, or rings of its own."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["net_and_dark"]

Floats = NDArray[np.float64]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def net_and_dark(
    mean: Floats,
    variance: Floats,
    whole: Floats,
    dark: Floats,
    half: int,
    stretch: int,
) -> tuple[float, float, float, float, float, float]:
    """Lowest stretch of net counts, and the frame's rings in the dark.

    Gives for the stretch of ``stretch`` bins that lies farthest below zero its z, the
    counts missing over those of the dark there, and over the frame's mean light; then
    the slope of the dark's sharp structure (what differs from the mean over ``half``
    bins to either side) against the frame's, its sigma from the scatter about it, and
    the degrees of freedom.
    """
    n, sectors = dark.shape
    weight, counts, darks = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    light = 0.0
    for i in range(n):
        w, d = max(whole[i], 0.0), 0.0
        for s in range(sectors):
            d += dark[i, s]
        weight[i + 1] = weight[i] + w
        counts[i + 1] = counts[i] + w * mean[i]
        darks[i + 1] = darks[i] + (d if w > 0.0 else 0.0)
        light += w * abs(mean[i])
    lowest = excess = share = 0.0
    net = noise = 0.0
    start = 0
    for i in range(n):
        net += max(whole[i], 0.0) * mean[i]
        noise += max(whole[i], 0.0) * variance[i]
        if i + 1 - start < stretch and i + 1 < n:
            continue
        z = net / math.sqrt(noise) if noise > 0.0 else 0.0
        if z < lowest:
            below = darks[i + 1] - darks[start]
            typical = light * (weight[i + 1] - weight[start]) / weight[n]
            lowest = z
            excess = -net / below if below > 0.0 else 0.0
            share = -net / typical if typical > 0.0 else 0.0
        start, net, noise = i + 1, 0.0, 0.0
    power = match = own = 0.0
    used = 0
    for i in range(n):
        w = whole[i]
        a, b = max(i - half, 0), min(i + half + 1, n)
        mass = weight[b] - weight[a]
        if w <= 0.0 or mass <= 1.5 * w:
            continue
        sharp = mean[i] - (counts[b] - counts[a]) / mass
        in_dark = (darks[i + 1] - darks[i]) / w - (darks[b] - darks[a]) / mass
        power += w * sharp * sharp
        match += w * sharp * in_dark
        own += w * in_dark * in_dark
        used += 1
    slope = 0.0 if power == 0.0 else match / power
    rest = max(own - slope * match, 0.0)
    freedom = used - 2.0
    sigma = math.sqrt(rest / freedom / power) if power > 0.0 and freedom > 0.0 else 0.0
    return lowest, excess, share, slope, sigma, freedom
