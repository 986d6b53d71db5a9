"""The sums of frames on a GPU, many frames at a time, to the same bits as on a CPU.

Integers are added, so the order in which a device adds does not matter. The pixels of a
cell are laid side by side in rows of 32 and the rows are summed: no two threads write
to one place. The few pixels that are odd (marked, negative, very bright) go back and
are settled where the frame came from, by the code that settles them on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ringwatch.agent.errors import SettingsError
from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.nouns import SECTORS
from ringwatch.agent.sums import Summation, Sums

__all__ = ["DeviceSummation", "OnDevice", "find_device"]

_ROW = 32  # pixels: one warp's


def find_device(name: str) -> torch.device:
    """The device of that name, tried out.

    Raises
    ------
    SettingsError
        Where there is none, or it cannot be used.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).partition("\n")[0]
        raise SettingsError(
            f"the device {name!r} cannot be used ({why}): leave out 'device' to sum "
            "frames on the CPU, or install a torch that fits the GPU's driver"
        ) from error
    return device


class OnDevice(NamedTuple):
    """Sums of a batch of frames while they are on the device.

    Attributes
    ----------
    moments : (3, B, n_q * 32) float64
        Total, squares, maximum of the pixels that are not odd.
    zeros : (B, n_q * 32) int64
    masked : (B,) int64
        Sum of the pixels under the mask that are not odd.
    odd : (n, 2) int64
        Frame and pixel of those that are odd, the frames in order.
    """

    moments: Tensor
    zeros: Tensor
    masked: Tensor
    odd: Tensor


