"""How good a classifier is, on real structures and on measured patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.calibration import (
    expected_calibration_error,
    smallest_set,
    sum_over,
    wilson_interval,
)
from ringwatch.models.classifier import Classifier
from ringwatch.models.datasets import (
    BEAMLINE,
    CLEAN,
    LabelledPattern,
    draw,
    read_patterns,
    read_structures,
)
from ringwatch.models.inputs import PatternError, network_input
from ringwatch.models.symmetry import (
    CLASS_INDEX,
    CRYSTAL_SYSTEMS,
    POWDER_CLASSES,
    SYSTEM_INDEX,
)

__all__ = [
    "LabelledLogits",
    "Rate",
    "Scores",
    "collect",
    "logits_of",
    "score",
    "score_all",
]

Floats = NDArray[np.float64]

_BATCH = 256


@dataclass(frozen=True)
class Rate:
    """A share in percent with its 95 % Wilson interval, of ``n`` patterns."""

    percent: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> Rate:
        """Count the hits, shape (n,)."""
        n, right = len(hits), int(hits.sum())
        low, high = wilson_interval(right, n)
        return cls(100 * right / max(n, 1), 100 * low, 100 * high, n)


@dataclass(frozen=True)
class Scores:
    """What is reported of one set of patterns.

    Attributes
    ----------
    class_top1, class_top5 : Rate
        Over the 97 powder classes.
    system : Rate
        Crystal system.
    space_group, space_group_top5 : Rate
        Over the 230 space groups.
    coverage : Rate
        Label sets that hold the truth.
    mean_set_size : float
        Classes in a label set.
    ece : float
        Expected calibration error of the best class, percent.
    majority : float
        Share of the commonest class, percent: what a constant answer scores.
    surest_half : float
        Top-1 of the half that the classifier is surest of, percent.
    skipped : int
        Rows that could not be used.
    """

    class_top1: Rate
    class_top5: Rate
    system: Rate
    space_group: Rate
    space_group_top5: Rate
    coverage: Rate
    mean_set_size: float
    ece: float
    majority: float
    surest_half: float
    skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, rounded to 0.01."""
        return {
            name: {k: round(v, 2) for k, v in value.items()}
            if isinstance(value, dict)
            else round(value, 2)
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class LabelledLogits:
    """Logits (B, 230) of labelled patterns, their space groups (B,), rows skipped."""

    logits: NDArray[np.float32]
    space_group: NDArray[np.int64]
    skipped: int


def logits_of(
    classifier: Classifier,
    patterns: Iterable[LabelledPattern | None],
) -> LabelledLogits:
    """Run the classifier's network over patterns, as ``predict`` would.

    Parameters
    ----------
    classifier : Classifier
        Whose network.
    patterns : iterable of LabelledPattern or None
        None counts as skipped.
    """
    inputs: list[NDArray[np.float32]] = []
    groups: list[int] = []
    parts: list[NDArray[np.float32]] = []
    skipped = 0
    for pattern in patterns:
        try:
            if pattern is None:
                raise PatternError("unusable row")
            x = network_input(pattern.q, pattern.intensity, grid=classifier.grid)
        except PatternError:
            skipped += 1
            continue
        inputs.append(x)
        groups.append(pattern.space_group)
        if len(inputs) == _BATCH:
            parts.append(classifier.logits(np.stack(inputs)))
            inputs.clear()
    if inputs:
        parts.append(classifier.logits(np.stack(inputs)))
    logits = np.concatenate(parts) if parts else np.empty((0, 230), np.float32)
    return LabelledLogits(logits, np.asarray(groups, np.int64), skipped)


def score(
    probabilities: Floats,
    space_group: NDArray[np.int64],
    *,
    threshold: float | Floats,
    skipped: int = 0,
) -> Scores:
    """Score space-group probabilities.

    Parameters
    ----------
    probabilities : ndarray, (B, 230)
        Of the space groups 1 to 230; B of at least 1.
    space_group : ndarray, (B,)
        True numbers.
    threshold : float or ndarray, (B,)
        Sum that label sets reach.
    skipped : int
        Rows that could not be used.

    Raises
    ------
    ValueError
        If there is nothing to score.
    """
    if not len(space_group):
        raise ValueError("no pattern could be used: nothing to score")
    classes = sum_over(probabilities, CLASS_INDEX[1:], len(POWDER_CLASSES))
    systems = sum_over(probabilities, SYSTEM_INDEX[1:], len(CRYSTAL_SYSTEMS))
    truth = CLASS_INDEX[space_group]
    best = np.argsort(-classes, axis=1, kind="stable")  # (B, 97)
    groups = 1 + np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    right = best[:, 0] == truth
    confidence = np.take_along_axis(classes, best[:, :1], axis=1)[:, 0]
    reach = np.broadcast_to(threshold, len(truth))
    sets = [smallest_set(p, r) for p, r in zip(classes, reach, strict=True)]
    covered = np.array([t in chosen for t, chosen in zip(truth, sets, strict=True)])
    surest = np.argsort(-confidence, kind="stable")[: max(len(right) // 2, 1)]
    return Scores(
        class_top1=Rate.of(right),
        class_top5=Rate.of((best[:, :5] == truth[:, None]).any(axis=1)),
        system=Rate.of(systems.argmax(axis=1) == SYSTEM_INDEX[space_group]),
        space_group=Rate.of(groups[:, 0] == space_group),
        space_group_top5=Rate.of((groups == space_group[:, None]).any(axis=1)),
        coverage=Rate.of(covered),
        mean_set_size=float(np.mean([len(chosen) for chosen in sets])),
        ece=100 * expected_calibration_error(confidence, right),
        majority=100 * float(np.bincount(truth).max() / len(truth)),
        surest_half=100 * float(right[surest].mean()),
        skipped=skipped,
    )


def collect(
    classifier: Classifier,
    *,
    structures: Path | None = None,
    patterns: Path | None = None,
    limit: int = 0,
) -> dict[str, LabelledLogits]:
    """Run the network over real structures and measured patterns.

    Parameters
    ----------
    classifier : Classifier
        Whose network.
    structures, patterns : Path, optional
        Parquet files; either may be left out.
    limit : int
        A random choice of so many structures; 0: all.

    Returns
    -------
    dict of str to LabelledLogits
        ``clean`` and ``beamline`` for structures, ``measured`` for patterns.

    Raises
    ------
    DatasetError
        If a file or a column is missing.
    ValueError
        If neither file is named.
    """
    if structures is None and patterns is None:
        raise ValueError("nothing to evaluate on: name structures, patterns or both")
    sets: dict[str, LabelledLogits] = {}
    if structures is not None:
        found = list(read_structures(structures, limit=limit))
        for name, view in (("clean", CLEAN), ("beamline", BEAMLINE)):
            drawn = (draw(s, view, seed=i) if s else None for i, s in enumerate(found))
            sets[name] = logits_of(classifier, drawn)
    if patterns is not None:
        sets["measured"] = logits_of(classifier, read_patterns(patterns))
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
            skipped=found.skipped,
        )
        for name, found in sets.items()
    }
