"""Patterns to network inputs in torch: what `channels.fill_channels` does, all at once.

Every pattern of a batch has its own range, so that the even grid which the background
is estimated on differs from pattern to pattern; patterns are rows of one matrix, and
what lies beyond a row's end is infinite: no mean with it clips anything.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ringwatch.models.channels import LOG_GAIN, SNIP_STEP, SNIP_WINDOW

__all__ = ["channels_on_device"]


def _ends(covered: Tensor) -> tuple[Tensor, Tensor]:
    """First and last covered bin of each row: (B,) int64; 0 and -1 without any."""
    n = covered.shape[1]
    bins = torch.arange(n, device=covered.device)
    first = torch.where(covered, bins, n).amin(1)
    last = torch.where(covered, bins, -1).amax(1)
    return torch.where(last < 0, 0, first), last


def _clip_peaks(level: Tensor) -> Tensor:
    """SNIP over rows (B, m) that infinite values surround; see `channels`."""
    now = torch.nn.functional.pad(level, (SNIP_WINDOW, SNIP_WINDOW), value=torch.inf)
    for p in range(min(SNIP_WINDOW, (level.shape[1] - 1) // 2), 0, -1):
        mean = (now[:, : -2 * p] + now[:, 2 * p :]).mul_(0.5)
        middle = now[:, p:-p]
        torch.minimum(middle, mean, out=middle)
    return now[:, SNIP_WINDOW:-SNIP_WINDOW]


def _at_steps(y: Tensor, q: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Interpolate rows (B, n) at even steps from bin ``first`` to ``last``: (B, m).

    Steps beyond ``last`` by more than one are infinite.
    """
    low, high = q[first][:, None], q[last.clamp(min=0)][:, None]  # (B, 1)
    number = ((high - low) / SNIP_STEP).long() + 2
    steps = torch.arange(int(number.max()), device=q.device)
    x = torch.minimum(low + steps.double() * SNIP_STEP, high)  # (B, m)
    j = torch.searchsorted(q, x) - 1
    j = torch.maximum(torch.minimum(j, last[:, None] - 1), first[:, None])
    after = torch.minimum(j + 1, last[:, None]).clamp(min=0)
    share = ((x - q[j]) / (q[after] - q[j]).clamp(min=1e-30)).clamp(max=1.0)
    start = y.gather(1, j)
    value = start + share * (y.gather(1, after) - start)
    return torch.where(steps < number, value, torch.inf)


@torch.no_grad()
def channels_on_device(intensity: Tensor, covered: Tensor, q: Tensor) -> Tensor:
    """Network inputs of patterns that lie on the grid already.

    Parameters
    ----------
    intensity : (B, n) float32
        Any unit; values where nothing was measured are ignored.
    covered : (B, n) bool
        Where it was measured.
    q : (n,) float64
        The grid, 1/Angstrom, ascending, on the same device.

    Returns
    -------
    (B, 3, n) float32
        As `ringwatch.models.inputs.channels`; before the square root within 1e-6.
    """
    if not len(intensity):
        return intensity.new_zeros((0, 3, intensity.shape[1]))
    first, last = _ends(covered)
    lowest = torch.where(covered, intensity, torch.inf).amin(1, keepdim=True)
    highest = torch.where(covered, intensity, -torch.inf).amax(1, keepdim=True)
    usable = covered & (highest > lowest)
    # Rows that hold nothing, or one value, get numbers that harm nobody.
    lowest = torch.where(highest > lowest, lowest, 0.0)
    span = torch.where(highest > lowest, highest - lowest, 1.0)
    level = _at_steps(intensity.double(), q, first, last)
    level = ((level - lowest) / span).clamp(min=0.0).sqrt()
    level = _clip_peaks(level.float())
    place = (q - q[first][:, None]) / SNIP_STEP  # (B, n)
    most = ((q[last.clamp(min=0)] - q[first]) / SNIP_STEP).long()[:, None]
    k = torch.minimum(place.long(), most).clamp(min=0)
    left = level.gather(1, k)
    base = left + (place - k) * (level.gather(1, k + 1) - left)  # float64
    above = (intensity - lowest) / span - base * base
    above = torch.where(usable, above, 0.0).clamp(min=0.0).float()
    above /= above.amax(1, keepdim=True).clamp(min=1e-12)
    logarithm = torch.log1p(LOG_GAIN * above) / 7.6
    return torch.stack((above.sqrt(), logarithm, usable.float()), 1)
