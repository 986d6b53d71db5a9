"""What stands behind a score: by system, class, part and cell; sureness; confusions.

Everything comes as plain numbers, as it is kept in a report.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.models.ambiguity import neighbours
from ringwatch.models.evaluation.datasets import Facts
from ringwatch.models.evaluation.scores import Answers, Rate, Resampling
from ringwatch.models.symmetry import (
    BRAVAIS_LATTICES,
    CRYSTAL_SYSTEMS,
    POWDER_CLASSES,
    SYSTEM_INDEX,
    PowderClass,
)

__all__ = ["breakdown"]

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

_BINS = 15
_SHARES = tuple(range(10, 101, 10))
"""Shares of the patterns that are answered, the surest first, percent."""
_STRUCTURE_PARTS = {
    "seen": "seen types: other formulas of structure types that training may have met",
    "test": "unseen types: structure types of which training used no coordinates, "
    "cells or elements",
    "choose": "chosen on: structure types that settings were chosen on",
    "train": "trained on: structure types and formulas that training may have met",
}
_PATTERN_PARTS = {
    "test": "unseen groups: groups of measurements that no choice was made on",
    "choose": "chosen on: groups of measurements that settings were chosen on",
}
_N_CONFUSIONS = 20
_LATTICE = np.array([BRAVAIS_LATTICES.index(entry.bravais) for entry in POWDER_CLASSES])


def breakdown(
    answers: Answers, space_group: NDArray[np.int64], facts: Sequence[Facts]
) -> dict[str, Any]:
    """Take a score apart.

    Parameters
    ----------
    answers : Answers
        To B patterns.
    space_group : ndarray, (B,)
        True numbers.
    facts : sequence of Facts, (B,) or empty
        What else is known of them.

    Returns
    -------
    dict
        ``systems``, ``classes``, ``parts`` and ``volumes``: one entry per group of
        patterns with its name and rates; ``selectivity``: top-1 of the surest share;
        ``reliability``: confidence and accuracy in 15 bins; ``errors``: of which kind
        they are; ``confusions``: the commonest pairs; ``neighbours``: classes that few
        lines tell apart, and how often they were; ``lattices``: counts (14, 14) of
        true (rows) and answered Bravais lattices; ``q_range``: medians of the ends.
    """
    resampling = Resampling([fact.cluster for fact in facts], len(space_group))
    right_system = answers.system == SYSTEM_INDEX[space_group]

    def group(name: str, inside: Mask) -> dict[str, Any]:
        rates = {
            "class_top1": answers.place == 0,
            "class_top5": answers.place < 5,
            "system": right_system,
            "space_group": answers.group_place == 0,
        }
        found: dict[str, Any] = {"name": name}
        for key, hits in rates.items():
            found[key] = Rate.of(hits, resampling, inside).to_dict()
        return found

    systems = [SYSTEM_INDEX[space_group] == k for k in range(len(CRYSTAL_SYSTEMS))]
    classes = [answers.truth == k for k in range(len(POWDER_CLASSES))]
    named = zip(POWDER_CLASSES, classes, strict=True)
    return {
        "systems": [
            group(name, inside)
            for name, inside in zip(CRYSTAL_SYSTEMS, systems, strict=True)
            if inside.any()
        ],
        "classes": [
            {"number": entry.number, "bravais": entry.bravais}
            | group(_name(entry), inside)
            for entry, inside in named
            if inside.any()
        ],
        "parts": [group(name, inside) for name, inside in _by_part(facts)],
        "volumes": [group(name, inside) for name, inside in _by_volume(facts)],
        "selectivity": _selectivity(answers, resampling),
        "reliability": _reliability(answers, resampling),
        "errors": _errors(answers),
        "confusions": _confusions(answers),
        "neighbours": _neighbours(answers),
        "lattices": _lattices(answers),
        "q_range": _q_range(facts),
    }


def _name(entry: PowderClass) -> str:
    """Lattice and extinction symbol, which alone is not unique."""
    return f"{entry.bravais} {entry.symbol}"


def _by_part(facts: Sequence[Facts]) -> list[tuple[str, Mask]]:
    """Patterns of each part of the development data."""
    parts = np.array([fact.part for fact in facts], object)
    measured = all(math.isnan(fact.volume) for fact in facts)  # of unknown structures
    names = _PATTERN_PARTS if measured else _STRUCTURE_PARTS
    found = [(what, parts == name) for name, what in names.items()]
    return [(name, inside) for name, inside in found if np.any(inside)]


def _by_volume(facts: Sequence[Facts]) -> list[tuple[str, Mask]]:
    """Fifths of the patterns, by rising volume of the cell."""
    volume = np.array([fact.volume for fact in facts])
    if not len(volume) or np.isnan(volume).any():
        return []
    edges = np.quantile(volume, np.linspace(0, 1, 6))
    place = np.clip(np.searchsorted(edges, volume, side="right") - 1, 0, 4)
    return [
        (f"{edges[k]:.0f} to {edges[k + 1]:.0f} A^3", place == k)
        for k in range(5)
        if (place == k).any()
    ]


def _selectivity(answers: Answers, resampling: Resampling) -> list[dict[str, Any]]:
    """Top-1 of the surest share of the patterns: El-Yaniv and Wiener, JMLR 11 (2010).

    The share is of these patterns; the confidence that bounds it is given.
    """
    n, right = len(answers.place), answers.place == 0
    points = []
    for share in _SHARES:
        kept = max(round(n * share / 100), 1)
        inside = np.zeros(n, bool)
        inside[answers.by_confidence[:kept]] = True
        rate = Rate.of(right, resampling, inside)
        bound = float(answers.confidence[inside].min())
        points.append({"share": share, "confidence": round(bound, 3)} | rate.to_dict())
    return points


def _reliability(answers: Answers, resampling: Resampling) -> list[dict[str, Any]]:
    """Confidence and accuracy of the first answer in 15 even bins of confidence."""
    place = np.clip(np.ceil(answers.confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    bins = []
    for k in range(_BINS):
        inside = place == k
        if inside.any():
            mean = 100 * float(answers.confidence[inside].mean())
            rate = Rate.of(answers.place == 0, resampling, inside)
            bins.append({"confidence": round(mean, 2)} | rate.to_dict())
    return bins


def _errors(answers: Answers) -> dict[str, float]:
    """Wrong first answers by kind, percent of all patterns."""
    wrong = answers.place > 0
    lattice = _LATTICE[answers.truth] == _LATTICE[answers.answer]
    near = np.zeros((len(POWDER_CLASSES), len(POWDER_CLASSES)), bool)
    for first, second, _ in _pairs():
        near[first, second] = near[second, first] = True
    next_to = near[answers.truth, answers.answer]
    systems = [set(entry.crystal_systems) for entry in POWDER_CLASSES]
    alike = np.array(
        [
            bool(systems[t] & systems[a])
            for t, a in zip(answers.truth, answers.answer, strict=True)
        ]
    )
    kinds = {
        "neighbour (12 lines or fewer apart)": wrong & next_to,
        "other class of the same lattice": wrong & lattice & ~next_to,
        "other lattice of the same crystal system": wrong & ~lattice & alike,
        "other crystal system": wrong & ~alike,
    }
    return {name: round(100 * float(hits.mean()), 2) for name, hits in kinds.items()}


def _pairs() -> list[tuple[int, int, int]]:
    """Neighbouring classes, as indices, and in how many lines they differ."""
    at = {entry.number: k for k, entry in enumerate(POWDER_CLASSES)}
    return [(at[p.classes[0]], at[p.classes[1]], p.count) for p in neighbours()]


def _neighbours(answers: Answers) -> list[dict[str, Any]]:
    """How often neighbours are told apart, those confused most often first."""
    found: list[dict[str, Any]] = []
    for first, second, lines in _pairs():
        inside = np.isin(answers.truth, (first, second))
        either = inside & np.isin(answers.answer, (first, second))
        confused = int((either & (answers.answer != answers.truth)).sum())
        if confused:
            found.append(
                {
                    "one": _name(POWDER_CLASSES[first]),
                    "other": _name(POWDER_CLASSES[second]),
                    "lines": lines,
                    "n": int(inside.sum()),
                    "right": int((either & (answers.answer == answers.truth)).sum()),
                    "confused": confused,
                }
            )
    return sorted(found, key=lambda row: -row["confused"])[:_N_CONFUSIONS]


def _confusions(answers: Answers) -> list[dict[str, Any]]:
    """Commonest pairs of true and answered class, and whether the truth came second."""
    wrong = np.flatnonzero(answers.place > 0)
    pairs = Counter(
        (int(answers.truth[i]), int(answers.answer[i])) for i in wrong.tolist()
    )
    of_class = np.bincount(answers.truth, minlength=len(POWDER_CLASSES))
    found = []
    for (truth, answer), n in pairs.most_common(_N_CONFUSIONS):
        inside = (answers.truth == truth) & (answers.answer == answer)
        found.append(
            {
                "truth": _name(POWDER_CLASSES[truth]),
                "answer": _name(POWDER_CLASSES[answer]),
                "n": n,
                "of": int(of_class[truth]),
                "second": int((answers.place[inside] == 1).sum()),
            }
        )
    return found


def _lattices(answers: Answers) -> list[list[int]]:
    """Counts (14, 14) of true (rows) and answered Bravais lattices."""
    n = len(BRAVAIS_LATTICES)
    flat = _LATTICE[answers.truth] * n + _LATTICE[answers.answer]
    counts: list[list[int]] = np.bincount(flat, minlength=n * n).reshape(n, n).tolist()
    return counts


def _q_range(facts: Sequence[Facts]) -> list[float]:
    """Medians of the lowest and the highest q, 1/Angstrom; empty where unknown."""
    if not facts:
        return []
    low = np.median([fact.q_min for fact in facts])
    high = np.median([fact.q_max for fact in facts])
    return [round(float(low), 3), round(float(high), 3)]
