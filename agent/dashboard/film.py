"""Patterns as columns of a picture: I(q, t) in a few grey levels an octave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FILM_BINS", "film_column", "film_zero"]

FILM_BINS = 256
"""Points of a column, from the smallest to the largest q."""

_PER_OCTAVE = 16  # levels: 255 of them span a factor of 60,000
_BELOW = 6.0  # octaves below the run's first median that can still be told


def film_zero(intensity: NDArray[np.float32]) -> float:
    """Level, log2 of counts, that the columns of a run count from."""
    positive = intensity[intensity > 0]
    middle = float(np.median(positive)) if positive.size else 1.0
    return float(np.log2(middle)) - _BELOW


def film_column(intensity: NDArray[np.float32], zero: float) -> NDArray[np.uint8]:
    """A pattern (n,) as levels (256,): log2 of the largest in each span; 0 is nothing.

    The largest, as a mean would hide lines narrower than a span.
    """
    edges = np.linspace(0, intensity.size, FILM_BINS, endpoint=False).astype(np.intp)
    largest = np.maximum.reduceat(np.nan_to_num(intensity), edges)
    level = _PER_OCTAVE * (np.log2(np.maximum(largest, 1e-30)) - zero)
    return np.clip(np.rint(level), 0, 255).astype(np.uint8)
