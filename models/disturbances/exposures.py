"""All that is random about a batch of patterns but its counting noise, in one noun."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.crystals import Peaks
from ringwatch.models.disturbances.aberrations import instrument_lines
from ringwatch.models.disturbances.backgrounds import smooth_backgrounds
from ringwatch.models.disturbances.conditions import (
    ARCHIVE,
    BEAMLINE,
    CLEAN,
    Conditions,
    draw_conditions,
    log_uniform,
)
from ringwatch.models.disturbances.counting import Counting
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.disturbances.texture import directions_of_forms, line_factors
from ringwatch.models.inputs import InputGrid

__all__ = ["Exposure", "Lines", "draw_exposure"]

Float = NDArray[np.float32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_GAUSS = math.sqrt(math.pi / (4.0 * math.log(2.0)))
"""Area of a Gaussian of height 1 and FWHM 1."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What `ringwatch.models.diffraction.render` draws.

    Attributes
    ----------
    start : (B + 1,) int64
        Lines of pattern b are ``start[b]:start[b + 1]``.
    q, area, fwhm : (M,) float32
        1/Angstrom; area in units of intensity times 1/Angstrom.
    eta : (B,) float32
        Lorentzian share of each pattern.
    """

    start: NDArray[np.int64]
    q: Float
    area: Float
    fwhm: Float
    eta: Float


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """B patterns, D of them disturbed, before they are drawn and counted.

    Attributes
    ----------
    lines : Lines
        Of our crystals.
    covered : (B, n_bins) bool
        Where something was measured.
    disturbed : (D,) int
        Which patterns what follows belongs to.
    partner, second : (D,) int, (D,) float32
        Number among the disturbed of the pattern that is the second phase, and the
        height of its strongest line relative to ours.
    foreign : Lines
        Of no crystal; heights are relative to our strongest line.
    background : (D, n_bins) float32
        Relative to our strongest line.
    loss : (D,) float32
        Counting loss at the top of our strongest line.
    counting : Counting
        How they are counted.
    """

    lines: Lines
    covered: Bools
    disturbed: NDArray[np.intp]
    partner: NDArray[np.intp]
    second: Float
    foreign: Lines
    background: Float
    loss: Float
    counting: Counting


def draw_exposure(
    rng: np.random.Generator,
    settings: DisturbanceSettings,
    grid: InputGrid,
    peaks: Peaks,
    clean_share: float,
) -> Exposure:
    """Draw what B crystals are measured with.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    settings : DisturbanceSettings
        Ranges to draw from.
    grid : InputGrid
        The network's grid.
    peaks : Peaks
        Lines of the crystals.
    clean_share : float
        Share of clean patterns, 0 to 1.
    """
    how = draw_conditions(rng, settings, len(peaks.space_group), clean_share)
    directions = directions_of_forms(peaks.space_group)
    factor = line_factors(rng, peaks.start, directions, how.march, how.grains)
    strength = peaks.strength * factor
    start, q, area, fwhm = instrument_lines(
        peaks.start, peaks.q, strength, how.alignment
    )
    which = np.flatnonzero(how.kind != CLEAN)
    kind, width, quiet = how.kind[which], how.alignment.width[which], how.quiet[which]
    second = log_uniform(rng, settings.second_phase_height, len(which))
    second[quiet | (rng.random(len(which)) >= settings.second_phase_share)] = 0.0
    return Exposure(
        lines=Lines(
            start=start, q=q, area=area, fwhm=fwhm, eta=how.eta.astype(np.float32)
        ),
        covered=_draw_coverage(rng, settings, grid, how),
        disturbed=which,
        partner=_alike(kind, width),
        second=second.astype(np.float32),
        foreign=_draw_foreign_lines(rng, settings, grid, width, quiet),
        background=_draw_backgrounds(rng, settings, grid, kind, quiet),
        loss=how.loss[which].astype(np.float32),
        counting=Counting(
            how.q_low[which],
            how.q_high[which],
            how.step[which],
            how.counts[which],
            how.ceiling[which],
            how.treatment[which],
            how.base[which],
        ),
    )


def _draw_coverage(
    rng: np.random.Generator, s: DisturbanceSettings, grid: InputGrid, how: Conditions
) -> Bools:
    """Range of each pattern, less a gap of 0.05 to 0.3 1/Angstrom in some: (B, n)."""
    bins, n = grid.q, len(how.kind)
    covered = (bins >= how.q_low[:, None]) & (bins <= how.q_high[:, None])
    split = (how.kind == BEAMLINE) & (rng.random(n) < s.gap_share)
    low = rng.uniform(how.q_low, how.q_high)
    high = low + rng.uniform(0.05, 0.3, n)
    for i in np.flatnonzero(split):
        covered[i] &= ~((bins > low[i]) & (bins < high[i]))
    return covered


def _draw_foreign_lines(
    rng: np.random.Generator,
    s: DisturbanceSettings,
    grid: InputGrid,
    width: Floats,
    quiet: Bools,
) -> Lines:
    """One to six Gaussian lines of no crystal in some of D patterns."""
    n = len(width)
    number = rng.integers(1, 7, n) * (~quiet & (rng.random(n) < s.impurity_share))
    start = np.concatenate([[0], np.cumsum(number)]).astype(np.int64)
    m = int(start[-1])
    at = rng.uniform(grid.q_min, grid.q_max, m)
    fwhm = np.repeat(np.maximum(width, 0.006), number)
    area = log_uniform(rng, s.impurity_height, m) * fwhm * _GAUSS
    f = np.float32
    return Lines(
        start=start,
        q=at.astype(f),
        area=area.astype(f),
        fwhm=fwhm.astype(f),
        eta=np.zeros(n, f),
    )


def _draw_backgrounds(
    rng: np.random.Generator,
    s: DisturbanceSettings,
    grid: InputGrid,
    kind: NDArray[np.int64],
    quiet: Bools,
) -> Float:
    """Pedestals and smooth backgrounds: (D, n_bins), strongest line 1."""
    n = len(kind)
    pedestal = np.where(
        kind == ARCHIVE,
        log_uniform(rng, s.archive_pedestal, n),
        log_uniform(rng, s.pedestal, n),
    )
    height = log_uniform(rng, s.background, n)
    height[quiet | (rng.random(n) >= s.background_share)] = 0.0
    # What archives took off was even: its noise is the same at all angles.
    height = np.where(kind == ARCHIVE, 0.4 * rng.random(n) * pedestal, height)
    ground = smooth_backgrounds(rng, grid.q, n)
    ground *= height.astype(np.float32)[:, None]
    ground += pedestal.astype(np.float32)[:, None]
    return ground


def _alike(kind: NDArray[np.int64], width: Floats) -> NDArray[np.intp]:
    """For each pattern another one of the same kind of instrument and a like width."""
    order = np.lexsort((width, kind))
    partner = np.empty(len(kind), np.intp)
    partner[order] = np.roll(order, 1)
    return partner
