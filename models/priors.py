"""How frequent the space groups are taken to be before a pattern is seen."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES
from ringwatch.models.weight_files import WeightsFile

__all__ = ["Prior", "space_group_prior"]

Prior = Literal["natural", "balanced", "training"]
Floats = NDArray[np.float64]

_OF_CLASS = CLASS_INDEX[1:]


def space_group_prior(prior: Prior, weights: WeightsFile) -> Floats:
    """Prior over the space groups, (230,)."""
    natural = weights.tensors["prior.natural"].astype(np.float64)
    if prior == "natural":
        return natural
    if prior == "training":
        return weights.tensors["prior.training"].astype(np.float64)
    if prior == "balanced":
        in_class = np.bincount(_OF_CLASS, natural)[_OF_CLASS]
        return natural / in_class / len(POWDER_CLASSES)
    raise ValueError(f"prior {prior!r}: choose natural, balanced or training")
