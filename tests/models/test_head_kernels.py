"""The dense layers one pattern at a time, against ONNX Runtime's own."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from ringwatch.models.engines import onnx_engine
from ringwatch.models.head_kernels import Head
from ringwatch.models.onnx_graph import build_ensemble_graph
from ringwatch.models.weight_files import SHIPPED, WeightsFile, join, read_weights


@pytest.fixture(scope="module")
def shipped() -> WeightsFile:
    return read_weights(SHIPPED)


@pytest.fixture(scope="module")
def patterns(shipped: WeightsFile) -> np.ndarray:
    rng = np.random.default_rng(3)
    (config, _), *_ = shipped.members()
    x = rng.exponential(size=(12, 3, config.n_bins)).astype(np.float32)
    return x * (rng.random(x.shape) < 0.05)


@pytest.mark.parametrize("copies", [1, 2])
def test_few_patterns_and_many_give_the_same(
    shipped: WeightsFile, patterns: np.ndarray, copies: int
) -> None:
    weights = shipped if copies == 1 else join([shipped] * copies)
    run = onnx_engine(weights)
    whole = onnxruntime.InferenceSession(
        build_ensemble_graph(weights.members()).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    due = whole.run(["logits", "hidden"], {"pattern": patterns})
    for few in (1, 3, 12):
        for found, expected in zip(run(patterns[:few]), due, strict=True):
            assert found.shape == expected[:few].shape
            assert found.dtype == np.float32
            size = np.abs(expected[:few]).max()
            np.testing.assert_allclose(found, expected[:few], atol=3e-6 * size, rtol=0)


def test_a_pattern_gives_the_same_bits_whichever_come_with_it(
    shipped: WeightsFile, patterns: np.ndarray
) -> None:
    run = onnx_engine(shipped)
    alone = [run(patterns[n : n + 1])[0][0] for n in range(4)]
    for again, before in zip(run(patterns[:4])[0], alone, strict=True):
        assert np.array_equal(again, before)


@pytest.mark.parametrize("layer", ["hidden.bias", "head.1.linear1.weight"])
def test_layers_of_another_shape_are_refused(shipped: WeightsFile, layer: str) -> None:
    ((config, tensors),) = shipped.members()
    with pytest.raises(ValueError, match=rf"{layer} has the shape"):
        Head(config, {**tensors, layer: tensors[layer][:-1]})
    with pytest.raises(ValueError, match="lack"):
        Head(config, {n: v for n, v in tensors.items() if n != layer})
