"""How each pattern of a batch was measured: drawn from the settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.disturbances.aberrations import CU_K_ALPHA, Alignment
from ringwatch.models.disturbances.counting import CUT, FOLDED, RAW
from ringwatch.models.disturbances.settings import DisturbanceSettings, Range

__all__ = [
    "ARCHIVE",
    "BEAMLINE",
    "CLEAN",
    "LAB",
    "Conditions",
    "draw_conditions",
    "log_uniform",
]

Floats = NDArray[np.float64]

CLEAN, ARCHIVE, LAB, BEAMLINE = range(4)
"""Kinds of instrument; see `DisturbanceSettings`."""
_PERFECT = 1e6
"""Factor on the counts of a quiet pattern."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How each of B patterns was measured; every array has shape (B,).

    Attributes
    ----------
    kind : `CLEAN`, `ARCHIVE`, `LAB` or `BEAMLINE`.
    alignment : what becomes of the lines.
    quiet : whether sample and detector are perfect, and only the optics are not.
    eta : Lorentzian share of the profile.
    march : March-Dollase parameter; 1: no texture.
    grains : crystallites in reflection per direction of a form.
    q_low, q_high, step : range and step, 1/Angstrom.
    counts : per step at the top of the strongest line.
    loss : counting loss at the top of the strongest line; 0: none.
    ceiling : where the detector saturates, relative to the strongest line.
    treatment, base : see `ringwatch.models.disturbances.counting.Counting`.
    """

    kind: NDArray[np.int64]
    alignment: Alignment
    quiet: NDArray[np.bool_]
    eta: Floats
    march: Floats
    grains: Floats
    q_low: Floats
    q_high: Floats
    step: Floats
    counts: Floats
    loss: Floats
    ceiling: Floats
    treatment: NDArray[np.int64]
    base: Floats


def draw_conditions(
    rng: np.random.Generator, s: DisturbanceSettings, n: int, clean_share: float
) -> Conditions:
    """Draw instrument, sample and range of n patterns.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    s : DisturbanceSettings
        Ranges to draw from.
    n : int
        How many.
    clean_share : float
        Share of clean ones, 0 to 1.
    """
    kind = _draw_kinds(rng, s, n, clean_share)
    clean, tube = kind == CLEAN, (kind == ARCHIVE) | (kind == LAB)
    quiet = clean | (rng.random(n) < s.quiet_share)
    textured = ~quiet & (rng.random(n) < s.texture_share)
    q_low, q_high = _draw_ranges(rng, kind)
    folded = np.where(rng.random(n) < s.folded_share, FOLDED, CUT)
    saturated = (kind == BEAMLINE) & (rng.random(n) < s.saturation_share)
    slow = tube & (rng.random(n) < s.loss_share)
    steps = (s.archive_step, s.archive_step, s.lab_step, s.beamline_step)
    counts = (s.archive_counts, s.archive_counts, s.lab_counts, s.beamline_counts)
    return Conditions(
        kind=kind,
        alignment=_draw_alignment(rng, s, kind),
        # Lines of tubes are nearer Lorentz than Gauss: measured, 0.2 to 1.
        quiet=quiet,
        eta=np.where(tube, np.sqrt(rng.random(n)), rng.random(n)),
        march=np.where(textured, np.exp(rng.uniform(-s.texture, s.texture, n)), 1.0),
        grains=np.where(quiet, np.inf, log_uniform(rng, s.grains, n)),
        q_low=q_low,
        q_high=q_high,
        step=_by_kind(rng, steps, kind),
        counts=_by_kind(rng, counts, kind) * np.where(quiet, _PERFECT, 1.0),
        loss=np.where(slow, s.loss * rng.random(n), 0.0),
        ceiling=np.where(saturated, rng.uniform(0.2, 0.9, n), np.inf),
        treatment=np.where(kind == ARCHIVE, folded, RAW),
        base=rng.uniform(0.0, 1.2, n),
    )


def _draw_kinds(
    rng: np.random.Generator, s: DisturbanceSettings, n: int, clean_share: float
) -> NDArray[np.int64]:
    """Which instrument each pattern comes from."""
    kind = np.where(rng.random(n) < s.lab_share, LAB, BEAMLINE)
    kind[(kind == LAB) & (rng.random(n) < s.archive_share)] = ARCHIVE
    kind[rng.random(n) < clean_share] = CLEAN
    return kind


def _draw_alignment(
    rng: np.random.Generator, s: DisturbanceSettings, kind: NDArray[np.int64]
) -> Alignment:
    """Draw what the instruments do to lines."""
    n = len(kind)
    clean, beamline = kind == CLEAN, kind == BEAMLINE
    tube = ~clean & ~beamline
    widths = (s.clean_width, s.archive_width, s.lab_width, s.width)
    strain = log_uniform(rng, (0.01 * s.strain, s.strain), n)
    normal = rng.standard_normal((3, n))
    flat = beamline & (rng.random(n) < s.flat_share)
    long_beam = tube & (rng.random(n) < s.overflow_share)
    sines = np.sin(np.radians(rng.uniform(4.0, 12.0, n)))  # of theta
    return Alignment(
        wavelength=np.where(beamline, rng.uniform(*s.wavelength, n), CU_K_ALPHA),
        # Polarization 1: unpolarized tube; near 0: a reduction corrected for it.
        polarization=np.where(beamline, 0.3 * rng.random(n), 0.8 + 0.2 * rng.random(n)),
        width=_by_kind(rng, widths, kind),
        depth=np.where(flat, s.depth * rng.random(n), -1.0),
        strain=np.where(clean, s.clean_strain * rng.random(n), strain),
        zero_shift=np.where(clean, 0.0, s.zero_shift * normal[0]),
        displacement=np.where(tube, s.displacement * normal[1], 0.0),
        scale=np.where(clean, 0.0, s.scale * normal[2]),
        divergence=np.where(tube, log_uniform(rng, s.divergence, n), 0.0),
        doublet=(tube & (rng.random(n) < s.doublet_share)).astype(np.float64),
        overflow=np.where(long_beam, sines, 0.0),
    )


def _draw_ranges(
    rng: np.random.Generator, kind: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Lowest and highest q of each pattern, 1/Angstrom."""
    n = len(kind)
    beamline = kind == BEAMLINE
    # 5 to 90 degrees of Cu K-alpha is what archives and textbooks have.
    full = ((kind == CLEAN) | (kind == ARCHIVE)) & (rng.random(n) < 0.7)
    low = 0.30 + np.where(beamline, 1.0, 0.5) * rng.random(n)
    lab_high = np.where(rng.random(n) < 0.5, 5.76, 3.8 + 1.96 * rng.random(n))
    beam_high = np.where(rng.random(n) < 0.4, 6.0, 3.2 + 2.8 * rng.random(n))
    high = np.where(beamline, beam_high, lab_high)
    return np.where(full, 0.356, low), np.where(full, 5.76, high)


def _by_kind(
    rng: np.random.Generator, bounds: tuple[Range, ...], kind: NDArray[np.int64]
) -> Floats:
    """Draw each number between the bounds of its kind, log-uniform."""
    low, high = np.array(bounds)[kind].T
    return _log_between(rng, low, high)


def log_uniform(rng: np.random.Generator, bounds: Range, n: int) -> Floats:
    """Draw n numbers whose logarithm is uniform between the bounds."""
    return _log_between(rng, np.full(n, bounds[0]), np.full(n, bounds[1]))


def _log_between(rng: np.random.Generator, low: Floats, high: Floats) -> Floats:
    """One number between each pair; equal bounds, 0 and infinity too, give themselves.

    Drawn all the same, so that a setting does not change what is drawn after it.
    """
    share = rng.random(len(low))
    drawn = low.astype(np.float64)
    wide = high > low
    drawn[wide] *= (high[wide] / low[wide]) ** share[wide]
    return drawn
