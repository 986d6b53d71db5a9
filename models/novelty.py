"""How little a pattern looks like that of one crystalline phase.

A small network over the classifier's hidden layer tells three kinds apart: one phase,
a mixture of two, and no crystal at all (amorphous halo, empty container, leak of the
direct beam). It learned from simulations of each, so that structure types never seen
count as one phase: they are to be classified, not refused. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "NoveltyHead", "features"]

KINDS = ("one phase", "mixture", "no crystal")
"""What the head tells apart."""

Float = NDArray[np.float32]

_MOST = 12.0
"""Log odds are cut here: single precision knows no more."""


def features(logits: Float, hidden: Float) -> Float:
    """What the head sees, (B, h + 2): hidden layer, energy and entropy of the logits.

    Energy is logsumexp of the logits (Liu et al., NeurIPS 2020, eq. 4, without sign).

    Parameters
    ----------
    logits : ndarray, (B, 230)
    hidden : ndarray, (B, h)
    """
    z = np.asarray(logits, np.float64)
    top = z.max(axis=1, keepdims=True)
    p = np.exp(z - top)
    total = p.sum(axis=1, keepdims=True)
    energy = top + np.log(total)
    entropy = energy - (p * z).sum(axis=1, keepdims=True) / total
    return np.concatenate([hidden, energy, entropy], axis=1).astype(np.float32)


@dataclass(frozen=True)
class NoveltyHead:
    """A network of one hidden layer.

    Attributes
    ----------
    mean, scale : ndarray, (f,)
        Of the features; they enter as (x - mean) / scale.
    first, first_bias : ndarray, (f, m) and (m,)
        Into the hidden layer, which is rectified.
    last, last_bias : ndarray, (m, 3) and (3,)
        Into the logits of `KINDS`.
    """

    mean: Float
    scale: Float
    first: Float
    first_bias: Float
    last: Float
    last_bias: Float

    def probabilities(self, logits: Float, hidden: Float) -> NDArray[np.float64]:
        """Probabilities (B, 3) of `KINDS`, in training as frequent as each other."""
        x = (features(logits, hidden) - self.mean) / self.scale
        out = np.empty((len(x), len(KINDS)))
        for i, row in enumerate(x):  # one by one: the same bits in any batch
            inner = np.maximum(row @ self.first + self.first_bias, 0.0)
            out[i] = inner @ self.last + self.last_bias
        out = np.exp(out - out.max(axis=1, keepdims=True))
        return np.asarray(out / out.sum(axis=1, keepdims=True))

    def score(self, logits: Float, hidden: Float) -> NDArray[np.float64]:
        """Log odds (B,), natural, that a pattern is not of one phase: -12 to 12."""
        one = self.probabilities(logits, hidden)[:, 0]
        with np.errstate(divide="ignore"):
            odds = np.log1p(-one) - np.log(one)
        return np.asarray(np.clip(odds, -_MOST, _MOST))

    def to_tensors(self) -> dict[str, Float]:
        """For the weights file."""
        names = [f"novelty.{field.name}" for field in fields(self)]
        return dict(zip(names, astuple(self), strict=True))

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Float]) -> NoveltyHead | None:
        """From a weights file; None where nothing was fitted."""
        names = [f"novelty.{field.name}" for field in fields(cls)]
        if names[0] not in tensors:
            return None
        return cls(*(tensors[name] for name in names))
