"""What a classifier says of one powder pattern. numpy only: plans import this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ClassProbability",
    "Prediction",
    "SpaceGroupProbability",
    "SystemProbability",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassProbability:
    """Probability of one of the 97 powder classes.

    Attributes
    ----------
    number : int
        Smallest space-group number of the class.
    symbol : str
        Extinction symbol, such as ``F---``.
    probability : float
        In 0..1.
    """

    number: int
    symbol: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceGroupProbability:
    """Probability of one of the 230 space groups."""

    number: int
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemProbability:
    """Probability of one of the seven crystal systems."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Symmetry of one pattern: one distribution over 230 groups, seen three ways.

    Class and system probabilities are sums of the space-group probabilities, so the
    three levels never contradict each other.

    Attributes
    ----------
    classes : tuple of ClassProbability, (97,)
        Sorted by falling probability.
    space_groups : tuple of SpaceGroupProbability, (230,)
        Sorted by falling probability.
    crystal_systems : tuple of SystemProbability, (7,)
        Sorted by falling probability.
    label_set : tuple of str
        Extinction symbols of the smallest set of classes whose probabilities sum to
        at least ``coverage``.
    coverage : float
        Stated coverage of ``label_set``, in 0..1.
    unsure : bool
        Whether the best class falls short of the probability the model card asks of
        an answer. "Unsure" is a legal answer.
    novelty : float
        Energy score of the logits, -T logsumexp(logits / T): larger means less like
        anything seen in training (Liu et al., NeurIPS 2020, eq. 4).
    """

    classes: tuple[ClassProbability, ...]
    space_groups: tuple[SpaceGroupProbability, ...]
    crystal_systems: tuple[SystemProbability, ...]
    label_set: tuple[str, ...]
    coverage: float
    unsure: bool
    novelty: float

    @property
    def label(self) -> str:
        """Extinction symbol of the most probable class."""
        return self.classes[0].symbol

    @property
    def label_prob(self) -> float:
        """Probability of the most probable class, in 0..1."""
        return self.classes[0].probability

    def system_probabilities(self, order: tuple[str, ...]) -> NDArray[np.float64]:
        """Probabilities of the crystal systems in the given order, shape (7,)."""
        by_name = {system.name: system.probability for system in self.crystal_systems}
        return np.array([by_name[name] for name in order])
