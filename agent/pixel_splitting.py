"""I(q) with pixels split over the bins that they touch: by pyFAI's engine."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyFAI.containers import ErrorModel
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.units import to_unit

from ringwatch.agent.dark import Dark
from ringwatch.agent.geometry import MASKED_CELL, Binning
from ringwatch.agent.nouns import Pattern
from ringwatch.agent.pixel_values import usable_pixels

__all__ = ["PixelSplitting"]

_NO_COUNT = np.float32(-1e30)  # a number, which pyFAI can compare with: NaN is none
_ALIKE = 1e25


class PixelSplitting:
    """Integrates frames over the bins of a binning, each pixel split by its area.

    Smoother than whole pixels where rings are narrower than a pixel or few pixels make
    a bin, and several times slower: the engine is pyFAI's (full splitting, CSC). The
    neighbouring points of its patterns are correlated.

    Parameters
    ----------
    geometry : AzimuthalIntegrator
    binning : Binning
        Made of the same geometry.
    polarization : float or None
        Polarization factor along the horizontal, -1..1; None for no correction.
    """

    def __init__(
        self,
        geometry: AzimuthalIntegrator,
        binning: Binning,
        *,
        polarization: float | None = 0.99,
    ) -> None:
        geometry = copy.deepcopy(geometry)  # pyFAI keeps what it makes in it
        self._binning = binning
        self._unused = (binning.cell == MASKED_CELL).reshape(binning.shape)
        # Of whole pixels the outermost centres are the ends; bins as wide as there.
        unit = to_unit("q_A^-1")
        half = 0.5 * (binning.q[-1] - binning.q[0]) / max(binning.q.size - 1, 1)
        low, high = max(binning.q[0] - half, 0.0), binning.q[-1] + half
        self._engine: Any = geometry.setup_sparse_integrator(
            binning.shape,
            binning.q.size,
            mask=self._unused,
            pos0_range=(low / float(unit.scale), high / float(unit.scale)),
            unit=unit,
            split="full",
            algo="CSC",
            scale=False,
        )
        self._solid_angle = geometry.solidAngleArray(binning.shape)
        self._polarization = None
        if polarization is not None:
            self._polarization = geometry.polarization(
                binning.shape, factor=polarization
            )
        self._whole = self._areas(np.ones(binning.shape, np.float32))

    def pattern(
        self,
        frame: NDArray[np.generic],
        dark: Dark | None = None,
    ) -> Pattern:
        """Intensity against q, with the Poisson variance as pyFAI carries it.

        Parameters
        ----------
        frame : (y, x) array
            Raw counts.
        dark : Dark, optional
        """
        counts = np.where(usable_pixels(frame), frame, _NO_COUNT).astype(np.float32)
        below = variance = None
        if dark is not None:
            below = dark.pixels.reshape(self._binning.shape).astype(np.float32)
            raw = np.maximum(counts, 1.0) + np.maximum(below, 0.0) / dark.frames
            variance = np.where(counts == _NO_COUNT, 0.0, raw).astype(np.float32)
        model = ErrorModel.POISSON if variance is None else ErrorModel.VARIANCE
        found = self._engine.integrate_ng(
            counts,
            variance=variance,
            error_model=model,
            dummy=_NO_COUNT,
            delta_dummy=_ALIKE,
            dark=below,
            solidangle=self._solid_angle,
            polarization=self._polarization,
        )
        norm = np.asarray(found.normalization, np.float64)
        area = np.asarray(found.count, np.float64)
        measured = (norm > 0) & (area > 0)
        scale = np.where(measured, 1.0 / np.where(measured, norm, 1.0), 0.0)
        return Pattern(
            q=self._binning.q,
            intensity=np.asarray(found.signal, np.float64) * scale,
            sigma=np.sqrt(np.asarray(found.variance, np.float64)) * scale,
            coverage=np.where(
                measured, np.minimum(area / np.maximum(self._whole, 1e-9), 1.0), 0.0
            ),
        )

    def _areas(self, frame: NDArray[np.float32]) -> NDArray[np.float64]:
        """Pixels of each bin (n_q,), shares counted."""
        found = self._engine.integrate_ng(frame, error_model=ErrorModel.NO)
        return np.asarray(found.count, np.float64)
