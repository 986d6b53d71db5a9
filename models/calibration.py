"""Probabilities that mean what they say: temperature, prior, coverage, error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

__all__ = [
    "Calibration",
    "coverage_threshold",
    "expected_calibration_error",
    "fit_temperature",
    "posterior",
    "smallest_set",
    "sum_over",
    "wilson_interval",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and label sets.

    Attributes
    ----------
    temperature : float
        Divides the logits.
    threshold : float
        Sum of probabilities at which a label set holds the truth in a share
        ``coverage`` of cases.
    coverage : float
        That share.
    """

    temperature: float
    threshold: float
    coverage: float = 0.9


def posterior(
    logits: NDArray[np.floating],
    temperature: float,
    training_prior: NDArray[np.floating],
    prior: NDArray[np.floating],
) -> Floats:
    """Space-group probabilities under another prior than that of training.

    The temperature comes first: it makes the training posterior honest, and only an
    honest posterior may be moved by Bayes' rule (Saerens et al., Neural Computation 14
    (2002) 21, eq. 2.4). The other order costs most of the gain.

    Parameters
    ----------
    logits : ndarray, (..., 230)
        Of the network.
    temperature : float
        Positive (Guo et al., ICML 2017, eq. 9).
    training_prior, prior : ndarray, (230,)
        Frequencies in training, and where the pattern comes from; positive.

    Returns
    -------
    ndarray, (..., 230)
        Sums to 1 over the last axis.
    """
    z = np.asarray(logits, np.float64) / temperature
    z = z + np.log(
        np.asarray(prior, np.float64) / np.asarray(training_prior, np.float64)
    )
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(p / p.sum(axis=-1, keepdims=True))


def sum_over(probabilities: Floats, index: Ints, n: int) -> Floats:
    """Sum space-group probabilities (B, 230) over classes ``index`` (230,): (B, n)."""
    members = np.zeros((probabilities.shape[-1], n))
    members[np.arange(len(index)), index] = 1
    return np.asarray(probabilities @ members)


def fit_temperature(
    logits: NDArray[np.floating],
    truth: Ints,
    index: Ints,
    *,
    log_odds: Floats | None = None,
    weights: Floats | None = None,
) -> float:
    """Temperature of the least negative log-likelihood of the classes.

    Parameters
    ----------
    logits : ndarray, (B, 230)
        Of patterns with known classes.
    truth : ndarray, (B,)
        True classes.
    index : ndarray, (230,)
        Class of each space group.
    log_odds : ndarray, (230,), optional
        Logarithm of the prior of these patterns over that of training; default: 0.
    weights : ndarray, (B,), optional
        Weight of each pattern; default: alike.

    Returns
    -------
    float
        In 0.25..8.
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=1, keepdims=True)
    shift = 0.0 if log_odds is None else log_odds - log_odds.max()
    companions = index[None] == truth[:, None]  # (B, 230)

    def loss(log_temperature: float) -> float:
        p = np.exp(z / math.exp(log_temperature) + shift)
        of_truth = (p * companions).sum(axis=1) / np.maximum(p.sum(axis=1), 1e-300)
        nll = -np.log(np.maximum(of_truth, 1e-30))
        return float(np.average(nll, weights=weights))

    bounds = (math.log(0.25), math.log(8.0))
    found = minimize_scalar(loss, bounds=bounds, method="bounded")
    return math.exp(float(found.x))


def expected_calibration_error(
    confidence: Floats, correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """Mean gap of confidence and accuracy over equal bins (Guo et al., eq. 3): 0..1."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    weight = np.bincount(place, minlength=bins)
    gap = np.bincount(place, correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / max(weight.sum(), 1))


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
