"""Lines to network inputs on a GPU: what `disturbances.Disturbances` does, in torch.

What is few numbers is drawn on the CPU's cores, by the same code: crystals, lines,
conditions. What is many, one number a bin, is worked out where the network trains. The
numbers are the CPU's to rounding; only the counts are others, of the same distribution.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ringwatch.models.crystals import Peaks
from ringwatch.models.disturbances.device_channels import channels_on_device
from ringwatch.models.disturbances.device_counting import count_on_device
from ringwatch.models.disturbances.device_profiles import render_on_device
from ringwatch.models.disturbances.exposures import Exposure, Lines, draw_exposure
from ringwatch.models.disturbances.patterns import Disturbances
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.inputs import InputGrid

__all__ = ["DeviceDisturbances"]


class DeviceDisturbances:
    """Turns lines into network inputs on a device.

    Threads may share one: they draw side by side and take turns on the device, where
    the work has a stream of its own beside the training's.

    Parameters
    ----------
    settings : DisturbanceSettings
        Ranges to draw from.
    seed : int
        Together with the number of the first crystal it fixes everything.
    device : torch.device
        Where the patterns are made; "cpu" is for tests and slower than `Disturbances`.
    grid : InputGrid, optional
        The network's grid.
    """

    def __init__(
        self,
        settings: DisturbanceSettings,
        *,
        seed: int,
        device: torch.device,
        grid: InputGrid | None = None,
    ) -> None:
        self.device = device
        self._on_cpu = Disturbances(settings, seed=seed, grid=grid)
        self._turn = threading.Lock()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        with self._beside_training():
            self._q = self._put(self._on_cpu.grid.q)

    def patterns(self, peaks: Peaks, first: int, clean_share: float) -> Tensor:
        """Network inputs of one batch of crystals.

        Parameters
        ----------
        peaks : Peaks
            Lines of B crystals.
        first : int
            Number of the first crystal.
        clean_share : float
            Share of patterns left clean.

        Returns
        -------
        (B, 3, n_bins) float32
            On the device, ready for its default stream.
        """
        on_cpu = self._on_cpu
        rng = on_cpu.generator(first)
        exposure = draw_exposure(rng, on_cpu.settings, on_cpu.grid, peaks, clean_share)
        seed = int(rng.integers(2**63))
        with self._turn, self._beside_training():
            x = self._finish(exposure, seed)
            if self._stream is not None:
                self._stream.synchronize()
                # The allocator must not hand its memory out while training reads it.
                x.record_stream(torch.cuda.default_stream(self.device))
        return x

    def _beside_training(self) -> AbstractContextManager[object]:
        """Own stream: waiting for sizes then does not wait for the training step."""
        if self._stream is None:
            return nullcontext()
        return torch.cuda.stream(self._stream)

    @torch.no_grad()
    def _finish(self, exposure: Exposure, seed: int) -> Tensor:
        """Draw, contaminate, count: (B, 3, n_bins)."""
        covered = self._put(exposure.covered)
        y = self._render(exposure.lines) * covered
        y /= y.amax(1, keepdim=True).clamp(min=1e-30)
        if len(exposure.disturbed):
            disturbed = self._put(exposure.disturbed)
            y[disturbed] = self._contaminate(y[disturbed], exposure, seed)
        return channels_on_device(y, covered, self._q)

    def _contaminate(self, y: Tensor, exposure: Exposure, seed: int) -> Tensor:
        """Foreign lines, a second phase, background and counting noise: (D, n_bins)."""
        background = self._put(exposure.background)
        total = y[self._put(exposure.partner)]
        total *= self._put(exposure.second[:, None])
        total += y
        total += self._render(exposure.foreign)
        total += background
        # A counter that is dead after each count.
        loss = self._put(exposure.loss[:, None])
        total /= 1.0 + loss * total
        background = background / (1.0 + loss * background)
        source = torch.Generator(self.device).manual_seed(seed)
        return count_on_device(
            source, total, background, self._on_cpu.edges, exposure.counting
        )

    def _render(self, lines: Lines) -> Tensor:
        """Draw lines on the network's grid: (B, n_bins)."""
        return render_on_device(
            self._on_cpu.drawing,
            self._put(lines.start),
            self._put(lines.q),
            self._put(lines.area),
            self._put(lines.fwhm),
            self._put(lines.eta),
        )

    def _put(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)
