"""Temperature and label sets fitted on labelled patterns, and scored on others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ringwatch.models.calibration import (
    Calibration,
    coverage_threshold,
    fit_temperature,
    posterior,
    sum_over,
)
from ringwatch.models.classifier import Classifier
from ringwatch.models.evaluation import LabelledLogits, Scores, score
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES

__all__ = ["cross_fitted", "fit"]

_FOLDS = 2


def fit(classifier: Classifier, sets: Mapping[str, LabelledLogits]) -> Calibration:
    """Fit temperature and threshold under the classifier's prior.

    Parameters
    ----------
    classifier : Classifier
        Whose prior is meant.
    sets : mapping of str to LabelledLogits
        Each set weighs the same, however many patterns it has.

    Raises
    ------
    ValueError
        If every set is empty.
    """
    filled = [found for found in sets.values() if len(found.space_group)]
    if not filled:
        raise ValueError("no pattern could be used: nothing to calibrate on")
    logits = np.concatenate([found.logits for found in filled])
    truth = CLASS_INDEX[np.concatenate([found.space_group for found in filled])]
    weights = np.concatenate(
        [np.full(len(f.space_group), 1 / len(f.space_group)) for f in filled]
    )
    training, prior = classifier.training_prior, classifier.space_group_prior
    temperature = fit_temperature(
        logits,
        truth,
        CLASS_INDEX[1:],
        log_odds=np.log(prior / training),
        weights=weights,
    )
    p = posterior(logits, temperature, training, prior)
    classes = sum_over(p, CLASS_INDEX[1:], len(POWDER_CLASSES))
    coverage = float(classifier.card["coverage"]["stated"])
    threshold = coverage_threshold(classes, truth, coverage, weights=weights)
    return Calibration(temperature, threshold, coverage)


def cross_fitted(
    classifier: Classifier, sets: Mapping[str, LabelledLogits]
) -> tuple[Calibration, dict[str, Scores]]:
    """Fit a calibration on all patterns; score each with one fitted without it.

    Two folds, every other pattern: what is scored was never calibrated on.

    Returns
    -------
    Calibration
        Fitted on all.
    dict of str to Scores
        By set.
    """
    folds = [fit(classifier, _part(sets, 1 - k)) for k in range(_FOLDS)]
    scores = {}
    for name, found in sets.items():
        n = len(found.space_group)
        p = np.empty((n, found.logits.shape[1]))
        threshold = np.empty(n)
        for k, fold in enumerate(folds):
            rows = slice(k, None, _FOLDS)
            p[rows] = posterior(
                found.logits[rows],
                fold.temperature,
                classifier.training_prior,
                classifier.space_group_prior,
            )
            threshold[rows] = fold.threshold
        scores[name] = score(
            p, found.space_group, threshold=threshold, skipped=found.skipped
        )
    return fit(classifier, sets), scores


def _part(sets: Mapping[str, LabelledLogits], k: int) -> dict[str, LabelledLogits]:
    """Every other pattern, from number ``k`` on."""
    return {
        name: LabelledLogits(
            found.logits[k::_FOLDS], found.space_group[k::_FOLDS], found.skipped
        )
        for name, found in sets.items()
    }
