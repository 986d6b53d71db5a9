"""Several networks in one file: their logits averaged, their hidden layers in a row."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch

from ringwatch.models.architecture import NetworkConfig, Stage
from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals import natural_prior, training_prior
from ringwatch.models.engines import onnx_engine, torch_engine
from ringwatch.models.network import Network
from ringwatch.models.onnx_graph import build_ensemble_graph, build_graph
from ringwatch.models.weight_files import (
    WeightsError,
    WeightsFile,
    join,
    read_weights,
    write_weights,
)

SMALL = NetworkConfig(
    stages=(Stage(8, 7, 8, 1), Stage(16, 5, 4, 0)), hidden=32, n_bins=512
)
OTHER = NetworkConfig(
    stages=(Stage(12, 5, 16, 0), Stage(8, 3, 2, 1)),
    hidden=24,
    n_bins=512,
    head_blocks=2,
)


def weights_of(config, seed, **extra):
    torch.manual_seed(seed)
    network = Network(config)
    with torch.no_grad():
        for name, value in network.learned().items():
            if "norm" in name and name.endswith(("running_var", "weight")):
                value.uniform_(0.5, 2.0)
            elif value.ndim == 1 or "linear2" in name:
                value.normal_(0.0, 0.3)
    tensors = {name: v.numpy() for name, v in network.learned().items()}
    tensors["prior.training"] = training_prior(0.5)[1:].astype(np.float32)
    tensors["prior.natural"] = natural_prior()[1:].astype(np.float32)
    card = {
        "network": config.to_dict(),
        "training": {"samples": seed},
        "temperature": 1.0,
        "coverage": {"stated": 0.9, "threshold": 0.9},
        "unsure_below": 0.5,
        "scores": {},
    }
    return WeightsFile({**tensors, **extra}, card)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((3, 3, 512), np.float32)


@pytest.fixture(scope="module")
def files():
    return weights_of(SMALL, 1), weights_of(OTHER, 2)


@pytest.mark.parametrize(
    "engine", [onnx_engine, lambda file: torch_engine(file, "cpu")]
)
def test_logits_are_averaged_and_hidden_layers_stand_side_by_side(files, x, engine):
    logits, hidden = engine(join(files))(x)
    single = [engine(file)(x) for file in files]
    assert logits.shape == (3, 230)
    assert hidden.shape == (3, 32 + 24)
    mean = (single[0][0] + single[1][0]) / 2
    np.testing.assert_allclose(logits, mean, rtol=1e-4, atol=1e-4)
    both = np.concatenate([single[0][1], single[1][1]], axis=1)
    np.testing.assert_allclose(hidden, both, rtol=1e-4, atol=1e-4)
    assert (hidden >= 0).all()
    assert hidden.std() > 0.01


def test_threads_leave_torch_as_they_found_it(files, x):
    """The switch that keeps single precision whole belongs to the whole process."""
    run = torch_engine(files[0], "cpu")
    alone = run(x)[0]
    before = torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32
    with ThreadPoolExecutor(4) as pool:
        for logits, _ in pool.map(run, [x] * 200):
            np.testing.assert_allclose(logits, alone, rtol=1e-5, atol=1e-5)
    after = torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32
    assert after == before == (True, True)


def test_onnx_and_torch_agree_on_an_ensemble(files, x):
    joined = join(files)
    a, b = onnx_engine(joined)(x), torch_engine(joined, "cpu")(x)
    np.testing.assert_allclose(a[0], b[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-3, atol=1e-4)
    onnx.checker.check_model(build_ensemble_graph(joined.members()), full_check=True)


def test_an_ensemble_survives_its_file(tmp_path, files, x):
    path = tmp_path / "three.safetensors"
    three = join([join(files), weights_of(SMALL, 3)])
    write_weights(path, three)
    again = read_weights(path)
    assert again.networks == (SMALL, OTHER, SMALL)
    assert again.network == SMALL
    assert [run["samples"] for run in again.card["trained"]] == [1, 2, 3]
    assert "network" not in again.card
    found, stored = onnx_engine(three)(x)[0], onnx_engine(again)(x)[0]
    np.testing.assert_allclose(stored, found, atol=0.02)  # half precision
    classifier = Classifier.load(path, backend="onnx")
    q = np.linspace(0.5, 5.5, 1500)
    prediction = classifier.predict(q, np.exp(-(((q - 2) / 0.02) ** 2)))
    assert sum(c.probability for c in prediction.classes) == pytest.approx(1)


def test_what_was_fitted_to_one_network_is_left_out(files):
    fitted = weights_of(SMALL, 1, **{"novelty.mean": np.zeros(3, "f4")})
    joined = join([fitted, files[1]])
    assert not any("novelty" in name for name in joined.tensors)
    alone = dict.fromkeys(("novel_above", "novelty", "calibration", "evaluation"), 0.0)
    told = dataclasses.replace(fitted, card={**fitted.card, **alone, "views": 3})
    card = join([told, files[1]]).card
    assert not set(alone) & set(card)
    assert (card["views"], card["temperature"]) == (3, 1.0)
    assert set(joined.members()[0][1]) == {
        name for name in files[0].tensors if not name.startswith("prior.")
    }


def test_only_equals_are_averaged(files):
    with pytest.raises(WeightsError, match="one weights file"):
        join([])
    coarse = dataclasses.replace(SMALL, n_bins=256)
    with pytest.raises(WeightsError, match="only equals"):
        join([files[0], weights_of(coarse, 1)])
    even = np.full(230, 1 / 230, np.float32)
    balanced = weights_of(SMALL, 1, **{"prior.training": even})
    with pytest.raises(WeightsError, match="only equals"):
        join([files[0], balanced])
    with pytest.raises(ValueError, match="one grid for all"):
        build_ensemble_graph([])


def test_rivals_have_no_onnx_form(files):
    rival = dataclasses.replace(SMALL, family="convnext")
    with pytest.raises(ValueError, match="backend='torch'"):
        build_graph(rival, files[0].tensors)
