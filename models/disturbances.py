"""Lines of random crystals to patterns as they are measured.

Half of what decides accuracy on measured data is here: width, texture, impurities,
background, counting noise and the measured range, each on its physical scale.
Impurities and noise cost most, zero shift and texture least. Absorption and preferred
orientation by direction are not simulated: lines carry no indices here, so texture is
a log-normal factor per line.

numpy and numba; deterministic in (seed, number of the first crystal).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ringwatch.models.backgrounds import smooth_backgrounds
from ringwatch.models.crystals import Peaks
from ringwatch.models.diffraction import Grid, lorentz_polarization, render
from ringwatch.models.disturbance_settings import DisturbanceSettings, Range
from ringwatch.models.inputs import Float, InputGrid, channels, resample

__all__ = ["Disturbances"]

Floats = NDArray[np.float64]

CU_K_ALPHA = 1.5418
"""Weighted mean of the K-alpha doublet, Angstrom."""
_K_ALPHA_SPLIT = (-0.00083, 0.00166)
"""Relative shift in q of K-alpha 1 and 2 from their mean (Hoelzer et al., Phys. Rev. A
56 (1997) 4554: 1.540593 and 1.544427 Angstrom)."""


@dataclass(frozen=True)
class _Conditions:
    """How each of B patterns was measured; every array has shape (B,)."""

    clean: NDArray[np.bool_]
    lab: NDArray[np.bool_]
    wavelength: Floats
    polarization: Floats
    width: Floats
    strain: Floats
    eta: Floats
    texture: Floats
    zero_shift: Floats
    scale: Floats
    doublet: NDArray[np.bool_]
    q_low: Floats
    q_high: Floats


@njit(cache=True, nogil=True)
def _add_noise(
    rng: np.random.Generator,
    y: Float,
    q_range: tuple[float, float],
    step: float,
    counts: float,
    log_grid: tuple[float, float],
) -> None:
    """Counting noise of one pattern, drawn point by point as it was measured.

    Bins that hold several points average their noise, bins finer than the points share
    it. Poisson counts are taken as normal.
    """
    m = max(int((q_range[1] - q_range[0]) / step), 2)
    q = np.empty(m)
    noise = np.empty(m)
    for k in range(m):
        q[k] = q_range[0] + k * step
        noise[k] = rng.standard_normal()
    on_bins = np.empty(len(y), np.float32)
    resample(q, noise, log_grid[0], log_grid[1], on_bins)
    for i in range(len(y)):
        y[i] += on_bins[i] * math.sqrt(max(y[i], 0.0) / counts)


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
    """

    def __init__(
        self, settings: DisturbanceSettings, *, seed: int, grid: InputGrid | None = None
    ) -> None:
        self.settings = settings
        self.grid = grid or InputGrid()
        self._seed = seed
        self._drawing = Grid(
            n_bins=self.grid.n_bins,
            q_min=self.grid.q_min,
            q_max=self.grid.q_max,
            logarithmic=True,
        )

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
        rng = np.random.Generator(np.random.Philox(key=[self._seed, first]))
        n = len(peaks.space_group)
        how = self._draw_conditions(rng, n, clean_share)
        start, q, area, fwhm = self._draw_lines(rng, peaks, how)
        y = render(self._drawing, start, q, area, fwhm, how.eta.astype(np.float32))
        bins = self.grid.q
        covered = (bins >= how.q_low[:, None]) & (bins <= how.q_high[:, None])  # (B, n)
        self._cut_gaps(rng, covered, how)
        y *= covered
        y /= np.maximum(y.max(axis=1, keepdims=True), 1e-30)
        disturbed = np.flatnonzero(~how.clean)
        if len(disturbed):
            y[disturbed] = self._contaminate(rng, y[disturbed], how, disturbed)
        return channels(y, covered.astype(np.float32), self.grid)

    def _draw_conditions(
        self, rng: np.random.Generator, n: int, clean_share: float
    ) -> _Conditions:
        """Draw instrument, sample and range of n patterns."""
        s = self.settings
        clean = rng.random(n) < clean_share
        lab = clean | (rng.random(n) < s.lab_share)
        width = np.where(
            clean, _log_uniform(rng, s.clean_width, n), _log_uniform(rng, s.width, n)
        )
        strain = np.where(
            clean, s.clean_strain * rng.random(n), s.strain * rng.random(n) ** 2
        )
        textured = ~clean & (rng.random(n) < s.texture_share)
        full = clean & (rng.random(n) < 0.7)  # 5 to 90 degrees of Cu K-alpha
        low = np.where(lab, 0.30 + 0.5 * rng.random(n), 0.30 + 1.0 * rng.random(n))
        lab_high = np.where(rng.random(n) < 0.6, 5.76, 3.8 + 1.96 * rng.random(n))
        beam_high = np.where(rng.random(n) < 0.4, 6.0, 3.2 + 2.8 * rng.random(n))
        return _Conditions(
            clean=clean,
            lab=lab,
            wavelength=np.where(lab, CU_K_ALPHA, rng.uniform(*s.wavelength, n)),
            # Polarization 1: unpolarized tube; near 0: a reduction corrected for it.
            polarization=np.where(lab, 0.8 + 0.2 * rng.random(n), 0.3 * rng.random(n)),
            width=width,
            strain=strain,
            eta=rng.random(n),
            texture=np.where(textured, s.texture * rng.random(n), 0.0),
            zero_shift=np.where(clean, 0.0, s.zero_shift * rng.standard_normal(n)),
            scale=np.where(clean, 0.0, s.scale * rng.standard_normal(n)),
            doublet=~clean & lab & (rng.random(n) < s.doublet_share),
            q_low=np.where(full, 0.356, low),
            q_high=np.where(full, 5.76, np.where(lab, lab_high, beam_high)),
        )

    def _draw_lines(
        self, rng: np.random.Generator, peaks: Peaks, how: _Conditions
    ) -> tuple[NDArray[np.int64], Float, Float, Float]:
        """Positions, areas and widths of the lines as the instrument shows them."""
        owner = np.repeat(np.arange(len(how.clean)), np.diff(peaks.start))  # (M,)
        q = peaks.q.astype(np.float64)
        area = peaks.strength * _lorentz_polarization(
            q, how.wavelength[owner], how.polarization[owner]
        )
        area *= np.exp(how.texture[owner] * rng.standard_normal(len(q)))
        cos_theta = np.sqrt(
            np.maximum(1 - (q * how.wavelength[owner] / (4 * math.pi)) ** 2, 0.05)
        )
        # A fixed width in angle narrows in q by cos(theta); strain widens with q.
        fwhm = np.hypot(how.width[owner] * cos_theta, how.strain[owner] * q)
        q = q * (1 + how.scale[owner]) + how.zero_shift[owner] * cos_theta
        # Lines of a doublet are doubled in place: alpha 1 with 2/3, alpha 2 with 1/3.
        copies = 1 + how.doublet[owner].astype(np.int64)
        index = np.repeat(np.arange(len(q)), copies)
        second = np.zeros(len(index), bool)
        second[1:] = index[1:] == index[:-1]
        split = how.doublet[owner][index]
        q = q[index] * (1 + np.where(split, np.where(second, *_K_ALPHA_SPLIT[::-1]), 0))
        area = area[index] * np.where(second, 0.5, 1.0)
        counts = np.diff(peaks.start) * (1 + how.doublet)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        f = np.float32
        return (
            start,
            np.maximum(q, 0.05).astype(f),
            area.astype(f),
            fwhm[index].astype(f),
        )

    def _cut_gaps(
        self, rng: np.random.Generator, covered: NDArray[np.bool_], how: _Conditions
    ) -> None:
        """Cut a gap of 0.05 to 0.3 1/Angstrom out of some beamline patterns."""
        for i in np.flatnonzero(
            ~how.lab & (rng.random(len(how.lab)) < self.settings.gap_share)
        ):
            at = rng.uniform(how.q_low[i], how.q_high[i])
            bins = self.grid.q
            covered[i] &= ~((bins > at) & (bins < at + rng.uniform(0.05, 0.3)))

    def _contaminate(
        self,
        rng: np.random.Generator,
        y: Float,
        how: _Conditions,
        which: NDArray[np.intp],
    ) -> Float:
        """Foreign lines, a second phase, background and counting noise: (D, n_bins)."""
        s, n = self.settings, len(which)
        lab = how.lab[which]
        second = (rng.random(n) < s.second_phase_share) * s.second_phase_height
        total = y + (second * rng.random(n))[:, None] * np.roll(y, 1, axis=0)
        self._add_foreign_lines(rng, total, np.maximum(how.width[which], 0.006))
        height = _log_uniform(rng, s.background, n) * (
            rng.random(n) < s.background_share
        )
        total += height[:, None] * smooth_backgrounds(rng, self.grid.q, n)
        total += _log_uniform(rng, s.pedestal, n)[:, None]
        counts = np.where(
            lab,
            _log_uniform(rng, s.lab_counts, n),
            _log_uniform(rng, s.beamline_counts, n),
        )
        step = np.where(
            lab, _log_uniform(rng, s.lab_step, n), _log_uniform(rng, s.beamline_step, n)
        )
        measured = total.astype(np.float32)
        log_grid = (math.log(self.grid.q_min), self.grid.spacing)
        for i, k in enumerate(which):
            q_range = (float(how.q_low[k]), float(how.q_high[k]))
            _add_noise(rng, measured[i], q_range, step[i], counts[i], log_grid)
        return measured

    def _add_foreign_lines(
        self, rng: np.random.Generator, y: NDArray[np.floating], width: Floats
    ) -> None:
        """One to six Gaussian lines of no crystal, most of them weak."""
        s, bins = self.settings, self.grid.q
        for i in np.flatnonzero(rng.random(len(y)) < s.impurity_share):
            for _ in range(rng.integers(1, 7)):
                at = rng.uniform(self.grid.q_min, self.grid.q_max)
                near = slice(
                    *np.searchsorted(bins, [at - 3 * width[i], at + 3 * width[i]])
                )
                line = np.exp(-4 * math.log(2) * ((bins[near] - at) / width[i]) ** 2)
                y[i, near] += s.impurity_height * rng.random() ** 2 * line


def _log_uniform(rng: np.random.Generator, bounds: Range, n: int) -> Floats:
    """Draw n numbers whose logarithm is uniform between the bounds."""
    low, high = bounds
    return low * np.exp(rng.random(n) * math.log(high / low))


def _lorentz_polarization(
    q: Floats, wavelength: Floats, polarization: Floats
) -> Floats:
    """Lorentz and polarization factors, held finite near backscattering."""
    reachable = np.minimum(q, 0.98 * 4 * math.pi / wavelength)
    return lorentz_polarization(reachable, wavelength, polarization)
