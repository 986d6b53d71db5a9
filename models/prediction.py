"""What a classifier says of one powder pattern. numpy only: plans import this."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.embedding import absent
from ringwatch.models.symmetry import CRYSTAL_SYSTEMS, POWDER_CLASSES

__all__ = [
    "ClassProbability",
    "Prediction",
    "SpaceGroupProbability",
    "SystemProbability",
]

_NUMBERS = np.array([entry.number for entry in POWDER_CLASSES])
_SYMBOLS = np.array([entry.symbol for entry in POWDER_CLASSES], object)
_SYSTEMS = np.array(CRYSTAL_SYSTEMS, object)


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
        Extinction symbols of the fewest classes, best first, whose probabilities sum
        to the threshold at which such sets held the truth in a share ``coverage`` of
        the calibration data.
    coverage : float
        Stated coverage of ``label_set``, in 0..1.
    unsure : bool
        Whether the best class falls short of the probability the model card asks of
        an answer, or the pattern is novel. "Unsure" is a legal answer.
    novelty : float
        Natural log odds that this is no pattern of one crystalline phase but of a
        mixture, or of no crystal at all: -12 to 12, where one phase, two phases and no
        crystal are as frequent as each other. Structure types never seen in training
        are one phase. Weights without a fitted head give the energy score
        -logsumexp(logits) (Liu et al., NeurIPS 2020, eq. 4), which ranks less well.
    novel : bool
        Whether novelty exceeds the model card's threshold, which one in twenty
        patterns of one phase does. False where the card has none.
    embedding : (64,) float32
        The last hidden layer of the network along its 64 widest directions, each of
        unit variance over simulated patterns; NaN where the weights have none. Two
        patterns compare only under the same weights. Left out of ``==``.
    """

    classes: tuple[ClassProbability, ...]
    space_groups: tuple[SpaceGroupProbability, ...]
    crystal_systems: tuple[SystemProbability, ...]
    label_set: tuple[str, ...]
    coverage: float
    unsure: bool
    novelty: float
    novel: bool = False
    embedding: NDArray[np.float32] = field(
        default_factory=absent, compare=False, repr=False
    )

    @classmethod
    def of(
        cls,
        groups: NDArray[np.float64],
        classes: NDArray[np.float64],
        systems: NDArray[np.float64],
        *,
        chosen: NDArray[np.integer],
        coverage: float,
        unsure: bool,
        novelty: float,
        novel: bool,
        embedding: NDArray[np.float32],
    ) -> Prediction:
        """Name and sort the probabilities of one pattern.

        Parameters
        ----------
        groups, classes, systems : ndarray, (230,), (97,) and (7,)
            In the order of their numbers, of `POWDER_CLASSES` and `CRYSTAL_SYSTEMS`.
        chosen : ndarray of int
            Indices of the classes of the label set.
        coverage, unsure, novelty, novel, embedding
            As they are kept.
        """
        order = _falling(classes)
        by_group = _falling(groups)
        by_system = _falling(systems)
        return cls(
            classes=_made(
                ClassProbability,
                number=_NUMBERS[order].tolist(),
                symbol=_SYMBOLS[order].tolist(),
                probability=classes[order].tolist(),
            ),
            space_groups=_made(
                SpaceGroupProbability,
                number=(by_group + 1).tolist(),
                probability=groups[by_group].tolist(),
            ),
            crystal_systems=_made(
                SystemProbability,
                name=_SYSTEMS[by_system].tolist(),
                probability=systems[by_system].tolist(),
            ),
            label_set=tuple(_SYMBOLS[chosen].tolist()),
            coverage=coverage,
            unsure=unsure,
            novelty=novelty,
            novel=novel,
            embedding=embedding,
        )

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


_Entry = TypeVar("_Entry", ClassProbability, SpaceGroupProbability, SystemProbability)


def _falling(p: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order of falling probability, equals as they come."""
    return np.argsort(-p, kind="stable")


def _made(kind: type[_Entry], **columns: Sequence[Any]) -> tuple[_Entry, ...]:
    """Make entries from the columns of their fields.

    A pattern has 334 entries, for which the constructors of frozen classes take a
    millisecond; filling the slots column by column takes a tenth of it.
    """
    count = len(columns["probability"])
    entries = tuple(map(object.__new__, repeat(kind, count)))
    for name, values in columns.items():
        fill = getattr(kind, name).__set__
        deque(map(fill, entries, values), maxlen=0)
    return entries
