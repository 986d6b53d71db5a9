"""Everything that is fitted to finished networks, in one command.

Embedding and novelty head learn from simulations. Temperature, doubt, label sets and
the novelty threshold are fitted on development data kept for choices; what is reported
is scored on other data, or cross-fitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.calibration import (
    Calibration,
    fit_calibration,
    posterior,
    sum_over,
    tempered,
)
from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.crystals.prototype_sources import training_prototypes
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.evaluation.novelty_check import novelty_figures
from ringwatch.models.evaluation.scoring import (
    InputSet,
    LabelledLogits,
    Scores,
    evaluation_sets,
    logits_of_inputs,
    score,
)
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES
from ringwatch.models.training.recipe import parse_recipe
from ringwatch.models.weight_files import (
    WeightsFile,
    read_weights,
    write_card,
    write_weights,
)

__all__ = ["cross_fitted", "fit", "recalibrate"]

Floats = NDArray[np.float64]

_FOLDS = 2
_SEED = 55_556
"""Crystals of this seed are never trained on."""
_REPORTED = 800
"""Structures that the novelty score is reported on."""
_KNOWN_SHARE = 0.95
"""Share of patterns of one phase that must not count as novel."""


def fit(classifier: Classifier, sets: Mapping[str, LabelledLogits]) -> Calibration:
    """Fit temperature, doubt and threshold under the classifier's prior.

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
    truth = CLASS_INDEX[np.concatenate([found.space_group for found in filled])]
    weights = np.concatenate(
        [np.full(len(f.space_group), 1 / len(f.space_group)) for f in filled]
    )
    p = np.concatenate([_untempered(classifier, found.logits) for found in filled])
    classes = sum_over(p, CLASS_INDEX[1:], len(POWDER_CLASSES))
    coverage = float(classifier.card["coverage"]["stated"])
    return fit_calibration(classes, truth, coverage, weights=weights)


def cross_fitted(
    classifier: Classifier, sets: Mapping[str, LabelledLogits]
) -> tuple[Calibration, dict[str, Scores]]:
    """Fit a calibration on all patterns; score each with one fitted without it.

    Two folds; structure types, and groups of near-duplicates, stay together.

    Returns
    -------
    Calibration
        Fitted on all.
    dict of str to Scores
        By set.
    """
    fold_of = {name: _folds(found) for name, found in sets.items()}
    folds = []
    for k in range(_FOLDS):
        rest = {name: f.take(fold_of[name] != k) for name, f in sets.items()}
        folds.append(fit(classifier, rest))
    scores = {}
    for name, found in sets.items():
        p = np.empty(found.logits.shape)
        threshold = np.empty(len(p))
        for k, fold in enumerate(folds):
            rows = fold_of[name] == k
            part = found.take(rows)
            p[rows] = tempered(
                _untempered(classifier, part.logits),
                CLASS_INDEX[1:],
                fold.temperature,
                fold.doubt,
            )
            threshold[rows] = fold.threshold
        scores[name] = score(
            p,
            found.space_group,
            threshold=threshold,
            cluster=found.cluster,
            skipped=found.skipped,
        )
    return fit(classifier, sets), scores


def _folds(found: LabelledLogits) -> NDArray[np.int64]:
    """Fold of each pattern, (B,): by cluster, or in turn where there are none."""
    if not found.facts:
        return np.arange(len(found.logits)) % _FOLDS
    return np.unique(found.cluster, return_inverse=True)[1] % _FOLDS


def _untempered(classifier: Classifier, logits: NDArray[np.float32]) -> Floats:
    """Space-group probabilities (B, 230) under the classifier's prior, as they come."""
    return posterior(
        logits, 1.0, classifier.training_prior, classifier.space_group_prior
    )


