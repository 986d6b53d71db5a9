"""Named phases of one beamtime, told apart by where patterns lie in the embedding.

Each phase is a mean in the embedding; all share one scatter, pooled over phases and
shrunk (as in linear discriminant analysis). What is far from all is none of them, which
is a legal answer. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIMIT", "UNNAMED", "ClassHead", "Scatter"]

Floats = NDArray[np.float64]

LIMIT = 2.0
"""Distance from which on a pattern is none of the phases, in scatters within one."""
UNNAMED = "seen "
"""How the names of phases begin that were seen, and that nobody named yet."""
_FLOOR = 1.0
"""Scatter of one phase from run to run that is allowed for where no run shows it: the
root of its sum over the embedding's numbers. Frames of one run scatter by about as
much, other crystals lie 4 to 5 away (`benchmarks/beamtime.py --scale`)."""


@dataclass(frozen=True)
class Scatter:
    """How far patterns of one phase lie apart.

    Attributes
    ----------
    whitening : (e, e) float64
        Differences of embeddings times it have a root mean square length of 1 where
        they scatter as patterns of one phase do about their mean.
    """

    whitening: Floats

    @classmethod
    def of(cls, residuals: Floats) -> Scatter:
        """From differences (B, e) to the mean of each one's phase; B may be 0."""
        size = residuals.shape[1]
        n = len(residuals)
        own = residuals.T @ residuals / max(n, 1)
        # Few rows say little of their directions: half and half where n is e.
        trust = n / (n + size)
        shrunk = trust * own + (1.0 - trust) * np.trace(own) / size * np.eye(size)
        values, vectors = np.linalg.eigh(shrunk + _FLOOR**2 / size * np.eye(size))
        return cls(vectors / np.sqrt(size * values) @ vectors.T)

    @classmethod
    def of_runs(cls, runs: Sequence[Floats]) -> Scatter:
        """From runs of embeddings (B, e): neighbouring frames are mostly of one phase.

        Of the steps from frame to frame the largest tenth is left out, so that
        transitions do not count as scatter.
        """
        steps = [np.diff(run, axis=0) / np.sqrt(2.0) for run in runs if len(run) > 1]
        if not steps:
            return cls.of(np.zeros((0, runs[0].shape[1])))
        every = np.concatenate(steps)
        length = (every**2).sum(axis=1)
        return cls.of(every[length <= np.quantile(length, 0.9)])

    def whiten(self, embeddings: Floats) -> Floats:
        """Embeddings (B, e) in scatters within a phase, (B, e)."""
        return np.asarray(embeddings @ self.whitening)


@dataclass(frozen=True)
class ClassHead:
    """Named phases.

    Attributes
    ----------
    names : tuple of str
    means : (k, e) float64
    scatter : Scatter
    limit : float
        See ``LIMIT``.
    """

    names: tuple[str, ...]
    means: Floats
    scatter: Scatter
    limit: float = LIMIT

    @classmethod
    def fit(
        cls, embeddings: Floats, names: Sequence[str], *, limit: float = LIMIT
    ) -> ClassHead:
        """From embeddings (B, e) and the name of each; NaN rows are left out.

        Raises
        ------
        ValueError
            Where nothing is left.
        """
        x = np.asarray(embeddings, np.float64)
        known = np.isfinite(x).all(axis=1) if x.size else np.zeros(len(x), bool)
        x, of = x[known], np.array(names, dtype=object)[known]
        if not len(x):
            raise ValueError("no named pattern has an embedding: name frames with one")
        every = tuple(sorted(set(of)))
        means = np.array([x[of == name].mean(axis=0) for name in every])
        place = np.array([every.index(name) for name in of])
        return cls(every, means, Scatter.of(x - means[place]), limit)

    def distances(self, embeddings: Floats) -> Floats:
        """To each phase (B, k), in scatters within one; NaN where there is none."""
        x = self.scatter.whiten(np.asarray(embeddings, np.float64))
        away = x[:, None] - self.scatter.whiten(self.means)
        return np.asarray(np.sqrt((away**2).sum(axis=2)))

    def novelty(self, embeddings: Floats) -> Floats:
        """Distance (B,) to the nearest phase."""
        return np.asarray(self.distances(embeddings).min(axis=1))

    def classify(self, embeddings: Floats) -> list[str]:
        """Name of the nearest phase; '' where all are farther than ``limit``."""
        away = self.distances(embeddings)
        return [
            self.names[int(np.argmin(row))] if row.min() <= self.limit else ""
            for row in np.where(np.isfinite(away), away, np.inf)
        ]

    def to_tensors(self) -> dict[str, NDArray[np.generic]]:
        """For a file; the names go beside them."""
        return {
            "means": self.means,
            "whitening": self.scatter.whitening,
            "limit": np.array([self.limit]),
        }

    @classmethod
    def of_tensors(
        cls, names: Sequence[str], tensors: Mapping[str, NDArray[np.generic]]
    ) -> ClassHead:
        """From a file.

        Raises
        ------
        ValueError
            Where one is missing or they do not fit each other.
        """
        try:
            means, whitening = tensors["means"], tensors["whitening"]
            (limit,) = tensors["limit"].astype(float)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"these are no tensors of named classes: {error}"
            ) from None
        size = means.shape[-1]
        if means.shape != (len(names), size) or whitening.shape != (size, size):
            raise ValueError(
                f"{len(names)} names, means {means.shape}, whitening "
                f"{whitening.shape}: they do not fit each other"
            )
        scatter = Scatter(np.asarray(whitening, np.float64))
        return cls(tuple(names), np.asarray(means, np.float64), scatter, float(limit))
