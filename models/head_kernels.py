"""The dense layers of a network for one pattern at a time, compiled.

Multiplying one row by a matrix is a matter of reading the matrix. Seven in eight
numbers of the map that goes in are 0, since a rectifier made them, and so are many of
the numbers between the layers: their rows of weights are not read at all. The sums are
made in the order of the rows, so that leaving out zeros changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.models.architecture import N_SPACE_GROUPS, NetworkConfig

__all__ = ["Head"]

Float = NDArray[np.float32]

_EPSILON = 1e-5  # torch's LayerNorm


class Head:
    """From the flattened map of one network to its hidden layer and its logits.

    Parameters
    ----------
    config : NetworkConfig
    weights : mapping of str to ndarray
        By the layer names of ``Network``.

    Raises
    ------
    ValueError
        If a layer's weights are missing or have another shape.
    """

    def __init__(self, config: NetworkConfig, weights: Mapping[str, Float]) -> None:
        def weight(name: str, *shape: int) -> Float:
            if name not in weights:
                raise ValueError(
                    f"the weights lack {name!r}: card and weights do not fit"
                )
            found = np.asarray(weights[name], np.float32)
            if found.shape != shape:
                raise ValueError(
                    f"{name} has the shape {found.shape} where {shape} is needed: card "
                    "and weights do not fit"
                )
            return np.ascontiguousarray(found)

        def rows(layer: str, n_in: int, n_out: int) -> Float:
            """Weights (n_in, n_out): those of an input stand side by side."""
            return np.ascontiguousarray(weight(f"{layer}.weight", n_out, n_in).T)

        width, blocks = config.hidden, range(config.head_blocks)
        linear = [f"head.{j}.linear{k}" for j in blocks for k in (1, 2)]
        offsets = [weight(f"{layer}.bias", width) for layer in linear]
        square = [rows(layer, width, width) for layer in linear]
        scales = [
            weight(f"head.{j}.norm.{what}", width)
            for j in blocks
            for what in ("weight", "bias")
        ]
        self._layers = (
            rows("hidden", config.flat_size, width),
            weight("hidden.bias", width),
            np.array(scales, np.float32).reshape(len(blocks), 2, width),
            np.array(square, np.float32).reshape(len(blocks), 2, width, width),
            np.array(offsets, np.float32).reshape(len(blocks), 2, width),
            rows("logits", width, N_SPACE_GROUPS),
            weight("logits.bias", N_SPACE_GROUPS),
        )

    def __call__(self, flat: Float) -> tuple[Float, Float]:
        """Logits (230,) and hidden layer (h,) of one flattened map (n,)."""
        *_, last = self._layers
        logits, hidden = np.empty_like(last), np.empty_like(self._layers[1])
        _run(flat, *self._layers, logits, hidden)
        return logits, hidden


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _run(
    flat: Float,
    first: Float,
    first_offset: Float,
    scales: Float,
    square: Float,
    offsets: Float,
    last: Float,
    last_offset: Float,
    logits: Float,
    hidden: Float,
) -> None:
    """Fill ``logits`` (230,) and ``hidden`` (h,); as one, so as to wait for nobody.

    Other threads want Python's lock as well: between a dozen steps that let go of it a
    labeller would wait a dozen times.
    """
    # Three arrays: of rows of one the compiler could not see that they lie apart.
    normal = np.empty(hidden.size, np.float32)
    inner = np.empty(hidden.size, np.float32)
    more = np.empty(hidden.size, np.float32)
    _multiply(flat, first, first_offset, hidden)
    for j in range(scales.shape[0]):
        _normalize(hidden, scales[j, 0], scales[j, 1], normal)
        _multiply(normal, square[j, 0], offsets[j, 0], inner)
        _rectify(inner)
        _multiply(inner, square[j, 1], offsets[j, 1], more)
        for i in range(hidden.size):
            hidden[i] += more[i]
    _rectify(hidden)
    _multiply(hidden, last, last_offset, logits)


@numba.njit(nogil=True, cache=True)
def _multiply(x: Float, weight: Float, bias: Float, out: Float) -> None:
    """Fill ``bias + x @ weight``; rows of weights whose input is 0 are not read."""
    for j in range(out.size):
        out[j] = bias[j]
    for i in range(x.size):
        value, row = x[i], weight[i]
        if value == np.float32(0.0):
            continue
        for j in range(row.size):
            out[j] += value * row[j]


@numba.njit(nogil=True, cache=True)
def _rectify(x: Float) -> None:
    for i in range(x.size):
        x[i] = max(x[i], np.float32(0.0))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _normalize(x: Float, factor: Float, offset: Float, out: Float) -> None:
    """Layer normalization (Ba, Kiros and Hinton, arXiv:1607.06450, equation 3)."""
    total = square = 0.0
    for i in range(x.size):
        total += x[i]
    mean = total / x.size
    for i in range(x.size):
        square += (x[i] - mean) ** 2
    spread = math.sqrt(square / x.size + _EPSILON)
    for i in range(x.size):
        out[i] = (x[i] - mean) / spread * factor[i] + offset[i]
