"""The strongest peaks of a pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import percentile_filter
from scipy.signal import find_peaks

__all__ = ["Peaks", "peaks_of"]

MOST_PEAKS = 16

_SPAN = 15  # of a pattern: no peak is as wide as a fifteenth of it
_SIGMAS = 6.0
_SHARE = 0.03  # of the strongest peak; fainter ones may be of an impurity


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Peaks by rising q.

    Attributes
    ----------
    q : (n,) float64
        1/Angstrom.
    height : (n,) float64
        Above the background, counts.
    tolerance : (n,) float64
        How far a line may be from its peak, 1/Angstrom.
    """

    q: NDArray[np.float64]
    height: NDArray[np.float64]
    tolerance: NDArray[np.float64]


def peaks_of(
    q: NDArray[np.float64],
    intensity: NDArray[np.float64],
    sigma: NDArray[np.floating],
) -> Peaks:
    """The strongest peaks that stand out of noise and background, at most 16."""
    intensity = np.nan_to_num(intensity)
    span = max(9, intensity.size // _SPAN)
    height = intensity - percentile_filter(intensity, 30, span)
    noise = np.nan_to_num(np.asarray(sigma, np.float64))
    least = np.maximum(_SIGMAS * noise, _SHARE * float(height.max(initial=0.0)))
    places, found = find_peaks(height, height=least, prominence=least * 0.5, width=1)
    strongest = np.sort(np.argsort(-height[places])[:MOST_PEAKS])
    places, widths = places[strongest], found["widths"][strongest]
    step = float(np.median(np.diff(q)))
    # The vertex of the parabola through the three highest points.
    left, top, right = (height[places + shift] for shift in (-1, 0, 1))
    bend = left - 2 * top + right
    bent = np.where(bend < 0, bend, -1.0)
    shift = np.clip(0.5 * (left - right) / bent, -0.5, 0.5)
    return Peaks(
        q=q[places] + shift * step,
        height=top,
        tolerance=np.maximum(0.5 * widths, 1.0) * step,
    )
