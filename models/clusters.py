"""Patterns that are like no known phase, put together by what they are like.

Average linkage in the whitened embedding, cut where two clusters lie farther apart than
patterns of one phase do: so the number of clusters is found and not given. Nothing is
drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from ringwatch.models.class_heads import LIMIT, UNNAMED, ClassHead, Scatter

__all__ = ["Cluster", "find_clusters", "seen_phases"]

Floats = NDArray[np.float64]

CUT = 2.3
"""Mean distance between the patterns of two clusters that are still one, in scatters:
two patterns of one phase are the root of two apart."""
_MOST = 1500
"""Patterns that are linked; of more an even choice. The rest joins the nearest."""
_FEWEST = 3


@dataclass(frozen=True)
class Cluster:
    """Patterns that are alike.

    Attributes
    ----------
    members : (m,) int64
        Rows of the embeddings that were given, ascending.
    example : int
        The row nearest to the mean.
    mean : (e,) float64
        Of the embedding.
    """

    members: NDArray[np.int64]
    example: int
    mean: Floats


def find_clusters(
    runs: Sequence[Floats], known: ClassHead | None = None, *, fewest: int = _FEWEST
) -> tuple[list[Cluster], Floats]:
    """Clusters of what is none of the known phases, the largest first.

    Parameters
    ----------
    runs : sequence of (B, e) float
        Embeddings of each run in the order of its frames; NaN where there is none.
    known : ClassHead, optional
        Phases seen or named; None: nothing is known.
    fewest : int
        Patterns of a cluster; fewer are left alone.

    Returns
    -------
    clusters : list of Cluster
        Rows count through all runs.
    novelty : (sum of B,) float64
        Distance to the nearest known phase, in scatters within one; NaN without an
        embedding, infinite where nothing is known.
    """
    x = np.concatenate([np.asarray(run, np.float64) for run in runs])
    there = np.isfinite(x).all(axis=1)
    novelty = np.where(there, np.inf, np.nan)
    scatter = Scatter.of_runs([run[np.isfinite(run).all(axis=1)] for run in runs])
    if known is not None:
        novelty[there] = known.novelty(x[there])
        scatter = known.scatter
    limit = LIMIT if known is None else known.limit
    rows = np.flatnonzero(novelty > limit)
    of = _linked(scatter.whiten(x[rows]))
    clusters = []
    for number in np.unique(of):
        members = rows[of == number]
        if len(members) >= fewest:
            mean = x[members].mean(axis=0)
            away = ((scatter.whiten(x[members] - mean)) ** 2).sum(axis=1)
            clusters.append(Cluster(members, int(members[np.argmin(away)]), mean))
    clusters.sort(key=lambda each: (-len(each.members), each.members[0]))
    return clusters, novelty


def seen_phases(runs: Sequence[Floats], fewest: int = _FEWEST) -> ClassHead | None:
    """Phases of runs that count as seen, as ``seen 1``, ``seen 2``, ...

    None where they hold none.
    """
    clusters, _ = find_clusters(runs, fewest=fewest)
    if not clusters:
        return None
    x = np.concatenate([np.asarray(run, np.float64) for run in runs])
    names = [f"{UNNAMED}{i + 1}" for i, c in enumerate(clusters) for _ in c.members]
    return ClassHead.fit(np.concatenate([x[c.members] for c in clusters]), names)


def _linked(x: Floats) -> NDArray[np.int64]:
    """Number of the cluster of each row (B, e)."""
    if len(x) < 2:
        return np.zeros(len(x), np.int64)
    chosen = np.unique(np.linspace(0, len(x) - 1, _MOST).astype(int))
    tree = linkage(x[chosen], method="average")
    numbers = fcluster(tree, CUT, criterion="distance").astype(np.int64)
    if len(chosen) == len(x):
        return numbers
    every = np.unique(numbers)
    means = np.array([x[chosen[numbers == each]].mean(axis=0) for each in every])
    away = ((x[:, None] - means) ** 2).sum(axis=2)
    return np.asarray(every[np.argmin(away, axis=1)])
