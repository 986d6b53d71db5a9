"""Lines of random crystals to patterns as they are measured.

Half of what decides accuracy on measured data is here: width, texture, impurities,
background, counting noise and the measured range, each on its physical scale. Noise,
foreign lines and width cost most, zero shift least. Absorption within the sample is not
simulated, and texture knows no directions: lines carry no indices here.

numpy and numba; deterministic in (seed, number of the first crystal, batch size).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.crystals import Peaks
from ringwatch.models.diffraction import Grid, render
from ringwatch.models.disturbances.counting import count
from ringwatch.models.disturbances.exposures import Exposure, Lines, draw_exposure
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.inputs import Float, InputGrid, channels

__all__ = ["Disturbances"]


class Disturbances:
    """Turns lines into network inputs.

    Parameters
    ----------
    settings : DisturbanceSettings
        Ranges to draw from.
    seed : int
        Together with the number of the first crystal it fixes everything.
    grid : InputGrid, optional
        The network's grid.

    Attributes
    ----------
    edges : (n_bins + 1,) float64
        Of the grid's bins, 1/Angstrom.
    drawing : Grid
        The network's grid, as `render` takes it.
    """

    def __init__(
        self, settings: DisturbanceSettings, *, seed: int, grid: InputGrid | None = None
    ) -> None:
        self.settings = settings
        self.grid = grid or InputGrid()
        self.drawing = Grid(
            n_bins=self.grid.n_bins,
            q_min=self.grid.q_min,
            q_max=self.grid.q_max,
            logarithmic=True,
        )
        half = math.exp(0.5 * self.grid.spacing)
        self.edges: NDArray[np.float64] = np.append(
            self.grid.q / half, self.grid.q_max * half
        )
        self._seed = seed

    def patterns(self, peaks: Peaks, first: int, clean_share: float) -> Float:
        """Network inputs of one batch of crystals.

        Parameters
        ----------
        peaks : Peaks
            Lines of B crystals.
        first : int
            Number of the first crystal.
        clean_share : float
            Share of patterns left clean: a well-aligned laboratory instrument without
            noise or background.

        Returns
        -------
        ndarray, (B, 3, n_bins), float32
        """
        rng = self.generator(first)
        exposure = draw_exposure(rng, self.settings, self.grid, peaks, clean_share)
        y = self._render(exposure.lines)
        y *= exposure.covered
        y /= np.maximum(y.max(axis=1, keepdims=True), 1e-30)
        disturbed = exposure.disturbed
        if len(disturbed):
            y[disturbed] = self._contaminate(rng, y[disturbed], exposure)
        return channels(y, exposure.covered.astype(np.float32), self.grid)

    def generator(self, first: int) -> np.random.Generator:
        """Source of randomness of the batch that begins with crystal ``first``."""
        return np.random.Generator(np.random.Philox(key=[self._seed, first]))

    def _render(self, lines: Lines) -> Float:
        """Draw lines on the network's grid: (B, n_bins)."""
        return render(
            self.drawing, lines.start, lines.q, lines.area, lines.fwhm, lines.eta
        )

    def _contaminate(
        self, rng: np.random.Generator, y: Float, exposure: Exposure
    ) -> Float:
        """Foreign lines, a second phase, background and counting noise: (D, n_bins)."""
        total = y + exposure.second[:, None] * y[exposure.partner]
        total += self._render(exposure.foreign)
        total += exposure.background
        # A counter that is dead after each count.
        loss = exposure.loss[:, None]
        total /= 1.0 + loss * total
        background = exposure.background / (1.0 + loss * exposure.background)
        count(rng, total, background, self.edges, exposure.counting)
        return total
