"""Batches of random crystals, drawn ahead by threads where a GPU waits for them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.disturbances.device_patterns import DeviceDisturbances
from ringwatch.models.inputs import Float

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True)
class Batch:
    """Network inputs x (B, 3, n_bins) and space groups (B,) of 1 to 230.

    ``x`` is a tensor where a GPU drew it, else an array.
    """

    x: Float | Tensor
    space_group: NDArray[np.int64]


class Batches:
    """Batches in the order they are asked for, whatever draws them.

    A crystal depends on its number and the seed alone; its disturbance on the seed, the
    number of its batch's first crystal, the batch's size and the clean share. Threads
    that draw ahead change nothing but the time, and that a falling clean share comes
    ``2 * threads`` batches late.

    Parameters
    ----------
    crystals : CrystalGenerator
        Where lines come from.
    disturbances : Disturbances or DeviceDisturbances
        What becomes of them.
    size : int
        Patterns a batch.
    threads : int
        Threads that draw ahead; 0: drawn when asked for. The kernels release the GIL.
    """

    def __init__(
        self,
        crystals: CrystalGenerator,
        disturbances: Disturbances | DeviceDisturbances,
        size: int,
        *,
        threads: int = 0,
    ) -> None:
        self._crystals, self._disturbances = crystals, disturbances
        self.size, self._threads = size, threads
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._ahead: deque[tuple[int, Future[Batch]]] = deque()

    def take(self, first: int, stride: int, clean_share: float) -> Batch:
        """Draw the patterns ``first`` to ``first + size - 1``.

        Parameters
        ----------
        first : int
            Number of the first crystal.
        stride : int
            By how much ``first`` will grow at the next call.
        clean_share : float
            Share of clean patterns; what was drawn ahead keeps the share of its time.
        """
        if self._pool is None:
            return self._draw(first, clean_share)
        if self._ahead and self._ahead[0][0] != first:
            self._ahead.clear()
        following = self._ahead[-1][0] + stride if self._ahead else first
        while len(self._ahead) < 2 * self._threads:
            work = self._pool.submit(self._draw, following, clean_share)
            self._ahead.append((following, work))
            following += stride
        return self._ahead.popleft()[1].result()

    def close(self) -> None:
        """Stop drawing ahead."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _draw(self, first: int, clean_share: float) -> Batch:
        peaks = self._crystals.peaks(first, self.size)
        x = self._disturbances.patterns(peaks, first, clean_share)
        return Batch(x, peaks.space_group)
