"""The network as an ONNX graph, built from its weights in milliseconds.

The safetensors file stays the one source of truth: nothing is exported, and nothing
live needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ringwatch.models.architecture import N_SPACE_GROUPS, NetworkConfig
from ringwatch.models.inputs import N_CHANNELS

__all__ = ["build_graph"]

_OPSET = 17
_EPSILON = 1e-5  # torch's BatchNorm1d


class _Graph:
    """Nodes in the order of the forward pass; each method returns its output's name."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self._weights = weights
        self.constants: list[TensorProto] = []
        self.nodes: list[NodeProto] = []

    def _weight(self, name: str) -> NDArray[np.float32]:
        """Look up a layer's array."""
        if name not in self._weights:
            raise ValueError(f"the weights lack {name!r}: card and weights do not fit")
        return np.asarray(self._weights[name], np.float32)

    def _constant(self, name: str, value: NDArray[np.float32]) -> str:
        """Register an array that nodes refer to."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operation: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node."""
        name = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def conv(self, x: str, layer: str, norm: str, stride: int = 1) -> str:
        """Convolution, padded by half the kernel, and the normalization after it.

        At inference batch normalization is a factor and an offset per channel, which
        go into the convolution (Ioffe and Szegedy, ICML 2015, section 3.1).
        """
        kernel = self._weight(f"{layer}.weight")  # (out, in, taps)
        variance = self._weight(f"{norm}.running_var") + _EPSILON
        factor = self._weight(f"{norm}.weight") / np.sqrt(variance)
        offset = self._weight(f"{norm}.bias") - factor * self._weight(
            f"{norm}.running_mean"
        )
        inputs = [
            x,
            self._constant(f"{layer}.weight", kernel * factor[:, None, None]),
            self._constant(f"{layer}.bias", offset),
        ]
        half = kernel.shape[2] // 2
        return self.add("Conv", inputs, strides=[stride], pads=[half, half])

    def linear(self, x: str, layer: str) -> str:
        """Fully connected layer."""
        names = (f"{layer}.weight", f"{layer}.bias")
        inputs = [x, *(self._constant(name, self._weight(name)) for name in names)]
        return self.add("Gemm", inputs, transB=1)


def build_graph(
    config: NetworkConfig, weights: Mapping[str, NDArray[np.float32]]
) -> ModelProto:
    """Build the model ``pattern`` (B, 3, n_bins) to ``logits`` (B, 230).

    Parameters
    ----------
    config : NetworkConfig
        Shape of the network.
    weights : mapping of str to ndarray
        By the layer names of ``Network``.

    Raises
    ------
    ValueError
        If a layer's weights are missing.
    """
    graph = _Graph(weights)
    x = "pattern"
    for i, stage in enumerate(config.stages):
        name = f"stages.{i}"
        x = graph.conv(x, f"{name}.conv", f"{name}.norm", stage.stride)
        x = graph.add("Relu", [x])
        for j in range(stage.blocks):
            block = f"{name}.blocks.{j}"
            y = graph.conv(x, f"{block}.conv1", f"{block}.norm1")
            y = graph.conv(graph.add("Relu", [y]), f"{block}.conv2", f"{block}.norm2")
            x = graph.add("Relu", [graph.add("Add", [x, y])])
    x = graph.linear(graph.add("Flatten", [x], axis=1), "hidden")
    logits = graph.linear(graph.add("Relu", [x]), "logits")
    graph.nodes.append(helper.make_node("Identity", [logits], ["logits"]))

    shape_in: list[str | int | None] = ["batch", N_CHANNELS, config.n_bins]
    shape_out: list[str | int | None] = ["batch", N_SPACE_GROUPS]
    body = helper.make_graph(
        graph.nodes,
        "ringwatch",
        [helper.make_tensor_value_info("pattern", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape_out)],
        graph.constants,
    )
    opset = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(body, opset_imports=opset, ir_version=8)
