"""Weights and a backend: I(q) in, ``Prediction`` out.

ONNX Runtime on the CPU (torch is not imported), torch on a GPU. Both run the same
weights in single precision: one network, or several whose logits are averaged.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ringwatch.models import inputs
from ringwatch.models.calibration import (
    Calibration,
    posterior,
    smallest_set,
    sum_over,
    tempered,
)
from ringwatch.models.embedding import Embedding, absent
from ringwatch.models.engines import Engine, has_gpu, onnx_engine, torch_engine
from ringwatch.models.inputs import Float, InputGrid, PatternError
from ringwatch.models.novelty import NoveltyHead
from ringwatch.models.prediction import Prediction
from ringwatch.models.priors import Prior, space_group_prior
from ringwatch.models.symmetry import (
    CLASS_INDEX,
    CRYSTAL_SYSTEMS,
    POWDER_CLASSES,
    SYSTEM_INDEX,
)
from ringwatch.models.views import views
from ringwatch.models.weight_files import SHIPPED, WeightsFile, read_weights

__all__ = ["Backend", "Classifier", "Prior"]

Backend = Literal["auto", "onnx", "torch"]
Floats = NDArray[np.float64]

_BATCH = 256
_OF_CLASS = CLASS_INDEX[1:]
_OF_SYSTEM = SYSTEM_INDEX[1:]


class Classifier:
    """Powder class, crystal system and space group of diffraction patterns.

    Make one with `Classifier.load`. Safe to call from several threads.

    Attributes
    ----------
    grid : InputGrid
        What patterns are resampled to.
    backend : str
        ``onnx`` or ``torch``.
    device : str
        Kind of device that torch runs on, ``cpu`` or ``cuda``; empty without it.
    prior : str
        Name of the prior.
    training_prior, space_group_prior : ndarray, (230,)
        Frequencies of the space groups in training, and those of the prior.
    identity : str
        SHA-256, hex, of weights, calibration and prior: equal identities answer alike.
    card : dict
        The machine-readable model card.
    calibration : Calibration
        From logits to probabilities and label sets.
    """

    def __init__(
        self,
        weights: WeightsFile,
        *,
        prior: Prior,
        backend: str,
        engine: Engine,
        device: str = "",
    ) -> None:
        self.card, self.prior, self.backend = weights.card, prior, backend
        self.device = device.partition(":")[0]
        network = weights.network
        self.grid = InputGrid(network.n_bins, network.q_min, network.q_max)
        self._engine = engine
        self.training_prior = weights.tensors["prior.training"].astype(np.float64)
        self.space_group_prior = space_group_prior(prior, weights)
        self.calibration = Calibration.of_card(self.card)
        self._unsure_below = float(self.card["unsure_below"])
        self._views = int(self.card.get("views", 1))
        self._embedding = Embedding.of_tensors(weights.tensors)
        self._head = NoveltyHead.of_tensors(weights.tensors)
        self._novel_above = float(self.card.get("novel_above", math.inf))
        settings = [self._unsure_below, self._views, self._novel_above]
        answers = [self.calibration.to_card(), settings]
        text = json.dumps([weights.digest, answers, prior], sort_keys=True)
        self.identity = hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def load(
        cls,
        weights: Path | str | None = None,
        *,
        prior: Prior = "natural",
        backend: Backend = "auto",
        device: str | None = None,
    ) -> Classifier:
        """Load weights.

        Parameters
        ----------
        weights : path, optional
            A ``.safetensors`` file with its card beside it; default: those shipped.
        prior : {'natural', 'balanced', 'training'}
            Frequencies of known inorganic structures; every powder class alike; or
            those the network was trained with.
        backend : {'auto', 'onnx', 'torch'}
            ``auto``: torch if there is an NVIDIA GPU, else ONNX Runtime.
        device : str, optional
            torch's name of the device, such as ``cuda:1``; implies torch.

        Raises
        ------
        WeightsError
            If the files are missing or damaged.
        ValueError
            If prior or backend is unknown, or backend and device contradict.
        """
        if backend not in {"auto", "onnx", "torch"}:
            raise ValueError(f"backend {backend!r}: choose auto, onnx or torch")
        if device is not None and backend == "onnx":
            raise ValueError(f"device {device!r} is torch's: leave out backend='onnx'")
        file = read_weights(Path(weights) if weights is not None else SHIPPED)
        if backend == "auto":
            backend = "torch" if device is not None or has_gpu() else "onnx"
        if backend == "onnx":
            return cls(file, prior=prior, backend=backend, engine=onnx_engine(file))
        device = device or ("cuda" if has_gpu() else "cpu")
        engine = torch_engine(file, device)
        return cls(file, prior=prior, backend=backend, engine=engine, device=device)

    def outputs(self, x: Float) -> tuple[Float, Float]:
        """Run the networks, on as many views as the card asks for.

        Parameters
        ----------
        x : ndarray, (B, 3, n_bins)
            Network inputs.

        Returns
        -------
        logits : ndarray, (B, 230)
            Mean over networks and views.
        hidden : ndarray, (B, h)
            Last hidden layers side by side, mean over views.
        """
        x = np.ascontiguousarray(x, np.float32)
        if not len(x):
            logits, hidden = self._engine(np.zeros((1, *x.shape[1:]), np.float32))
            return logits[:0], hidden[:0]
        parts = [self._seen(x[i : i + _BATCH]) for i in range(0, len(x), _BATCH)]
        return (
            np.concatenate([logits for logits, _ in parts]),
            np.concatenate([hidden for _, hidden in parts]),
        )

    def _seen(self, x: Float) -> tuple[Float, Float]:
        """Logits and hidden layer of one batch, mean over its views."""
        logits, hidden = self._engine(x)
        for i, view in enumerate(views(x, self._views)):
            if i:
                more = self._engine(view)
                logits, hidden = logits + more[0], hidden + more[1]
        return logits / np.float32(self._views), hidden / np.float32(self._views)

    def logits(self, x: Float) -> Float:
        """Logits (B, 230) of network inputs (B, 3, n_bins)."""
        return self.outputs(x)[0]

    def probabilities(self, logits: Float) -> Floats:
        """Calibrated space-group probabilities (B, 230) of logits (B, 230)."""
        p = posterior(logits, 1.0, self.training_prior, self.space_group_prior)
        how = self.calibration
        return tempered(p, _OF_CLASS, how.temperature, how.doubt)

    @overload
    def predict(
        self,
        q: NDArray[np.floating],
        intensity: NDArray[np.floating],
        sigma: NDArray[np.floating] | None = None,
    ) -> Prediction: ...
    @overload
    def predict(self, q: Any, intensity: Any, sigma: Any = None) -> Any: ...
    def predict(self, q: Any, intensity: Any, sigma: Any = None) -> Any:
        """Symmetry of one pattern, or of each pattern of a batch.

        Parameters
        ----------
        q : array, (n,) or (B, n)
            1/Angstrom, in any order and sampling. What lies outside the grid is unused.
        intensity : array, (n,) or (B, n)
            Any unit; NaN where nothing was measured (bins without pixels).
        sigma : array like intensity, optional
            Points whose sigma is not finite are left out.

        Returns
        -------
        Prediction or list of Prediction
            One for (n,), B for (B, n).

        Raises
        ------
        PatternError
            A ValueError: shapes differ, fewer than eight finite points, or no overlap
            of q with the grid.
        """
        intensity = np.asarray(intensity)
        if intensity.ndim == 1:
            x = inputs.network_input(q, intensity, sigma, grid=self.grid)
            return self._predictions(x[None])[0]
        if intensity.ndim != 2:
            raise PatternError(
                f"intensity has {intensity.ndim} dimensions: pass (n,) or (B, n)"
            )
        if not len(intensity):
            return []
        return self._predictions(
            inputs.network_inputs(q, intensity, sigma, grid=self.grid)
        )

    def predict_all(
        self, patterns: Sequence[tuple[Floats, Floats, Floats | None]]
    ) -> list[Prediction | PatternError]:
        """Symmetry of patterns that were sampled differently, in one batch.

        Parameters
        ----------
        patterns : sequence of (q, intensity, sigma)
            Each as for ``predict``, (n,).

        Returns
        -------
        list
            Of each what ``predict`` says of it, or would raise.
        """
        seen: list[Float] = []
        said: list[Prediction | PatternError | None] = []
        for pattern in patterns:
            try:
                seen.append(inputs.network_input(*pattern, grid=self.grid))
            except PatternError as error:
                said.append(error)
            else:
                said.append(None)
        found = iter(self._predictions(np.stack(seen)) if seen else ())
        return [next(found) if each is None else each for each in said]

    def _predictions(self, x: Float) -> list[Prediction]:
        """Predictions of network inputs (B, 3, n_bins)."""
        logits, hidden = self.outputs(x)
        p = self.probabilities(logits)
        classes = sum_over(p, _OF_CLASS, len(POWDER_CLASSES))
        systems = sum_over(p, _OF_SYSTEM, len(CRYSTAL_SYSTEMS))
        novelty = self.novelty(logits, hidden)
        novel = novelty > self._novel_above
        unsure = novel | (classes.max(axis=1) < self._unsure_below)
        embedding = self.embedding(hidden)
        return [
            Prediction.of(
                p[i],
                classes[i],
                systems[i],
                chosen=smallest_set(classes[i], self.calibration.threshold),
                coverage=self.calibration.coverage,
                unsure=bool(unsure[i]),
                novelty=float(novelty[i]),
                novel=bool(novel[i]),
                embedding=embedding[i],
            )
            for i in range(len(p))
        ]

    def novelty(self, logits: Float, hidden: Float) -> Floats:
        """How little patterns (B,) look like one phase; see `Prediction.novelty`."""
        if self._head is None:
            return -logsumexp(logits.astype(np.float64), axis=1)
        return self._head.score(logits, hidden)

    def embedding(self, hidden: Float) -> Float:
        """Embeddings (B, 64) of hidden layers (B, h); NaN where the file has none."""
        if self._embedding is None:
            return np.tile(absent(), (len(hidden), 1))
        return self._embedding.of(hidden)
