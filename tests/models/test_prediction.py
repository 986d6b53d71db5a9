"""Predictions made column by column are what their constructors make."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ringwatch.models.prediction import (
    ClassProbability,
    Prediction,
    SpaceGroupProbability,
    SystemProbability,
)
from ringwatch.models.symmetry import CRYSTAL_SYSTEMS, POWDER_CLASSES


@pytest.fixture
def levels():
    """Probabilities of groups, classes and systems, some of them equal."""
    rng = np.random.default_rng(3)
    rows = [rng.integers(0, 5, n).astype(float) for n in (230, 97, 7)]
    return [row / row.sum() for row in rows]


@pytest.fixture
def prediction(levels):
    return Prediction.of(
        *levels,
        chosen=np.array([4, 0]),
        coverage=0.9,
        unsure=False,
        novelty=0.5,
        novel=False,
        embedding=np.zeros(64, np.float32),
    )


def by_falling(p):
    return sorted(range(len(p)), key=lambda k: (-p[k], k))


def test_entries_are_those_of_the_constructors(levels, prediction):
    groups, classes, systems = levels
    assert prediction.space_groups == tuple(
        SpaceGroupProbability(number=k + 1, probability=float(groups[k]))
        for k in by_falling(groups)
    )
    assert prediction.classes == tuple(
        ClassProbability(
            number=POWDER_CLASSES[k].number,
            symbol=POWDER_CLASSES[k].symbol,
            probability=float(classes[k]),
        )
        for k in by_falling(classes)
    )
    assert prediction.crystal_systems == tuple(
        SystemProbability(name=CRYSTAL_SYSTEMS[k], probability=float(systems[k]))
        for k in by_falling(systems)
    )
    symbols = POWDER_CLASSES[4].symbol, POWDER_CLASSES[0].symbol
    assert prediction.label_set == symbols


def test_entries_hold_plain_values_and_stay_frozen(prediction):
    best = (
        prediction.classes[0],
        prediction.space_groups[0],
        prediction.crystal_systems[0],
    )
    kinds = {type(v) for entry in best for v in dataclasses.astuple(entry)}
    assert kinds == {int, str, float}
    for entry in best:
        assert dataclasses.replace(entry) == entry
        with pytest.raises(dataclasses.FrozenInstanceError):
            entry.probability = 1.0
