"""One network or several as one ONNX graph, built from weights in milliseconds.

The safetensors file stays the one source of truth: nothing is exported, and nothing
live needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from ringwatch.models.architecture import N_SPACE_GROUPS, NetworkConfig
from ringwatch.models.inputs import N_CHANNELS

__all__ = ["Member", "build_ensemble_graph", "build_graph", "build_map_graph"]

Member = tuple[NetworkConfig, Mapping[str, NDArray[np.float32]]]
"""Shape of a network, and its weights by the layer names of ``Network``."""

_OPSET = 17
_EPSILON = 1e-5  # torch's BatchNorm1d and LayerNorm


class _Graph:
    """Nodes in the order of the forward pass; each method returns its output's name.

    Several networks go into one graph one after the other: ``begin`` the next.
    """

    def __init__(self) -> None:
        self._weights: Mapping[str, NDArray[np.float32]] = {}
        self._prefix = ""
        self.constants: list[TensorProto] = []
        self.nodes: list[NodeProto] = []

    def begin(self, weights: Mapping[str, NDArray[np.float32]], prefix: str) -> None:
        """Take the weights of another network; its names get the prefix."""
        self._weights, self._prefix = weights, prefix

    def _weight(self, name: str) -> NDArray[np.float32]:
        """Look up a layer's array."""
        if name not in self._weights:
            raise ValueError(f"the weights lack {name!r}: card and weights do not fit")
        return np.asarray(self._weights[name], np.float32)

    def _constant(self, name: str, value: NDArray[np.float32]) -> str:
        """Register an array that nodes refer to."""
        full = self._prefix + name
        self.constants.append(numpy_helper.from_array(value, full))
        return full

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

    def layer_norm(self, x: str, layer: str) -> str:
        """Layer normalization over the last axis, as torch's LayerNorm has it."""
        names = (f"{layer}.weight", f"{layer}.bias")
        inputs = [x, *(self._constant(name, self._weight(name)) for name in names)]
        return self.add("LayerNormalization", inputs, epsilon=_EPSILON)


def build_graph(
    config: NetworkConfig, weights: Mapping[str, NDArray[np.float32]]
) -> ModelProto:
    """Build the model of one network, as ``build_ensemble_graph`` does of several.

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
    return build_ensemble_graph([(config, weights)])


def build_ensemble_graph(members: Sequence[Member]) -> ModelProto:
    """Build ``pattern`` (B, 3, n_bins) to ``logits`` (B, 230) and ``hidden`` (B, h).

    Logits are the mean over the members. Softmax knows no common offset, so that is
    the geometric mean of their probabilities. Hidden layers, after their rectifier,
    stand side by side: h is the sum of their widths.

    The whole of it for any ONNX runtime, and the standard for our own dense layers
    (``head_kernels``), which go on from ``build_map_graph``.

    Parameters
    ----------
    members : sequence of (NetworkConfig, mapping of str to ndarray)
        One network at least; all see the same grid.

    Raises
    ------
    ValueError
        If there is no member, the grids differ, or a layer's weights are missing.
    """
    _check_alike(members)
    graph = _Graph()
    hidden, logits = [], []
    for i, (config, weights) in enumerate(members):
        graph.begin(weights, f"{i}.")
        hidden.append(_hidden_layer(graph, config))
        logits.append(graph.linear(hidden[-1], "logits"))
    graph.nodes.append(helper.make_node("Concat", hidden, ["hidden"], axis=1))
    graph.nodes.append(helper.make_node("Mean", logits, ["logits"]))

    width = sum(config.hidden for config, _ in members)
    outputs = [_tensor("logits", N_SPACE_GROUPS), _tensor("hidden", width)]
    return _model(graph, members[0][0].n_bins, outputs)


def build_map_graph(members: Sequence[Member]) -> ModelProto:
    """Build ``pattern`` (B, 3, n_bins) to ``map_0``, ``map_1`` ... of the members.

    Each is (B, n): the convolutions' map, flattened, before the dense layers.

    Parameters
    ----------
    members : sequence of (NetworkConfig, mapping of str to ndarray)
        As for ``build_ensemble_graph``, also for the errors.
    """
    _check_alike(members)
    graph = _Graph()
    outputs = []
    for i, (config, weights) in enumerate(members):
        graph.begin(weights, f"{i}.")
        x = _map(graph, config)
        graph.nodes.append(helper.make_node("Flatten", [x], [f"map_{i}"], axis=1))
        outputs.append(_tensor(f"map_{i}", config.flat_size))
    return _model(graph, members[0][0].n_bins, outputs)


def _check_alike(members: Sequence[Member]) -> None:
    if rivals := {c.family for c, _ in members} - {"residual"}:
        raise ValueError(
            f"networks of the family {sorted(rivals)} have no ONNX form: run them in "
            "torch (backend='torch')"
        )
    grids = {(c.n_bins, c.q_min, c.q_max) for c, _ in members}
    if len(grids) != 1:
        raise ValueError(
            f"{len(members)} networks over the grids {sorted(grids)}: an ensemble "
            "needs one network at least and one grid for all"
        )


def _tensor(name: str, *shape: int) -> ValueInfoProto:
    sizes: list[str | int | None] = ["batch", *shape]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)


def _model(graph: _Graph, n_bins: int, outputs: list[ValueInfoProto]) -> ModelProto:
    inputs = [_tensor("pattern", N_CHANNELS, n_bins)]
    body = helper.make_graph(graph.nodes, "ringwatch", inputs, outputs, graph.constants)
    opset = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(body, opset_imports=opset, ir_version=8)


def _map(graph: _Graph, config: NetworkConfig) -> str:
    """The convolutions of one network, up to their last map (B, channels, n)."""
    if config.family != "residual":
        raise ValueError(
            f"a network of the family {config.family!r} has no ONNX form: use torch"
        )
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
    return x


def _hidden_layer(graph: _Graph, config: NetworkConfig) -> str:
    """Everything of one network up to the layer before the logits."""
    x = _map(graph, config)
    x = graph.linear(graph.add("Flatten", [x], axis=1), "hidden")
    for j in range(config.head_blocks):
        block = f"head.{j}"
        y = graph.linear(graph.layer_norm(x, f"{block}.norm"), f"{block}.linear1")
        y = graph.linear(graph.add("Relu", [y]), f"{block}.linear2")
        x = graph.add("Add", [x, y])
    return graph.add("Relu", [x])
