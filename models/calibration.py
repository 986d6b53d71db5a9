"""Probabilities that mean what they say: temperature, prior, coverage, error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ringwatch.models.posteriors import flattened, posterior, sum_over, tempered

__all__ = [
    "Calibration",
    "calibration_excess",
    "coverage_threshold",
    "expected_calibration_error",
    "fit_temperature",
    "noise_level",
    "posterior",
    "smallest_set",
    "sum_over",
    "tempered",
    "wilson_interval",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


_CENTRE = -5.0
"""Noise level that the stated temperature belongs to: between clean and measured."""
_NOISE = (-8.5, -2.0)
"""Noise levels that calibration data have; beyond them the temperature stays put."""
_FLOOR = 1e-4
_RIDGE = 0.05
"""Holds the slope near zero where all patterns are equally noisy."""


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and label sets.

    Attributes
    ----------
    temperature : float
        Flattens the class probabilities of a pattern of the usual noise; see
        `tempered`.
    threshold : float
        Sum of probabilities at which a label set holds the truth in a share
        ``coverage`` of cases.
    coverage : float
        That share.
    noise_slope : float
        How much ln(temperature) rises with the `noise_level`: measured patterns are
        less like the training than clean ones, and noise is what shows it.
    """

    temperature: float
    threshold: float
    coverage: float = 0.9
    noise_slope: float = 0.0

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Calibration:
        """Read a model card."""
        return cls(
            temperature=float(card["temperature"]),
            threshold=float(card["coverage"]["threshold"]),
            coverage=float(card["coverage"]["stated"]),
            noise_slope=float(card.get("noise_slope", 0.0)),
        )

    def to_card(self) -> dict[str, Any]:
        """What belongs on the model card."""
        return {
            "temperature": self.temperature,
            "noise_slope": self.noise_slope,
            "coverage": {"stated": self.coverage, "threshold": self.threshold},
        }

    def temperatures(self, noise: NDArray[np.floating] | None, n: int) -> Floats:
        """Temperatures (n,) of patterns with noise levels (n,); None: the usual."""
        levels = np.full(n, _CENTRE) if noise is None else np.clip(noise, *_NOISE)
        excess = self.noise_slope * (levels - _CENTRE)
        return np.asarray(self.temperature * np.exp(excess))


def noise_level(x: NDArray[np.floating]) -> Floats:
    """How noisy patterns are: a logarithm, about -8 if not at all, -3 if very.

    The median absolute second difference of neighbouring bins sees noise, not lines,
    which are few and wider than a bin.

    Parameters
    ----------
    x : ndarray, (B, 3, n_bins)
        Network inputs; channel 0 is the root of the intensity, 1 at its highest point.

    Returns
    -------
    ndarray, (B,)
        ln(1e-4 + median); -9.2 where less than three bins in a row are covered.
    """
    found = np.full(len(x), math.log(_FLOOR))
    for i, (root, _, covered) in enumerate(x):
        inside = (covered[:-2] > 0) & (covered[1:-1] > 0) & (covered[2:] > 0)
        if inside.any():
            bend = root[:-2] - 2 * root[1:-1] + root[2:]
            found[i] = math.log(_FLOOR + float(np.median(np.abs(bend[inside]))))
    return found


