"""What learns from a few labelled embeddings: as simple as it can be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

__all__ = ["HEADS", "Head"]

HEADS = "logistic", "nearest mean"
_RIDGE = 0.05
_SCALE = 4.0  # brings embeddings, of unit variance over all crystals, to about 1
_SPREAD = 4.0  # squared distances per unit of log probability; orders margins only

Floats = NDArray[np.float64]


class Head:
    """Tells kinds of sample by their embeddings, from a few labelled ones.

    Parameters
    ----------
    kind : str
        One of ``HEADS``.
    x : ndarray, (n, d)
    y : ndarray, (n,)
        Kinds, as integers.
    """

    def __init__(self, kind: str, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self.kinds = np.unique(y)
        self._means = np.stack([x[y == each].mean(axis=0) for each in self.kinds])
        self._weights: Floats | None = None
        if kind == "logistic" and len(self.kinds) > 1:
            self._weights = self._fit(_padded(x), np.searchsorted(self.kinds, y))

    def probabilities(self, x: NDArray[Any]) -> Floats:
        """Of each of ``kinds``, (n, k)."""
        if self._weights is not None:
            return np.asarray(softmax(_padded(x) @ self._weights, axis=1))
        squared = ((x[:, None, :] - self._means) ** 2).sum(axis=2)
        return np.asarray(softmax(-squared / _SPREAD, axis=1))

    def guess(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """The likeliest kind of each, (n,)."""
        return np.asarray(self.kinds[self.probabilities(x).argmax(axis=1)])

    def _fit(self, x: Floats, y: NDArray[np.int64]) -> Floats:
        shape = x.shape[1], len(self.kinds)
        told = np.eye(len(self.kinds))[y]

        def loss(flat: Floats) -> tuple[float, Floats]:
            w = flat.reshape(shape)
            logs = log_softmax(x @ w, axis=1)
            ridge = _RIDGE * w
            ridge[-1] = 0.0  # of the constant
            value = -(told * logs).sum() + 0.5 * (ridge * w).sum()
            return float(value), (x.T @ (np.exp(logs) - told) + ridge).ravel()

        start = np.zeros(shape[0] * shape[1])
        found = minimize(loss, start, jac=True, method="L-BFGS-B")
        return np.asarray(found.x.reshape(shape))


def _padded(x: NDArray[Any]) -> Floats:
    return np.column_stack([np.asarray(x, np.float64) / _SCALE, np.ones(len(x))])
