"""Shares with honest intervals, and what is reported of one set of patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ringwatch.models.calibration import (
    calibration_excess,
    expected_calibration_error,
    smallest_set,
    sum_over,
    wilson_interval,
)
from ringwatch.models.symmetry import (
    CLASS_INDEX,
    CRYSTAL_SYSTEMS,
    POWDER_CLASSES,
    SYSTEM_INDEX,
)

__all__ = ["Answers", "Rate", "Resampling", "Scores", "score"]

Floats = NDArray[np.float64]

_REPLICATES = 1000
_SEED = 20_240_917


class Resampling:
    """Bootstrap over clusters: what shares a structure type is no independent evidence.

    Clusters are drawn with replacement, and all their patterns with them (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, section 8.6); the same draws
    serve every score, so that scores of one set are comparable.

    Parameters
    ----------
    cluster : sequence of str, (n,)
        By pattern; empty: each pattern is its own.
    n : int
        Patterns.
    """

    def __init__(self, cluster: Sequence[str], n: int) -> None:
        names = np.asarray(cluster if len(cluster) else np.arange(n))
        if len(names) != n:
            raise ValueError(f"{len(names)} clusters for {n} patterns: give one each")
        found, self._index = np.unique(names, return_inverse=True)
        self.n_clusters = len(found)
        even = np.full(self.n_clusters, 1 / max(self.n_clusters, 1))
        rng = np.random.default_rng(_SEED)
        self._draws = rng.multinomial(self.n_clusters, even, _REPLICATES).astype("f4")

    def clusters_in(self, chosen: NDArray[np.bool_]) -> int:
        """How many clusters the patterns ``chosen`` (n,) belong to."""
        return len(np.unique(self._index[chosen]))

    def interval(
        self, values: ArrayLike, chosen: NDArray[np.bool_] | None = None
    ) -> tuple[float, float]:
        """95 % interval of the mean of ``values`` (n,) over the patterns ``chosen``.

        Where all values are alike every draw gives the same mean; the interval is
        then Wilson's for as many trials as there are clusters.
        """
        inside = np.ones(len(self._index)) if chosen is None else chosen.astype(float)
        value = np.asarray(values, np.float64) * inside
        size = np.bincount(self._index, inside, self.n_clusters)
        total = np.bincount(self._index, value, self.n_clusters)
        n_clusters = int((size > 0).sum())
        mean = total.sum() / max(size.sum(), 1)
        if n_clusters == 0 or mean in (0.0, 1.0):
            return wilson_interval(round(mean * n_clusters), n_clusters)
        weight = self._draws @ size
        drawn = weight > 0
        means = (self._draws @ total)[drawn] / weight[drawn]
        low, high = np.percentile(means, [2.5, 97.5])
        return float(low), float(high)


@dataclass(frozen=True)
class Answers:
    """What a classifier answered to B patterns, beside the truth.

    Attributes
    ----------
    classes : ndarray, (B, 97)
        Probabilities of the powder classes.
    truth, answer : ndarray, (B,)
        True and most probable class, as indices into `POWDER_CLASSES`.
    place : ndarray, (B,)
        Rank of the true class; 0: the first answer is right.
    group_place : ndarray, (B,)
        Rank of the true space group.
    system : ndarray, (B,)
        Most probable crystal system, as index into `CRYSTAL_SYSTEMS`.
    confidence : ndarray, (B,)
        Probability of the most probable class.
    """

    classes: Floats
    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    place: NDArray[np.int64]
    group_place: NDArray[np.int64]
    system: NDArray[np.int64]
    confidence: Floats

    @classmethod
    def of(cls, probabilities: Floats, space_group: NDArray[np.int64]) -> Answers:
        """Look at space-group probabilities (B, 230) and true numbers (B,)."""
        classes = sum_over(probabilities, CLASS_INDEX[1:], len(POWDER_CLASSES))
        systems = sum_over(probabilities, SYSTEM_INDEX[1:], len(CRYSTAL_SYSTEMS))
        truth = CLASS_INDEX[space_group]
        best = np.argsort(-classes, axis=1, kind="stable")  # (B, 97)
        groups = np.argsort(-probabilities, axis=1, kind="stable")  # (B, 230)
        return cls(
            classes=classes,
            truth=truth,
            answer=best[:, 0],
            place=(best == truth[:, None]).argmax(axis=1),
            group_place=(groups == space_group[:, None] - 1).argmax(axis=1),
            system=systems.argmax(axis=1),
            confidence=np.take_along_axis(classes, best[:, :1], axis=1)[:, 0],
        )

    @property
    def by_confidence(self) -> NDArray[np.intp]:
        """Patterns by falling confidence, (B,)."""
        return np.argsort(-self.confidence, kind="stable")


@dataclass(frozen=True)
class Rate:
    """A share in percent with its 95 % interval, of ``n`` patterns.

    The interval is a bootstrap over ``clusters`` groups of patterns.
    """

    percent: float
    low: float
    high: float
    n: int
    clusters: int = 0

    @classmethod
    def of(
        cls,
        hits: NDArray[np.bool_],
        resampling: Resampling | None = None,
        chosen: NDArray[np.bool_] | None = None,
    ) -> Rate:
        """Count the hits, shape (n,), over all patterns or those ``chosen``."""
        inside = np.ones(len(hits), bool) if chosen is None else chosen
        n = int(inside.sum())
        resampling = resampling or Resampling((), len(hits))
        low, high = resampling.interval(hits, inside)
        clusters = resampling.clusters_in(inside)
        return cls(
            100 * float(hits[inside].sum()) / max(n, 1),
            100 * low,
            100 * high,
            n,
            clusters,
        )

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, rounded to 0.01."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Scores:
    """What is reported of one set of patterns.

    Attributes
    ----------
    class_top1, class_top3, class_top5 : Rate
        Over the 97 powder classes.
    system : Rate
        Crystal system.
    space_group, space_group_top5 : Rate
        Over the 230 space groups.
    coverage : Rate
        Label sets that hold the truth.
    surest_half : Rate
        Top-1 of the half that the classifier is surest of.
    mean_set_size : float
        Classes in a label set.
    ece : float
        Expected calibration error of the best class, 15 bins, percent.
    ece_excess : float
        The same less what perfect calibration would show by chance, percent.
    nll : float
        Mean negative log-likelihood of the class, nats.
    majority, majority_top5, majority_system : float
        What a constant answer scores - the commonest class, five classes, crystal
        system of these very patterns - percent.
    skipped : int
        Rows that could not be used.
    """

    class_top1: Rate
    class_top3: Rate
    class_top5: Rate
    system: Rate
    space_group: Rate
    space_group_top5: Rate
    coverage: Rate
    surest_half: Rate
    mean_set_size: float
    ece: float
    ece_excess: float
    nll: float
    majority: float
    majority_top5: float
    majority_system: float
    skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, rounded to 0.01."""
        return {
            name: {k: round(v, 2) for k, v in value.items()}
            if isinstance(value, dict)
            else round(value, 2)
            for name, value in asdict(self).items()
        }


