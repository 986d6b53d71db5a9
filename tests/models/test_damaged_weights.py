"""Weights that are missing, damaged or of another network are refused at load."""

from __future__ import annotations

import json
import re

import pytest

from ringwatch.models.classifier import Classifier
from ringwatch.models.weight_files import (
    WeightsError,
    WeightsFile,
    read_weights,
    write_card,
    write_weights,
)


def test_missing_and_damaged_weights_are_refused(tiny_weights, tmp_path):
    with pytest.raises(WeightsError, match="is missing"):
        Classifier.load(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(tiny_weights.read_bytes()[:5000])
    card = tiny_weights.with_suffix(".json").read_text()
    broken.with_suffix(".json").write_text(card)
    with pytest.raises(WeightsError, match="damaged"):
        Classifier.load(broken)
    broken.write_bytes(tiny_weights.read_bytes())
    broken.with_suffix(".json").write_text(card.replace('"format": 1', '"format": 9'))
    with pytest.raises(WeightsError, match="format 1"):
        Classifier.load(broken)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"views": 0}, "views is 0, expected an integer from 1 to 9"),
        ({"views": 10}, "views is 10"),
        ({"views": 2.0}, "views is 2.0"),
        ({"views": True}, "views is True"),
        ({"novel_above": "high"}, "novel_above is 'high', expected a finite number"),
        ({"novel_above": float("nan")}, "novel_above is nan"),
        ({"novel_above": None}, "novel_above is None"),
        ({"temperature": 0}, "temperature is 0, expected a finite number above 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": None}, "temperature is None"),
        ({"doubt": 1.5}, "doubt is 1.5, expected a number from 0 to 1"),
        ({"doubt": "some"}, "doubt is 'some'"),
        ({"unsure_below": 50}, "unsure_below is 50"),
        ({"coverage": 0.9}, "coverage is 0.9, expected a table"),
        ({"coverage": {"stated": 90, "threshold": 0.9}}, "coverage.stated is 90"),
        ({"coverage": {"stated": 0.9}}, "coverage.threshold is None"),
        ({"temperature": 10**400}, "expected a finite number above 0"),
        ({"network": [1]}, "the shape of the network is missing or no shape"),
        ({"network": {"stages": [], "depth": 1}}, "no shape"),
        ({"network": {}}, "no shape (KeyError('stages'))"),
    ],
)
def test_a_card_that_cannot_be_is_refused_at_load(
    tiny_weights, tmp_path, change, words
):
    path = tmp_path / "own.safetensors"
    path.write_bytes(tiny_weights.read_bytes())
    card = json.loads(tiny_weights.with_suffix(".json").read_text())
    write_card(path, {**card, **change})
    with pytest.raises(WeightsError, match=re.escape(words)) as caught:
        Classifier.load(path, backend="onnx")
    assert "own.json" in str(caught.value)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("lost", [False, True])
def test_weights_of_another_network_are_refused(tiny_weights, tmp_path, backend, lost):
    file = read_weights(tiny_weights)
    tensors = dict(file.tensors)
    name = next(name for name in tensors if name.startswith("stages."))
    if lost:
        del tensors[name]
    else:
        tensors[name] = tensors[name][:-1]
    path = tmp_path / "own.safetensors"
    write_weights(path, WeightsFile(tensors, file.card))
    with pytest.raises(WeightsError, match="no network as the card has it"):
        Classifier.load(path, backend=backend)
