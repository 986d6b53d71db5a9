"""What goes wrong at no flag's notice: conditions that a beamline would teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ringwatch.benchmarks.pattern_runs import Blend, expected_pattern, pixels_of_bins
from ringwatch.simulated_beamline.phases import PHASES

__all__ = ["CONDITIONS", "TAUGHT_AS", "Condition"]

Floats = NDArray[np.float64]
Condition = Callable[[Floats, float], Floats]
"""Expected counts (n,) of a pattern, and how strong: expected counts with it."""

TAUGHT_AS = 0.08
"""Strength of the taught frames: counts of it over counts of all else."""


@lru_cache(maxsize=4)
def _lines(name: str) -> Floats:
    """Rings of one phase that hold one count in all."""
    return expected_pattern(
        Blend(((PHASES[name], 1.0),)), counts=1.0, background=0.0, temperature=298.0
    )


def _foil(counts: Floats, strength: float) -> Floats:
    """An aluminium foil or gasket in the beam: its rings over the sample's."""
    return np.asarray(counts + strength * counts.sum() * _lines("Al"))


def _grit(counts: Floats, strength: float) -> Floats:
    """A second phase sets in: quartz."""
    return np.asarray(counts + strength * counts.sum() * _lines("quartz"))


def _solvent(counts: Floats, strength: float) -> Floats:
    """A liquid wets the sample: two broad maxima."""
    q, pixels = pixels_of_bins()
    maxima = np.exp(-0.5 * ((q - 2.0) / 0.28) ** 2)
    maxima += 0.6 * np.exp(-0.5 * ((q - 2.85) / 0.35) ** 2)
    held = maxima * pixels
    return np.asarray(counts + strength * counts.sum() * held / held.sum())


def _harmonic(counts: Floats, strength: float) -> Floats:
    """Light of three times the energy: the pattern again, at a third of q."""
    return counts + strength * _seen_at(counts, 3.0)


def _double(counts: Floats, strength: float) -> Floats:
    """A second capillary farther away: a third of the light, each line twice."""
    share = min(1.0, strength * 4.0)
    return (1.0 - share) * counts + share * _seen_at(counts, 1.0 / 1.008)


def _seen_at(counts: Floats, factor: float) -> Floats:
    """The same pattern with each q divided, holding as many counts."""
    q, pixels = pixels_of_bins()
    level = np.divide(counts, pixels, out=np.zeros_like(counts), where=pixels > 0)
    moved = np.interp(q * factor, q, level, right=0.0) * pixels
    return np.asarray(moved * counts.sum() / max(float(moved.sum()), 1e-9))


CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {
        "foil": _foil,
        "second_phase": _grit,
        "solvent": _solvent,
        "harmonic": _harmonic,
        "double": _double,
    }
)
"""By name; the last two look different in every sample."""
