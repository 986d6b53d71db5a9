"""The network in torch and in ONNX is one function."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ringwatch.models.architecture import NetworkConfig, Stage
from ringwatch.models.network import Network
from ringwatch.models.onnx_graph import build_graph

SMALL = NetworkConfig(
    stages=(Stage(8, 7, 4, 1), Stage(12, 5, 2, 0), Stage(16, 3, 2, 2)),
    hidden=24,
    n_bins=256,
)


def trained_like(config, seed=0):
    """A network whose weights and running statistics are all away from their start."""
    torch.manual_seed(seed)
    network = Network(config)
    with torch.no_grad():
        for name, value in network.learned().items():
            if name.endswith("running_var") or (
                "norm" in name and name.endswith("weight")
            ):
                value.uniform_(0.5, 2.0)
            elif value.ndim == 1:
                value.normal_(0.0, 0.3)
    return network.eval()


def softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "config", [SMALL, dataclasses.replace(SMALL, head_blocks=2), NetworkConfig()]
)
def test_onnx_agrees_with_torch(config):
    network = trained_like(config)
    weights = {name: v.numpy() for name, v in network.learned().items()}
    model = build_graph(config, weights)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(1).random((5, 3, config.n_bins), np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    assert expected.shape == (5, 230)
    assert expected.std() > 0.01
    found = session.run(["logits"], {"pattern": x})[0]
    np.testing.assert_allclose(softmax(found), softmax(expected), atol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_new_block_passes_its_input_on():
    network = Network(SMALL)
    block = network.stages[0].blocks[0].eval()
    x = torch.rand(2, 8, 64)
    torch.testing.assert_close(block(x), x)


def test_config_survives_json():
    assert NetworkConfig.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(TypeError):
        NetworkConfig.from_dict({**SMALL.to_dict(), "layers": 3})


def test_weights_of_another_network_are_refused():
    learned = Network(SMALL).learned()
    network = Network(SMALL)
    network.load_learned(learned)
    for name, value in network.learned().items():
        torch.testing.assert_close(value, learned[name])
    with pytest.raises(ValueError, match="another network"):
        Network(NetworkConfig()).load_learned(learned)
    del learned["hidden.bias"]
    with pytest.raises(ValueError, match=r"hidden\.bias"):
        network.load_learned(learned)
    with pytest.raises(ValueError, match=r"hidden\.bias"):
        build_graph(SMALL, {name: v.numpy() for name, v in learned.items()})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stage(8, 4, 2, 0),
        lambda: Stage(0, 3, 2, 0),
        lambda: NetworkConfig(n_bins=1000),
    ],
)
def test_impossible_shapes_are_refused(make):
    with pytest.raises(ValueError, match=r"odd kernel|must divide"):
        make()


@pytest.mark.parametrize("family", ["convnext", "transformer"])
def test_rivals_learn_a_batch_and_have_no_onnx_form(family):
    stages = (Stage(32, 1, 16, 1),) + (
        () if family == "transformer" else (Stage(48, 1, 2, 1),)
    )
    config = NetworkConfig(stages=stages, hidden=64, n_bins=512, family=family)
    torch.manual_seed(0)
    network = Network(config)
    x, truth = torch.rand(16, 3, 512), torch.arange(16)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(x), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    assert NetworkConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="no ONNX form"):
        build_graph(config, {})
