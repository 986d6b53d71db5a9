"""How good a classifier is, on real structures and on measured patterns.

`collect` and `score_all` are what ``ringwatch evaluate`` runs; `evaluation_sets` and
`quick_scores` serve experiments: inputs once, any network over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.calibration import posterior
from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals import natural_prior
from ringwatch.models.evaluation.datasets import Facts, LabelledPattern, Part, Reasons
from ringwatch.models.evaluation.inputs import (
    BATCH,
    InputSet,
    Tick,
    batches,
    check_left,
    evaluation_sets,
    no_tick,
    tables,
)
from ringwatch.models.evaluation.scores import Rate, Scores, score

__all__ = [
    "InputSet",
    "LabelledLogits",
    "Rate",
    "Scores",
    "collect",
    "evaluation_sets",
    "logits_of",
    "logits_of_inputs",
    "quick_scores",
    "score",
    "score_all",
]

Rows = NDArray[np.bool_] | NDArray[np.intp] | slice


@dataclass(frozen=True)
class LabelledLogits:
    """What a network gave for B labelled patterns, before calibration.

    Attributes
    ----------
    logits : ndarray, (B, 230)
        Of the space groups 1 to 230.
    space_group : ndarray, (B,)
        True numbers.
    skipped : int
        Rows that could not be used.
    facts : tuple of Facts, (B,) or empty
        What else is known of each.
    """

    logits: NDArray[np.float32]
    space_group: NDArray[np.int64]
    skipped: int = 0
    facts: tuple[Facts, ...] = ()

    @property
    def cluster(self) -> tuple[str, ...]:
        """What intervals are resampled over, (B,) or empty."""
        return tuple(fact.cluster for fact in self.facts)

    def take(self, rows: Rows) -> LabelledLogits:
        """Some of the patterns, by mask, numbers or slice."""
        return LabelledLogits(
            self.logits[rows],
            self.space_group[rows],
            self.skipped,
            tuple(np.asarray(self.facts, object)[rows]) if self.facts else (),
        )


def logits_of(
    classifier: Classifier,
    patterns: Iterable[LabelledPattern | None],
    reasons: Reasons | None = None,
) -> LabelledLogits:
    """Run the classifier's network over patterns, as ``predict`` would.

    Parameters
    ----------
    classifier : Classifier
        Whose network.
    patterns : iterable of LabelledPattern or None
        None counts as skipped.
    reasons : Counter, optional
        Counts the patterns that the network cannot take.
    """
    return logits_of_inputs(classifier, batches(patterns, classifier.grid, reasons))


def logits_of_inputs(
    classifier: Classifier, inputs: Iterable[InputSet]
) -> LabelledLogits:
    """Run the classifier's network over network inputs, set by set."""
    logits, groups = [], []
    facts: list[Facts] = []
    skipped = 0
    for batch in inputs:
        logits.append(classifier.logits(batch.x))
        groups.append(batch.space_group)
        facts.extend(batch.facts)
        skipped += batch.skipped
    return LabelledLogits(
        np.concatenate(logits),
        np.concatenate(groups),
        skipped,
        tuple(facts),
    )


def collect(
    classifier: Classifier,
    *,
    structures: Path | None = None,
    patterns: Path | None = None,
    part: Part = "all",
    limit: int = 0,
    tick: Tick = no_tick,
    reasons: dict[str, Reasons] | None = None,
) -> dict[str, LabelledLogits]:
    """Run the network over real structures and measured patterns.

    Parameters
    ----------
    classifier : Classifier
        Whose network.
    structures, patterns : Path, optional
        Parquet files; either may be left out.
    part : str
        See `ringwatch.models.evaluation.datasets.Part`.
    limit : int
        A random choice of so many structures; 0: all.
    tick : callable
        Called once per structure read or drawn: three times in all.
    reasons : dict of str to Counter, optional
        Is given, by table, why rows could not be used.

    Returns
    -------
    dict of str to LabelledLogits
        ``clean`` and ``beamline`` for structures, ``measured`` for patterns.

    Raises
    ------
    DatasetError
        If a file or a column is missing, the part is empty, or no row can be used.
    ValueError
        If neither file is named.
    """
    why = {} if reasons is None else reasons
    sets = {}
    for name, found in tables(
        structures, patterns, part=part, limit=limit, tick=tick, reasons=why
    ):
        sets[name] = logits_of(classifier, found, why[name])
        check_left(name, len(sets[name].logits), why[name])
    return sets


def score_all(
    classifier: Classifier, sets: Mapping[str, LabelledLogits]
) -> dict[str, Scores]:
    """Score sets with the classifier's prior and calibration; by set.

    Raises
    ------
    ValueError
        If none of a set's rows could be used.
    """
    threshold = float(classifier.card["coverage"]["threshold"])
    return {
        name: score(
            classifier.probabilities(found.logits),
            found.space_group,
            threshold=threshold,
            cluster=found.cluster,
            skipped=found.skipped,
        )
        for name, found in sets.items()
    }


def quick_scores(
    network: Callable[[NDArray[np.float32]], NDArray[np.floating]],
    sets: Mapping[str, InputSet],
    *,
    training_prior: NDArray[np.floating],
    prior: NDArray[np.floating] | None = None,
    temperature: float = 1.0,
) -> dict[str, Scores]:
    """Score any network on sets of inputs, by default under the prior of nature.

    Parameters
    ----------
    network : callable
        Inputs (B, 3, n_bins), float32, to logits (B, 230); called by batches of 256.
    sets : mapping of str to InputSet
        Of `evaluation_sets`.
    training_prior : ndarray, (230,) or (231,)
        Frequencies of space groups that the network was trained with; an entry for
        group 0 is left out.
    prior : ndarray, (230,), optional
        Frequencies where the patterns come from; default: the natural ones.
    temperature : float
        Divides the logits.

    Returns
    -------
    dict of str to Scores
        Label sets are those that sum to 0.9.
    """
    trained = np.asarray(training_prior, np.float64)[-230:]
    natural = natural_prior()[1:] if prior is None else prior
    scores = {}
    for name, found in sets.items():
        logits = [
            np.asarray(network(found.x[i : i + BATCH]))
            for i in range(0, len(found.x), BATCH)
        ]
        scores[name] = score(
            posterior(np.concatenate(logits), temperature, trained, natural),
            found.space_group,
            threshold=0.9,
            cluster=found.cluster,
            skipped=found.skipped,
        )
    return scores