def score(
    probabilities: Floats,
    space_group: NDArray[np.int64],
    *,
    threshold: float | Floats,
    cluster: Sequence[str] = (),
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
    cluster : sequence of str, (B,), optional
        What intervals are resampled over; default: each pattern by itself.
    skipped : int
        Rows that could not be used.

    Raises
    ------
    ValueError
        If there is nothing to score.
    """
    if not len(space_group):
        raise ValueError("no pattern could be used: nothing to score")
    answers = Answers.of(probabilities, space_group)
    reach = np.broadcast_to(threshold, len(space_group))
    sets = [smallest_set(p, r) for p, r in zip(answers.classes, reach, strict=True)]
    truth, right = answers.truth, answers.place == 0
    covered = np.array([t in chosen for t, chosen in zip(truth, sets, strict=True)])
    surest = np.zeros(len(right), bool)
    surest[answers.by_confidence[: max(len(right) // 2, 1)]] = True
    of_truth = np.take_along_axis(answers.classes, truth[:, None], axis=1)[:, 0]
    resampling = Resampling(cluster, len(truth))
    of_class = np.sort(np.bincount(truth))[::-1] / len(truth)
    of_system = np.bincount(SYSTEM_INDEX[space_group]) / len(truth)
    return Scores(
        class_top1=Rate.of(right, resampling),
        class_top3=Rate.of(answers.place < 3, resampling),
        class_top5=Rate.of(answers.place < 5, resampling),
        system=Rate.of(answers.system == SYSTEM_INDEX[space_group], resampling),
        space_group=Rate.of(answers.group_place == 0, resampling),
        space_group_top5=Rate.of(answers.group_place < 5, resampling),
        coverage=Rate.of(covered, resampling),
        surest_half=Rate.of(right, resampling, surest),
        mean_set_size=float(np.mean([len(chosen) for chosen in sets])),
        ece=100 * expected_calibration_error(answers.confidence, right),
        ece_excess=100
        * calibration_excess(answers.confidence, right, np.random.default_rng(_SEED)),
        nll=float(-np.log(np.maximum(of_truth, 1e-12)).mean()),
        majority=100 * float(of_class[0]),
        majority_top5=100 * float(of_class[:5].sum()),
        majority_system=100 * float(of_system.max()),
        skipped=skipped,
    )
