"""Which peaks decided: what the answer loses when they are taken away one by one.

Occlusion (Zeiler and Fergus, ECCV 2014, section 4.2) works on any backend. A line that
is not there can decide too - every absence does - and is not seen this way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ringwatch.models.calibration import sum_over
from ringwatch.models.classifier import Classifier
from ringwatch.models.inputs import Float, network_input
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES

__all__ = ["attribution"]

Floats = NDArray[np.float64]

_REACH = 12
"""Bins to either side that a peak may extend over: 1.8 % in q."""
_DIP = 0.5
"""A peak ends where the curve has fallen to half of its height, then at the valley."""


def attribution(
    classifier: Classifier,
    q: ArrayLike,
    intensity: ArrayLike,
    sigma: ArrayLike | None = None,
    *,
    number: int | None = None,
    peaks: int = 48,
) -> Floats:
    """Weigh the peaks of a pattern by what they did for a class.

    Parameters
    ----------
    classifier : Classifier
        Whose answer.
    q, intensity, sigma : ndarray, (m,)
        As `Classifier.predict` takes one pattern.
    number : int, optional
        Smallest space-group number of the class; default: the most probable one.
    peaks : int
        How many of the highest peaks to try; each costs the time of one pattern.

    Returns
    -------
    ndarray, (n_bins,)
        Over ``classifier.grid.q``: fall of the class's natural log odds without the
        peak, in all bins of that peak; 0 elsewhere. Positive where a peak speaks for
        the class, negative where it speaks against it.

    Raises
    ------
    PatternError
        If nothing can be said of the pattern.
    ValueError
        If there is no such class, or ``peaks`` is not positive.
    """
    if peaks < 1:
        raise ValueError(f"{peaks} peaks: try one at least")
    x = network_input(q, intensity, sigma, grid=classifier.grid)
    spans = _highest_peaks(x, peaks)
    without = np.repeat(x[None], len(spans) + 1, axis=0)
    for i, (low, high) in enumerate(spans, start=1):
        ends = x[:2, [low, high - 1]]  # (2, 2): both channels at both ends
        without[i, :2, low:high] = np.linspace(ends[:, 0], ends[:, 1], high - low).T
    odds = _log_odds(classifier, without, number)
    weights = np.zeros(x.shape[1])
    for (low, high), value in zip(spans, odds[1:], strict=True):
        weights[low:high] = odds[0] - value
    return weights


def _log_odds(classifier: Classifier, x: Float, number: int | None) -> Floats:
    """Log odds (B,) of a class, by default of the first pattern's most probable one."""
    p = classifier.probabilities(classifier.logits(x))
    classes = sum_over(p, CLASS_INDEX[1:], len(POWDER_CLASSES))
    if number is None:
        index = int(classes[0].argmax())
    else:
        known = [c.number for c in POWDER_CLASSES]
        if number not in known:
            raise ValueError(f"class {number}: choose one of {known}")
        index = known.index(number)
    chosen = np.clip(classes[:, index], 1e-12, 1 - 1e-12)
    return np.asarray(np.log(chosen) - np.log1p(-chosen))


def _highest_peaks(x: Float, count: int) -> list[tuple[int, int]]:
    """Bins (low, high) of the highest peaks that do not overlap, by falling height."""
    height, covered = x[0], x[2] > 0
    inner = np.flatnonzero(
        (height[1:-1] > height[:-2]) & (height[1:-1] >= height[2:]) & covered[1:-1]
    )
    tops = 1 + inner
    taken = np.zeros(len(height), bool)
    spans = []
    for top in tops[np.argsort(-height[tops], kind="stable")]:
        if taken[top]:
            continue
        low = _end(height, taken | ~covered, top, -1)
        high = _end(height, taken | ~covered, top, 1) + 1
        taken[low:high] = True
        spans.append((low, high))
        if len(spans) == count:
            break
    return spans


def _end(height: Float, barred: NDArray[np.bool_], top: int, step: int) -> int:
    """Last bin of a peak on one side: its valley, a barred bin, or its reach.

    It also ends where it would climb above its top, the flank of a higher peak.
    """
    at = int(top)
    for _ in range(_REACH):
        following = at + step
        if not 0 <= following < len(height) or barred[following]:
            break
        if height[following] > height[top]:
            break
        if height[at] < _DIP * height[top] and height[following] > height[at]:
            break
        at = following
    return at
