"""How well the novelty score tells what it should: areas under the ROC curve.

Known are real structures, clean and as at a beamline, and measured patterns: mostly of
structure types never trained on. Novel are mixtures of two real structures by equal
heights, drawn the same way, sums of two measured patterns, and patterns without a
crystal, of other shapes than those that the score learned from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ringwatch.models.calibration import wilson_interval
from ringwatch.models.classifier import Classifier
from ringwatch.models.diffraction import Reflections
from ringwatch.models.evaluation.datasets import (
    LabelledPattern,
    Part,
    RealStructure,
    read_patterns,
    read_structures,
)
from ringwatch.models.evaluation.inputs import VIEWS, batches
from ringwatch.models.evaluation.views import draw
from ringwatch.models.evaluation.without_crystal import (
    KINDS,
    patterns_without_crystal,
)

__all__ = [
    "Area",
    "Scored",
    "area_under_curve",
    "mixed",
    "novelty_figures",
    "summed",
]

Floats = NDArray[np.float64]

_SEED = 20_271
_WITHOUT = 600
"""Patterns of each kind without crystal."""


def area_under_curve(novel: ArrayLike, known: ArrayLike) -> float:
    """Chance that a novel pattern scores above a known one, ties counting half: 0..1.

    The area under the receiver operating characteristic (Hanley and McNeil, Radiology
    143 (1982) 29). NaN where there is nothing to compare.
    """
    first, second = np.asarray(novel), np.asarray(known)
    if not len(first) or not len(second):
        return float("nan")
    ranks = rankdata(np.concatenate([first, second]))[: len(first)]
    above = ranks.sum() - len(first) * (len(first) + 1) / 2
    return float(above / (len(first) * len(second)))


@dataclass(frozen=True)
class Area:
    """An area under the curve, and how well it is known.

    Attributes
    ----------
    value, low, high : float
        The area and its 95 % interval, 0..1.
    novel, known : int
        Patterns on either side.
    """

    value: float
    low: float
    high: float
    novel: int
    known: int

    @classmethod
    def of(cls, novel: Scored, known: Scored) -> Area:
        """Measure; patterns of one cluster count as one for the interval.

        Its standard deviation is that of Hanley and McNeil (1982), eq. 2. Where nothing
        overlaps that is 0; the interval is then Wilson's for as many trials as there
        are clusters on the side that has fewer.
        """
        a = area_under_curve(novel.novelty, known.novelty)
        n, m = novel.clusters, known.clusters
        both = a / (2 - a) - a * a, 2 * a * a / (1 + a) - a * a
        variance = (a * (1 - a) + (n - 1) * both[0] + (m - 1) * both[1]) / (n * m)
        reach = 1.96 * math.sqrt(max(variance, 0.0))
        low, high = max(a - reach, 0.0), min(a + reach, 1.0)
        if a in (0.0, 1.0):
            low, high = wilson_interval(round(a * min(n, m)), min(n, m))
        return cls(a, low, high, len(novel.novelty), len(known.novelty))


@dataclass(frozen=True)
class Scored:
    """Novelty of patterns (B,), and how many clusters they are of."""

    novelty: Floats
    clusters: int


def mixed(one: RealStructure, other: RealStructure) -> RealStructure:
    """Lines of two structures in one pattern, their highest lines about alike.

    Row, label and all else are those of ``one``.
    """
    parts = (one.lines, other.lines)
    highest = [float((p.f_squared * p.multiplicity / p.q**2).max()) for p in parts]
    strengths = [p.f_squared / top for p, top in zip(parts, highest, strict=True)]
    q = np.concatenate([p.q for p in parts])
    order = np.argsort(q, kind="stable")
    lines = Reflections(
        q=q[order],
        d_spacing=2 * np.pi / q[order],
        hkl=np.concatenate([p.hkl for p in parts])[order],
        multiplicity=np.concatenate([p.multiplicity for p in parts])[order],
        f_squared=np.concatenate(strengths)[order],
    )
    return replace(one, lines=lines)


def summed(one: LabelledPattern, other: LabelledPattern) -> LabelledPattern | None:
    """Sum of two measured patterns of equal highest points, where both were measured.

    None where they are of one group of near-duplicates, or do not overlap.
    """
    low, high = max(one.q.min(), other.q.min()), min(one.q.max(), other.q.max())
    inside = (one.q >= low) & (one.q <= high)
    if one.facts.cluster == other.facts.cluster or inside.sum() < 100:
        return None
    order = np.argsort(other.q, kind="stable")
    q, added = one.q[inside], other.intensity[order]
    y = one.intensity[inside] / one.intensity[inside].max()
    y = y + np.interp(q, other.q[order], added) / added.max()
    return replace(one, q=q, intensity=y)


def novelty_figures(
    classifier: Classifier,
    structures: Path,
    patterns: Path | None = None,
    *,
    part: Part = "report",
    limit: int = 0,
) -> dict[str, dict[str, Area]]:
    """Measure how well what is novel is told from what is known.

    Parameters
    ----------
    classifier : Classifier
        With a fitted novelty head.
    structures, patterns : Path
        Parquet files; the patterns may be left out.
    part : str
        See `ringwatch.models.evaluation.datasets.Part`.
    limit : int
        A random choice of so many structures; 0: all.

    Returns
    -------
    dict of str to dict of str to Area
        By set of known patterns - ``clean``, ``beamline``, ``measured`` - the area for
        ``mixture`` and each kind without crystal (`without_crystal.KINDS`).

    Raises
    ------
    DatasetError
        If a file or column is missing, or the part is empty.
    """
    found = [
        structure
        for structure in read_structures(structures, part=part, limit=limit)
        if structure is not None
    ]
    rng = np.random.default_rng(_SEED)
    partner = [found[k] for k in rng.permutation(len(found))]
    pairs = [
        mixed(one, other)
        for one, other in zip(found, partner, strict=True)
        if one.row != other.row and (one.cluster != other.cluster or not one.cluster)
    ]
    known: dict[str, Scored] = {}
    mixtures: dict[str, Scored] = {}
    for name, view in VIEWS.items():
        known[name] = _scored(classifier, (draw(s, view) for s in found))
        mixtures[name] = _scored(classifier, (draw(s, view) for s in pairs))
    if patterns is not None:
        measured = [p for p in read_patterns(patterns, part=part) if p is not None]
        known["measured"] = _scored(classifier, measured)
        order = rng.permutation(len(measured))
        sums = (summed(p, measured[k]) for p, k in zip(measured, order, strict=True))
        mixtures["measured"] = _scored(classifier, sums)
    empty: dict[str, list[LabelledPattern]] = {kind: [] for kind in KINDS}
    for kind, pattern in patterns_without_crystal(_WITHOUT, seed=_SEED):
        empty[kind].append(pattern)
    without = {kind: _scored(classifier, drawn) for kind, drawn in empty.items()}
    return {
        name: {
            kind: Area.of(novel, those)
            for kind, novel in ({"mixture": mixtures[name]} | without).items()
            if len(novel.novelty) and len(those.novelty)
        }
        for name, those in known.items()
    }


def _scored(
    classifier: Classifier, patterns: Iterable[LabelledPattern | None]
) -> Scored:
    """Novelty of patterns; those without a cluster stand for themselves."""
    drawn = list(batches(patterns, classifier.grid))
    values = [classifier.novelty(*classifier.outputs(batch.x)) for batch in drawn]
    clusters = [fact.cluster for batch in drawn for fact in batch.facts]
    named = {cluster for cluster in clusters if cluster}
    n = sum(len(value) for value in values)
    alone = n - sum(1 for cluster in clusters if cluster)
    return Scored(np.concatenate(values or [np.empty(0)]), len(named) + alone)