class _Rows(NamedTuple):
    """Pixels laid out in rows, and rows in cells; what is empty points at a zero.

    Attributes
    ----------
    pixel : (R * 32,) int64
        Index of the pixel at each place.
    empty : (R, 32) bool
    of_cell : (n_cells, k) int64
        Rows of each cell; ``R`` where it has fewer.
    """

    pixel: Tensor
    empty: Tensor
    of_cell: Tensor

    @classmethod
    def of(cls, cell: NDArray[np.int64], cells: int, device: torch.device) -> _Rows:
        """Lay out the pixels by cell; those of no cell (-1) are left out."""
        order = np.argsort(cell, kind="stable")
        order = order[np.searchsorted(cell[order], 0) :]
        held = np.bincount(cell[order], minlength=cells)
        rows = -(-held // _ROW)
        first = np.concatenate([[0], np.cumsum(rows)])
        before = np.concatenate([[0], np.cumsum(held)])
        of = cell[order]
        place = first[of] * _ROW + np.arange(order.size) - before[of]
        pixel = np.zeros(int(first[-1]) * _ROW, np.int64)
        empty = np.ones(pixel.size, np.bool_)
        pixel[place], empty[place] = order, False
        nth = np.arange(max(int(rows.max(initial=0)), 1))
        of_cell = np.where(nth < rows[:, None], first[:-1, None] + nth, first[-1])
        return cls(
            torch.from_numpy(pixel).to(device),
            torch.from_numpy(empty.reshape(-1, _ROW)).to(device),
            torch.from_numpy(of_cell).to(device),
        )


class DeviceSummation:
    """Sums frames of integers on a device of torch's; not for several threads at once.

    Parameters
    ----------
    binning : Binning
    saturation : float or None
        Count at which a pixel is saturated; by default from the frame's type.
    device : torch.device
        As ``find_device`` gives it; ``cpu`` for tests.
    """

    def __init__(
        self, binning: Binning, saturation: float | None, device: torch.device
    ) -> None:
        self._binning = binning
        self._host = Summation(binning, saturation)
        self.device = device
        cell = binning.cell.astype(np.int64)
        masked = cell == MASKED_CELL
        cells = binning.q.size * SECTORS
        self._rows = _Rows.of(np.where(masked, -1, cell), cells, self.device)
        self._under_mask = _Rows.of(np.where(masked, 0, -1), 1, self.device)
        self._held: NDArray[Any] = np.empty((0, cell.size), np.uint8)

    def staging(self, frames: int, dtype: np.dtype[Any]) -> NDArray[np.generic]:
        """Memory for so many frames (B, y * x) from where the device fetches them fast.

        It is pinned where the device is a GPU, so that a transfer needs no copy.
        """
        pinned = self.device.type == "cuda"
        held = torch.empty(
            (frames, self._binning.cell.size * dtype.itemsize),
            dtype=torch.uint8,
            pin_memory=pinned,
        )
        return held.numpy().view(dtype)

    def transfer(self, frames: NDArray[np.generic]) -> Tensor:
        """Bring frames (B, y * x) of integers to the device, as signed integers."""
        # torch hardly has unsigned integers.
        signed = frames.view(np.dtype(f"i{frames.dtype.itemsize}"))
        held = torch.from_numpy(np.ascontiguousarray(signed))
        return held.to(self.device, non_blocking=True)

    def add(self, there: Tensor, dtype: np.dtype[Any]) -> OnDevice:
        """Sum frames (B, y * x) on the device; ``dtype`` is what they were."""
        limit = self._host.odd_from(dtype)
        values, odd = self._looked_at(there, self._rows, dtype, limit)
        wide = values.to(torch.int64)
        zeros = ((values == 0) & ~odd & ~self._rows.empty).sum(-1)
        maximum = values.amax(-1).to(torch.int64)
        sums = torch.stack([wide.sum(-1), (wide * wide).sum(-1), zeros])
        nothing = sums.new_zeros((3, len(there), 1))
        of_cell = self._rows.of_cell
        sums = torch.cat([sums, nothing], -1)[..., of_cell].sum(-1)
        maximum = torch.cat([maximum, nothing[0]], -1)[..., of_cell].amax(-1)
        below, odd_below = self._looked_at(there, self._under_mask, dtype, limit)
        return OnDevice(
            moments=torch.stack([sums[0], sums[1], maximum]).to(torch.float64),
            zeros=sums[2],
            masked=below.sum((-1, -2)),
            odd=torch.cat(
                [
                    _places(odd, self._rows.pixel),
                    _places(odd_below, self._under_mask.pixel),
                ]
            ),
        )

    def _looked_at(
        self, there: Tensor, rows: _Rows, dtype: np.dtype[Any], limit: int
    ) -> tuple[Tensor, Tensor]:
        """Counts (B, R, 32) int32, 0 where odd or empty, and which of them are odd."""
        values = there.index_select(1, rows.pixel).view(len(there), *rows.empty.shape)
        if dtype.kind == "u" and dtype.itemsize < 4:  # others: what is negative is odd
            values = values.to(torch.int32) & ((1 << 8 * dtype.itemsize) - 1)
        odd = ((values < 0) | (values >= limit)) & ~rows.empty
        values = values.masked_fill(odd | rows.empty, 0).to(torch.int32)
        return values, odd

    def fetch(self, found: OnDevice, frames: Sequence[NDArray[Any]]) -> list[Sums]:
        """Bring the sums of frames (each (y * x,)) back, and settle what is odd."""
        moments, zeros, masked, odd = (tensor.cpu().numpy() for tensor in found)
        shape = self._binning.pixels.shape
        every = []
        for n, flat in enumerate(frames):
            pixels = np.sort(odd[odd[:, 0] == n, 1]).astype(np.int32)
            total, squares, maximum = (
                np.ascontiguousarray(moments[k, n]).reshape(shape) for k in range(3)
            )
            every.append(
                self._host.with_odd(
                    flat,
                    pixels,
                    (total, squares, maximum),
                    zeros[n].reshape(shape),
                    float(masked[n]),
                )
            )
        return every

    def by_cell(self, frames: Sequence[NDArray[Any]]) -> list[Sums]:
        """Sum frames of integers (each (y * x,)), all of one type, per cell.

        The same bits as ``Summation.by_cell`` gives of each.
        """
        dtype = frames[0].dtype
        if self._held.dtype != dtype or len(self._held) < len(frames):
            self._held = self.staging(len(frames), dtype)
        held = self._held[: len(frames)]
        for n, flat in enumerate(frames):
            held[n] = flat
        return self.fetch(self.add(self.transfer(held), dtype), frames)


def _places(odd: Tensor, pixel: Tensor) -> Tensor:
    """Frame and pixel (n, 2) of what is marked (B, R, 32)."""
    frame, place = torch.nonzero(odd.flatten(1), as_tuple=True)
    return torch.stack([frame, pixel[place]], 1)
