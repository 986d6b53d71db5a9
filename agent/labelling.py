"""What the classifier says of patterns, one by one or many at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.nouns import Pattern
from ringwatch.models.inputs import PatternError
from ringwatch.models.prediction import Prediction

__all__ = ["Classifies", "ClassifiesMany", "Labels"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]


class Classifies(Protocol):
    """What the analysis asks of a classifier."""

    @property
    def identity(self) -> str:
        """Hash over weights and prior."""

    def predict(
        self,
        q: NDArray[np.float64],
        intensity: NDArray[np.float64],
        sigma: NDArray[np.float64] | None = None,
    ) -> Prediction:
        """Symmetry of one pattern."""


@runtime_checkable
class ClassifiesMany(Classifies, Protocol):
    """A classifier to which many patterns at once cost little more than one."""

    @property
    def backend(self) -> str:
        """``onnx`` or ``torch``."""

    def predict_all(
        self, patterns: Sequence[tuple[Floats, Floats, Floats | None]]
    ) -> Sequence[Prediction | PatternError]:
        """Symmetry of each pattern, or why it has none."""


class Labels:
    """Asks a classifier, and tells once why patterns have no label.

    Parameters
    ----------
    classifier : Classifies or None

    Attributes
    ----------
    many : bool
        Whether many patterns at once cost little more than one: ``of_all`` pays.
    """

    def __init__(self, classifier: Classifies | None) -> None:
        self._classifier = classifier
        self._told = False
        # Asked once: to look through a protocol takes long.
        self.many = (
            isinstance(classifier, ClassifiesMany) and classifier.backend == "torch"
        )

    def of(self, pattern: Pattern) -> Prediction | None:
        """Symmetry of a pattern; None without a classifier or anything to classify."""
        q, intensity, sigma = pattern.measured()
        if self._classifier is None or not (intensity > 0).any():
            return None
        try:
            return self._classifier.predict(q, intensity, sigma)
        except PatternError as error:
            self._tell(error)
            return None

    def of_all(self, patterns: Sequence[Pattern]) -> list[Prediction | None]:
        """Symmetry of each pattern, as ``of`` gives it, in one batch."""
        classifier = self._classifier
        assert isinstance(classifier, ClassifiesMany)
        measured = [pattern.measured() for pattern in patterns]
        lit = [bool((intensity > 0).any()) for _, intensity, _ in measured]
        asked = [each for each, some in zip(measured, lit, strict=True) if some]
        found = iter(classifier.predict_all(asked))
        said: list[Prediction | None] = []
        for some in lit:
            each = next(found) if some else None
            if isinstance(each, PatternError):
                self._tell(each)
                each = None
            said.append(each)
        return said

    def _tell(self, error: PatternError) -> None:
        """The flags stand without a label: a camera at small angles has rings too."""
        if not self._told:
            self._told = True
            logger.warning("frames stay without a label: %s", error)
