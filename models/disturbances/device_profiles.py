"""Lines drawn as pseudo-Voigt profiles in torch: `profiles.render` on a GPU.

The kernel for a CPU walks from line to line and adds into the pattern. Many threads
that do so meet on the same point, and atomic additions have no order. Here the grid is
cut into tiles; each (line, tile) pair is listed, the list is sorted by tile, and every
tile adds up its own lines in the order they came in. So the sum of a point has one
order: the same bits on one device, however patterns are batched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ringwatch.models.diffraction.profiles import NARROWEST, Grid

__all__ = ["render_on_device"]

_LN2 = math.log(2.0)
_ROW = 32
"""Lines that a tile adds up in one go; tiles with more have several rows. A step of the
loop over them is a dozen launches, and few tiles have more lines."""


class _Lines(NamedTuple):
    """Lines of all patterns in the grid's coordinate; every tensor is (M,) float64."""

    owner: Tensor  # pattern, int64
    x: Tensor
    area: Tensor
    width: Tensor
    eta: Tensor
    relative: Tensor  # height in units of the cutoff; 0 for lines that are not drawn


class _Pairs(NamedTuple):
    """(Line, tile) pairs, sorted by tile.

    Attributes
    ----------
    begin : (tiles + 1,) int64; pairs of tile i are ``begin[i]:begin[i + 1]``.
    shape : (P, 5) float32; z of the tile's first point, z from point to point, height,
        first point that is drawn, counted from the tile's first, and point after the
        last.
    """

    begin: Tensor
    shape: Tensor


def _lorentzian(z2: Tensor, height: Tensor) -> Tensor:
    return torch.div(height, z2.add_(1.0), out=z2)


def _gaussian(z2: Tensor, height: Tensor) -> Tensor:
    return z2.mul_(-_LN2).exp_().mul_(height)


def _place_lines(
    grid: Grid,
    start: Tensor,
    q: Tensor,
    area: Tensor,
    fwhm: Tensor,
    eta: Tensor,
    cutoff: float,
) -> _Lines:
    """Positions, widths and heights as the kernel for a CPU works them out."""
    n = len(start) - 1
    numbers = torch.arange(n, device=q.device)
    owner = torch.repeat_interleave(numbers, start.diff(), output_size=len(q))
    centre, size = q.double(), area.double()
    scale = centre if grid.logarithmic else torch.ones_like(centre)
    # The kernel takes the logarithm of a float32 in float32.
    x = centre.log() if grid.logarithmic else centre
    least = NARROWEST * grid.spacing
    height = size / torch.maximum(fwhm.double(), least * scale)
    top = torch.zeros(n, dtype=torch.float64, device=q.device)
    top.scatter_reduce_(0, owner, height, "amax")
    width = torch.clamp(fwhm.double() / scale, min=least)
    size = size / scale
    relative = size / width / (cutoff * top[owner])
    relative = torch.where((top[owner] > 0.0) & (relative >= 0.3), relative, 0.0)
    return _Lines(owner, x, size, width, eta.double()[owner], relative)


