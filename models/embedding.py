"""Sixty-four numbers that say what a pattern is like: for maps, clusters and searches.

A fixed linear view of the network's last hidden layer: its principal components over
random crystals as they are measured, each scaled to unit variance there. Distances
between embeddings of one weights file mean something; between files they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIZE", "Embedding", "absent"]

SIZE = 64
"""Numbers in an embedding."""

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Embedding:
    """The projection.

    Attributes
    ----------
    mean : ndarray, (h,)
        Of the hidden layer.
    projection : ndarray, (h, 64)
        Principal directions over the standard deviations along them, the widest first.
        Columns beyond the width of a narrow layer are zero.
    """

    mean: Float
    projection: Float

    @classmethod
    def fit(cls, hidden: NDArray[np.floating]) -> Embedding:
        """Principal components of hidden layers (B, h); B of some thousands.

        Raises
        ------
        ValueError
            If there are fewer than two rows.
        """
        if len(hidden) < 2:
            raise ValueError(
                f"{len(hidden)} hidden layers: principal components need thousands"
            )
        x = np.asarray(hidden, np.float64)
        mean = x.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(x - mean, rowvar=False))
        order = np.argsort(-values)[:SIZE]
        # Along directions without spread (dead units) nothing is to be blown up.
        alive = order[values[order] > 1e-6 * values.max()]
        widest = vectors[:, alive]
        # A direction has no sign of its own: the largest entry is made positive.
        signs = np.sign(widest[np.abs(widest).argmax(axis=0), np.arange(len(alive))])
        projection = np.zeros((x.shape[1], SIZE))
        projection[:, : len(alive)] = widest * signs / np.sqrt(values[alive])
        return cls(mean.astype(np.float32), projection.astype(np.float32))

    def of(self, hidden: Float) -> Float:
        """Embeddings (B, 64), float32, of hidden layers (B, h).

        One by one, so that a pattern's embedding is the same bits in any batch.
        """
        out = np.empty((len(hidden), SIZE), np.float32)
        for i, row in enumerate(hidden):
            out[i] = (row - self.mean) @ self.projection
        return out

    def to_tensors(self) -> dict[str, Float]:
        """For the weights file."""
        return {"embedding.mean": self.mean, "embedding.projection": self.projection}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Float]) -> Embedding | None:
        """From a weights file; None where nothing was fitted."""
        if "embedding.mean" not in tensors:
            return None
        return cls(tensors["embedding.mean"], tensors["embedding.projection"])


def absent() -> Float:
    """What stands for an embedding where there is none: (64,) of NaN."""
    return np.full(SIZE, np.nan, np.float32)