def fit_temperature(
    classes: Floats,
    truth: Ints,
    noise: Floats | None = None,
    *,
    weights: Floats | None = None,
) -> tuple[float, float]:
    """Temperature, and its slope over noise, of the least negative log-likelihood.

    Parameters
    ----------
    classes : ndarray, (B, n)
        Class probabilities that are to be flattened or sharpened.
    truth : ndarray, (B,)
        True classes.
    noise : ndarray, (B,), optional
        Noise levels; default: unknown, which makes the slope 0.
    weights : ndarray, (B,), optional
        Weight of each pattern; default: alike.

    Returns
    -------
    temperature, noise_slope : float
        As `Calibration` has them; temperature in 0.25..8, slope in -0.5..0.5.
    """
    row = np.arange(len(truth))

    def loss(values: Floats) -> float:
        trial = Calibration(math.exp(values[0]), 1.0, noise_slope=float(values[1]))
        flat = flattened(classes, trial.temperatures(noise, len(truth)))
        p = flat[row, truth]
        nll = float(np.average(-np.log(np.maximum(p, 1e-30)), weights=weights))
        return nll + _RIDGE * float(values[1]) ** 2

    slopes = (0.0, 0.0) if noise is None else (-0.5, 0.5)
    bounds = [(math.log(0.25), math.log(8.0)), slopes]
    found = minimize(loss, [0.0, 0.0], method="L-BFGS-B", bounds=bounds)
    return math.exp(float(found.x[0])), float(found.x[1])


def expected_calibration_error(
    confidence: Floats, correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """Mean gap of confidence and accuracy over equal bins (Guo et al., eq. 3): 0..1."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    weight = np.bincount(place, minlength=bins)
    gap = np.bincount(place, correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / max(weight.sum(), 1))


def calibration_excess(
    confidence: Floats,
    correct: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    draws: int = 500,
) -> float:
    """Calibration error beyond what perfect calibration shows by chance.

    Of few patterns no bin has exactly its share right, so that the expected
    calibration error of a perfect classifier is above zero. It is simulated: each
    answer is right with its own confidence.

    Parameters
    ----------
    confidence : ndarray, (B,)
        Probabilities of the best class.
    correct : ndarray, (B,)
        Whether it was right.
    rng : numpy.random.Generator
        Source of the simulated answers.
    draws : int
        How often all answers are simulated.

    Returns
    -------
    float
        In -1..1; about 0 if calibrated, and below it half of the time.
    """
    by_chance = [
        expected_calibration_error(confidence, rng.random(len(confidence)) < confidence)
        for _ in range(draws)
    ]
    return expected_calibration_error(confidence, correct) - float(np.mean(by_chance))


def coverage_threshold(
    class_probabilities: Floats,
    truth: Ints,
    coverage: float,
    *,
    weights: Floats | None = None,
) -> float:
    """Sum that label sets must reach so that a share ``coverage`` holds the truth.

    Adaptive prediction sets (Romano, Sesia, Candes, NeurIPS 2020) in their plain form:
    the truth is in the set iff the classes before it sum to less than the threshold.

    Parameters
    ----------
    class_probabilities : ndarray, (B, n)
        On calibration data.
    truth : ndarray, (B,)
        True classes.
    coverage : float
        Stated coverage, in 0..1.
    weights : ndarray, (B,), optional
        Weight of each pattern; default: alike.
    """
    of_truth = np.take_along_axis(class_probabilities, truth[:, None], axis=1)
    before = np.where(class_probabilities > of_truth, class_probabilities, 0).sum(
        axis=1
    )
    order = np.argsort(before, kind="stable")
    weight = np.ones(len(before)) if weights is None else weights[order]
    share = np.cumsum(weight) / weight.sum()
    # One pattern more, unseen and held last, makes the coverage hold for new data.
    rank = int(np.searchsorted(share, min(coverage * (1 + 1 / len(share)), 1.0)))
    return float(min(before[order][min(rank, len(order) - 1)] + 1e-9, 1.0))


def smallest_set(class_probabilities: Floats, threshold: float) -> NDArray[np.intp]:
    """Fewest classes, best first, whose probabilities (n,) reach the threshold."""
    order = np.argsort(-class_probabilities, kind="stable")
    total = np.cumsum(class_probabilities[order])
    return order[: int(np.searchsorted(total, min(threshold, total[-1]))) + 1]


def wilson_interval(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a share (Wilson, J. Am. Stat. Assoc. 22 (1927) 209)."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = (
        z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    )
    return max(centre - half, 0.0), min(centre + half, 1.0)