def _pair_with_tiles(
    grid: Grid, lines: _Lines, reach: Tensor, height: Tensor, n: int, tile: int
) -> _Pairs:
    """List the tiles that each line reaches into: n patterns of whole tiles."""
    device, tiles = reach.device, -(-grid.n_bins // tile)
    below = (lines.x - reach - grid.origin) / grid.spacing
    above = (lines.x + reach - grid.origin) / grid.spacing
    low = below.long().clamp(min=0)  # (M,)
    high = (above.long() + 2).clamp(max=grid.n_bins)
    drawn = (high > low) & (lines.relative > 0.0) & (height > 0.0)
    number = torch.where(drawn, (high - 1) // tile - low // tile + 1, 0)
    line = torch.repeat_interleave(number)  # (P,)
    before = number.cumsum(0) - number
    of_pattern = torch.arange(len(line), device=device) - before[line]
    of_pattern += low[line] // tile
    place = (lines.owner[line] * tiles + of_pattern).int()
    place, order = torch.sort(place, stable=True)
    line, first_point = line[order], of_pattern[order] * tile
    offset = grid.origin + first_point.double() * grid.spacing - lines.x[line]
    every = torch.arange(n * tiles + 1, device=device, dtype=torch.int32)
    width = lines.width[line]
    shape = (
        2.0 * offset / width,
        2.0 * grid.spacing / width,
        height[line],
        low[line] - first_point,
        high[line] - first_point,
    )
    return _Pairs(
        torch.searchsorted(place, every),
        torch.stack([part.float() for part in shape], 1),
    )


def _add_up(
    pairs: _Pairs, profile: Callable[[Tensor, Tensor], Tensor], out: Tensor
) -> None:
    """Add the lines of every tile to ``out``: (tiles, points of a tile)."""
    device, points = out.device, out.shape[1]
    size = pairs.begin.diff()  # (tiles,)
    rows = (size + _ROW - 1) // _ROW
    tile = torch.repeat_interleave(rows)  # (R,)
    rank = torch.arange(len(tile), device=device) - (rows.cumsum(0) - rows)[tile]
    begin = pairs.begin[tile] + rank * _ROW
    length = torch.minimum(pairs.begin[tile + 1] - begin, rank.new_tensor(_ROW))
    # Longest rows first: those that have a k-th line are the first ones.
    length, order = torch.sort(length, descending=True, stable=True)
    tile, rank, begin = tile[order], rank[order], begin[order]
    steps = torch.arange(_ROW, device=device)
    have = torch.searchsorted(-length, -steps).tolist()
    at = (begin[:, None] + steps).clamp(max=len(pairs.shape) - 1)
    shape = pairs.shape[at].unsqueeze(-1)  # (R, lines of a row, 5, 1)
    t = torch.arange(points, device=device, dtype=torch.float32)
    total = torch.zeros((len(tile), points), device=device)
    for k, active in enumerate(have):
        if active == 0:
            break
        first, step, height, low, high = shape[:active, k].unbind(1)
        z = (t * step).add_(first)  # (active, points)
        drawn = profile(z.mul_(z), height)
        drawn *= (t >= low).logical_and_(t < high)
        total[:active].add_(drawn)
    rank, order = torch.sort(rank, stable=True)
    for these in torch.split(order, torch.bincount(rank).tolist()):
        out[tile[these]] += total[these]  # a tile has one row of each rank


def _check(start: Tensor, q: Tensor, area: Tensor, fwhm: Tensor, eta: Tensor) -> None:
    if not len(q) == len(area) == len(fwhm) or len(eta) != len(start) - 1:
        msg = (
            f"{len(q)} centres, {len(area)} areas, {len(fwhm)} widths; {len(start) - 1}"
            f" patterns, {len(eta)} values of eta: expected equal numbers of each"
        )
        raise ValueError(msg)
    devices = {str(tensor.device) for tensor in (start, q, area, fwhm, eta)}
    if len(devices) > 1:
        msg = f"lines lie on {', '.join(sorted(devices))}: move them to one device"
        raise ValueError(msg)


@torch.no_grad()
def render_on_device(
    grid: Grid,
    start: Tensor,
    q: Tensor,
    area: Tensor,
    fwhm: Tensor,
    eta: Tensor,
    *,
    cutoff: float = 1e-4,
) -> Tensor:
    """Draw B patterns where the tensors are, as the kernel for a CPU does.

    That is `ringwatch.models.diffraction.profiles.render`.

    Parameters
    ----------
    grid : Grid
        Where to draw; n points.
    start : (B + 1,) int64
        Lines of pattern b are ``start[b]:start[b + 1]``; from 0 to M.
    q, area, fwhm : (M,) float32
        Centres above zero and full widths at half maximum in 1/Angstrom; areas.
    eta : (B,) float32
        Lorentzian share of each pattern, 0 to 1.
    cutoff : float
        Where Lorentzian tails end, relative to the highest line.

    Returns
    -------
    (B, n) float32
        Intensity; within 1e-5 of the highest point of what the kernel for a CPU draws,
        on a logarithmic grid within 8e-5, where a logarithm in single precision rounds
        to either side. The same bits however the patterns are batched.

    Raises
    ------
    ValueError
        If lengths or devices disagree.
    """
    _check(start, q, area, fwhm, eta)
    n = len(start) - 1
    # Short windows waste points of long tiles, long windows need many short tiles.
    tile = 16 if grid.n_bins < 4096 else 64
    tiles = -(-grid.n_bins // tile)
    out = torch.zeros((n * tiles, tile), device=q.device)
    if n and len(q):
        lines = _place_lines(grid, start, q, area, fwhm, eta, cutoff)
        reach = 0.5 * (lines.relative * lines.eta).sqrt() * lines.width
        height = lines.area * lines.eta * 2.0 / math.pi / lines.width
        pairs = _pair_with_tiles(grid, lines, reach, height, n, tile)
        _add_up(pairs, _lorentzian, out)
        reach = (0.6 * torch.log2(lines.relative + 1.0).sqrt() + 0.1) * lines.width
        height = lines.area * (1.0 - lines.eta) * math.sqrt(4.0 * _LN2 / math.pi)
        pairs = _pair_with_tiles(grid, lines, reach, height / lines.width, n, tile)
        _add_up(pairs, _gaussian, out)
    return out.view(n, tiles * tile)[:, : grid.n_bins].contiguous()
