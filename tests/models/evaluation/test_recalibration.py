"""Everything fitted to finished networks, end to end on a tiny one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ringwatch.models.architecture import NetworkConfig, Stage
from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals import natural_prior, training_prior
from ringwatch.models.evaluation.datasets import DatasetError
from ringwatch.models.evaluation.recalibration import (
    _simulated,
    _simulation,
    recalibrate,
)
from ringwatch.models.network import Network
from ringwatch.models.training.recipe import Recipe
from ringwatch.models.weight_files import WeightsFile, read_weights, write_weights

CONFIG = NetworkConfig(
    stages=(Stage(8, 7, 8, 0), Stage(8, 5, 4, 0)), hidden=96, n_bins=512
)
Q = np.arange(0.5, 5.8, 0.004)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A network that has learned nothing, and what it was before."""
    torch.manual_seed(0)
    tensors = {n: v.numpy() for n, v in Network(CONFIG).learned().items()}
    tensors["prior.training"] = training_prior(0.5)[1:].astype(np.float32)
    tensors["prior.natural"] = natural_prior()[1:].astype(np.float32)
    card = {
        "network": CONFIG.to_dict(),
        "training": {"recipe": Recipe(network=CONFIG).to_dict()},
        "temperature": 1.0,
        "coverage": {"stated": 0.9, "threshold": 0.9},
        "unsure_below": 0.5,
        "scores": {"natural": {}},
    }
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    before = write_weights(path, WeightsFile(tensors, card))
    ticks = []
    found, scores = recalibrate(path, count=512, tick=lambda: ticks.append(1))
    assert len(ticks) == 2
    return path, before, found, scores


def test_a_missing_table_leaves_the_weights_as_they_are(fitted, tmp_path):
    path = tmp_path / "own.safetensors"
    files = [path, path.with_suffix(".json")]
    for own, whole in zip(
        files, (fitted[0], fitted[0].with_suffix(".json")), strict=True
    ):
        own.write_bytes(whole.read_bytes())
    before = [file.read_bytes() for file in files]
    with pytest.raises(DatasetError):
        recalibrate(path, patterns=tmp_path / "none.parquet", count=256)
    assert [file.read_bytes() for file in files] == before


def pattern():
    return sum(np.exp(-(((Q - at) / 0.01) ** 2)) for at in (1.5, 2.1, 3.3)) + 0.01


def test_the_networks_stay_and_what_was_fitted_is_beside_them(fitted):
    path, before, found, scores = fitted
    after = read_weights(path)
    for name, value in before.tensors.items():
        np.testing.assert_array_equal(after.tensors[name], value)
    added = set(after.tensors) - set(before.tensors)
    assert {name.split(".")[0] for name in added} == {"embedding", "novelty"}
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["temperature"] == found.temperature
    assert card["doubt"] == found.doubt
    assert card["coverage"] == {"stated": 0.9, "threshold": found.threshold}
    assert card["calibration"] == "512 simulated patterns never trained on"
    assert card["scores"] == {}
    assert after.network == CONFIG
    assert set(scores) == {"simulated"}
    assert scores["simulated"].coverage.percent > 80


def test_predictions_carry_an_embedding_and_novelty(fitted):
    path, before, _, _ = fitted
    classifier = Classifier.load(path, backend="onnx")
    prediction = classifier.predict(Q, pattern())
    assert prediction.embedding.shape == (64,)
    assert prediction.embedding.dtype == np.float32
    assert np.isfinite(prediction.embedding).all()
    other = classifier.predict(Q, pattern()[::-1])
    assert not np.array_equal(prediction.embedding, other.embedding)
    batch = classifier.predict(Q, np.stack([pattern(), pattern()[::-1]]))
    np.testing.assert_allclose(
        batch[1].embedding, other.embedding, rtol=1e-3, atol=1e-3
    )
    assert -12 <= prediction.novelty <= 12
    assert prediction.novel == (prediction.novelty > classifier.card["novel_above"])
    assert prediction.unsure or not prediction.novel
    assert before.digest != read_weights(path).digest


def test_one_in_twenty_known_patterns_counts_as_novel(fitted):
    """Fitted on the simulated patterns, whose novelty is known here too."""
    path = fitted[0]
    classifier = Classifier.load(path, backend="onnx")
    x = _simulated(*_simulation(classifier, None), 512).x
    novelty = classifier.novelty(*classifier.outputs(x))
    flagged = (novelty > classifier.card["novel_above"]).mean()
    assert flagged == pytest.approx(0.05, abs=1 / 512)


def test_fitting_again_gives_the_same(fitted, tmp_path):
    path, before, found, _ = fitted
    copy = tmp_path / "copy.safetensors"
    write_weights(copy, before)
    again, _ = recalibrate(copy, count=512)
    assert again == found
    assert read_weights(copy).digest == read_weights(path).digest


def test_views_are_averaged(fitted, tmp_path):
    path = fitted[0]
    file = read_weights(path)
    three = tmp_path / "three.safetensors"
    write_weights(three, WeightsFile(file.tensors, {**file.card, "views": 3}))
    one, several = (Classifier.load(p, backend="onnx") for p in (path, three))
    x = np.random.default_rng(0).random((2, 3, 512)).astype("f4")
    up, down = np.zeros_like(x), np.zeros_like(x)
    up[..., 1:], down[..., :-1] = x[..., :-1], x[..., 1:]
    mean = sum(one.logits(view) for view in (x, up, down)) / 3
    np.testing.assert_allclose(several.logits(x), mean, rtol=1e-4, atol=1e-4)
    assert one.identity != several.identity
    empty = several.outputs(np.zeros((0, 3, 512), np.float32))
    assert empty[0].shape == (0, 230)
    assert empty[1].shape == (0, 96)
