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
    "fit_calibration",
    "posterior",
    "smallest_set",
    "sum_over",
    "tempered",
    "wilson_interval",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


_TEMPERATURES = (0.25, 8.0)
_DOUBTS = (1e-4, 0.2)


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and label sets.

    Attributes
    ----------
    temperature : float
        Flattens the class probabilities; see `tempered`.
    threshold : float
        Sum of probabilities at which a label set holds the truth in a share
        ``coverage`` of cases.
    coverage : float
        That share.
    doubt : float
        Share of patterns whose class nothing in the answer tells - wrong labels, other
        phases - and which are spread evenly over the classes.
    """

    temperature: float
    threshold: float
    coverage: float = 0.9
    doubt: float = 0.0

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Calibration:
        """Read a model card."""
        return cls(
            temperature=float(card["temperature"]),
            threshold=float(card["coverage"]["threshold"]),
            coverage=float(card["coverage"]["stated"]),
            doubt=float(card.get("doubt", 0.0)),
        )

    def to_card(self) -> dict[str, Any]:
        """What belongs on the model card."""
        return {
            "temperature": self.temperature,
            "doubt": self.doubt,
            "coverage": {"stated": self.coverage, "threshold": self.threshold},
        }


def fit_calibration(
    classes: Floats,
    truth: Ints,
    coverage: float,
    *,
    weights: Floats | None = None,
) -> Calibration:
    """Temperature and doubt of the least negative log-likelihood, and the threshold.

    Parameters
    ----------
    classes : ndarray, (B, n)
        Class probabilities under the prior of these patterns.
    truth : ndarray, (B,)
        True classes.
    coverage : float
        What label sets shall reach, in 0..1.
    weights : ndarray, (B,), optional
        Weight of each pattern; default: alike.

    Returns
    -------
    Calibration
        Temperature in 0.25..8, doubt in 0.0001..0.2.
    """
    row = np.arange(len(truth))

    def loss(values: Floats) -> float:
        flat = flattened(classes, math.exp(values[0]), math.exp(values[1]))
        nll = -np.log(np.maximum(flat[row, truth], 1e-30))
        return float(np.average(nll, weights=weights))

    bounds = [tuple(map(math.log, ends)) for ends in (_TEMPERATURES, _DOUBTS)]
    start = [0.0, math.log(0.01)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    temperature, doubt = (math.exp(value) for value in found.x)
    flat = flattened(classes, temperature, doubt)
    threshold = coverage_threshold(flat, truth, coverage, weights=weights)
    return Calibration(temperature, threshold, coverage, doubt)


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
    # One pattern more, unseen, of the greatest weight and held last, makes the
    # coverage hold for new data.
    more = float(weight.max() / weight.sum())
    rank = int(np.searchsorted(share, min(coverage * (1 + more), 1.0)))
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
