"""The dense layers of a network for one pattern at a time, compiled.

Multiplying one row by a matrix is a matter of reading the matrix. Seven in eight
numbers of the map that goes in are 0, since a rectifier made them, and so are many of
the numbers between the layers: their rows of weights are not read at all. The sums are
made in the order of the rows, so that leaving out zeros changes no bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ringwatch.models.architecture import N_SPACE_GROUPS, NetworkConfig

__all__ = ["Head"]

Float = NDArray[np.float32]

_EPSILON = np.float32(1e-5)  # torch's LayerNorm


@dataclass(frozen=True, slots=True, eq=False)
class _Dense:
    """Weights (n_in, n_out), each input's beside each other, and offsets (n_out,)."""

    weight: Float
    bias: Float

    def __call__(self, x: Float) -> Float:
        out = np.empty(self.bias.size, np.float32)
        _multiply(x, self.weight, self.bias, out)
        return out


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

        def dense(layer: str, n_in: int, n_out: int) -> _Dense:
            rows = np.ascontiguousarray(weight(f"{layer}.weight", n_out, n_in).T)
            return _Dense(rows, weight(f"{layer}.bias", n_out))

        width = config.hidden
        self._hidden = dense("hidden", config.flat_size, width)
        self._blocks = [
            (
                weight(f"head.{j}.norm.weight", width),
                weight(f"head.{j}.norm.bias", width),
                dense(f"head.{j}.linear1", width, width),
                dense(f"head.{j}.linear2", width, width),
            )
            for j in range(config.head_blocks)
        ]
        self._logits = dense("logits", width, N_SPACE_GROUPS)

    def __call__(self, flat: Float) -> tuple[Float, Float]:
        """Logits (230,) and hidden layer (h,) of one flattened map (n,)."""
        x = self._hidden(flat)
        for factor, offset, first, second in self._blocks:
            y = first(_normalize(x, factor, offset))
            x = x + second(np.maximum(y, 0))
        hidden: Float = np.maximum(x, 0)
        return self._logits(hidden), hidden


@numba.njit(nogil=True, cache=True)
def _multiply(x: Float, weight: Float, bias: Float, out: Float) -> None:
    """Fill ``bias + x @ weight``; rows of weights whose input is 0 are not read."""
    for j in range(out.size):
        out[j] = bias[j]
    for i in range(x.size):
        value = x[i]
        if value == np.float32(0.0):
            continue
        for j in range(out.size):
            out[j] += value * weight[i, j]


def _normalize(x: Float, factor: Float, offset: Float) -> Float:
    """Layer normalization (Ba, Kiros and Hinton, arXiv:1607.06450, equation 3)."""
    centred = x - x.mean(dtype=np.float32)
    spread = np.sqrt(np.mean(centred * centred, dtype=np.float32) + _EPSILON)
    normal: Float = (centred / spread * factor + offset).astype(np.float32, copy=False)
    return normal