def recalibrate(
    weights: Path,
    *,
    structures: Path | None = None,
    patterns: Path | None = None,
    limit: int = 0,
    count: int = 12_288,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Calibration, dict[str, Scores]]:
    """Fit embedding, novelty and calibration to finished networks and keep them.

    Parameters
    ----------
    weights : Path
        The ``.safetensors`` file; it and the card beside it are rewritten.
    structures, patterns : Path, optional
        Development data; of them the part ``choose`` is used. With neither the
        calibration is fitted on simulated patterns.
    limit : int
        A random choice of so many structures; 0: all.
    count : int
        Simulated patterns of one phase for embedding and novelty; a multiple of 256.
    tick : callable
        Called after each 256 of them.

    Returns
    -------
    Calibration
        As it was kept.
    dict of str to Scores
        Cross-fitted, by set.

    Raises
    ------
    WeightsError, DatasetError
        If a file is missing or damaged.
    """
    # Torch, which training has loaded anyway, and scoring can do without.
    from ringwatch.models.training.head_training import (  # noqa: PLC0415
        draw_examples,
        fit_novelty,
    )

    classifier = Classifier.load(weights, backend="onnx")
    crystals, disturbances = _simulation(classifier, structures)
    if structures is None and patterns is None:
        sets = {"simulated": _simulated(crystals, disturbances, min(count, 4096))}
        source = f"{min(count, 4096)} simulated patterns never trained on"
    else:  # ahead of all that is written: a table may be missing
        sets = evaluation_sets(
            structures, patterns, part="choose", limit=limit, grid=classifier.grid
        )
        sizes = ", ".join(f"{len(found.x)} {name}" for name, found in sets.items())
        source = f"{sizes} patterns of the development data's part 'choose'"
    examples = draw_examples(classifier, crystals, disturbances, count=count, tick=tick)
    file = read_weights(weights)
    fitted = examples.embedding().to_tensors() | fit_novelty(examples).to_tensors()
    write_weights(weights, WeightsFile({**file.tensors, **fitted}, file.card))
    classifier = Classifier.load(weights, backend="onnx")
    logits = {name: logits_of_inputs(classifier, [x]) for name, x in sets.items()}
    found, scores = cross_fitted(classifier, logits)
    card = {**file.card, **found.to_card(), "calibration": source, "scores": {}}
    card.pop("evaluation", None)  # of another calibration, as the scores
    card["novel_above"] = _novelty_threshold(classifier, sets)
    card["novelty"] = {}
    write_weights(weights, WeightsFile(read_weights(weights).tensors, card))
    if structures is not None:
        card["novelty"] = _novelty_report(classifier, structures, patterns)
        write_card(weights, card)
    return found, scores


def _novelty_report(
    classifier: Classifier, structures: Path, patterns: Path | None
) -> dict[str, dict[str, float]]:
    """Areas under the curve on data kept for reports, by what is told from what."""
    found = novelty_figures(
        classifier, structures, patterns, part="report", limit=_REPORTED
    )
    return {
        f"{kind}, against {known} patterns": dataclasses.asdict(area)
        for known, areas in found.items()
        for kind, area in areas.items()
    }


def _simulation(
    classifier: Classifier, structures: Path | None
) -> tuple[CrystalGenerator, Disturbances]:
    """Make crystals and patterns as in training, but of another seed."""
    recipe = parse_recipe(classifier.card["training"]["recipe"])
    settings = recipe.crystals
    pool = None
    if settings.prototype_share and structures is not None:
        pool = training_prototypes(structures)
    crystals = CrystalGenerator(
        seed=_SEED,
        class_balance=settings.class_balance,
        joint=settings.joint,
        prototypes=pool,
        prototype_share=settings.prototype_share if pool else 0.0,
    )
    return crystals, Disturbances(recipe.disturbances, seed=_SEED, grid=classifier.grid)


def _simulated(
    crystals: CrystalGenerator, disturbances: Disturbances, count: int
) -> InputSet:
    """Simulated patterns, half of them clean, numbered from the far end on."""
    first = 10**9
    pieces = [
        (crystals.peaks(first + k, min(256, count - k)), first + k)
        for k in range(0, count, 256)
    ]
    x = [disturbances.patterns(peaks, at, 0.5) for peaks, at in pieces]
    groups = [peaks.space_group for peaks, _ in pieces]
    return InputSet(np.concatenate(x), np.concatenate(groups))


def _novelty_threshold(classifier: Classifier, sets: Mapping[str, InputSet]) -> float:
    """Novelty that one in twenty patterns of one phase exceeds; sets weigh alike."""
    values = [classifier.novelty(*classifier.outputs(s.x)) for s in sets.values()]
    weights = np.concatenate([np.full(len(v), 1 / len(v)) for v in values])
    together = np.concatenate(values)
    order = np.argsort(together)
    share = np.cumsum(weights[order]) / weights.sum()
    place = int(np.searchsorted(share, _KNOWN_SHARE))
    return float(together[order[min(place, len(order) - 1)]])
