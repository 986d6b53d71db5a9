"""Fits what hangs on the network's hidden layer: the embedding and the novelty head.

Both learn from simulated patterns of crystals that the network was never trained on,
in a minute or two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.disturbances.foreign_patterns import mixture, without_crystal
from ringwatch.models.embedding import Embedding
from ringwatch.models.inputs import Float
from ringwatch.models.novelty import KINDS, NoveltyHead, features

__all__ = ["Examples", "draw_examples", "fit_novelty"]

Tick = Callable[[], None]

_WIDTH = 64
_BATCH = 256
_CLEAN_SHARE = 0.4


@dataclass(frozen=True)
class Examples:
    """What the networks gave for simulated patterns of each of `novelty.KINDS`.

    Attributes
    ----------
    logits, hidden : tuple of ndarray, (n, 230) and (n, h)
        By kind.
    """

    logits: tuple[Float, ...]
    hidden: tuple[Float, ...]

    def embedding(self) -> Embedding:
        """Fit the embedding to the patterns of one phase."""
        return Embedding.fit(self.hidden[0])


def draw_examples(
    classifier: Classifier,
    crystals: CrystalGenerator,
    disturbances: Disturbances,
    *,
    count: int,
    tick: Tick = lambda: None,
) -> Examples:
    """Simulate ``count`` patterns of one phase, as many mixtures, half without crystal.

    Parameters
    ----------
    classifier : Classifier
        Whose networks look at them.
    crystals, disturbances : CrystalGenerator, Disturbances
        Of seeds that were never trained on.
    count : int
        A multiple of 256; three crystals are drawn for each.
    tick : callable
        Called after each 256.
    """
    found: list[list[tuple[Float, Float]]] = [[] for _ in KINDS]
    for first in range(0, count, _BATCH):
        rng = np.random.Generator(np.random.Philox(key=[first, 20_270]))
        three = [crystals.peaks(3 * first + k * _BATCH, _BATCH) for k in range(3)]
        mixed = mixture(three[1], three[2], rng.uniform(0.25, 0.75, _BATCH))
        inputs = (
            disturbances.patterns(three[0], 3 * first, _CLEAN_SHARE),
            disturbances.patterns(mixed, 3 * first + _BATCH, _CLEAN_SHARE),
            without_crystal(rng, classifier.grid, _BATCH // 2)[0],
        )
        for kind, x in zip(found, inputs, strict=True):
            kind.append(classifier.outputs(x))
        tick()
    return Examples(
        tuple(np.concatenate([logits for logits, _ in kind]) for kind in found),
        tuple(np.concatenate([hidden for _, hidden in kind]) for kind in found),
    )


def fit_novelty(examples: Examples, *, epochs: int = 10, seed: int = 0) -> NoveltyHead:
    """Train the novelty head: cross entropy over the kinds, each of its own weight.

    Parameters
    ----------
    examples : Examples
        Some thousands of each kind.
    epochs : int
        Passes over them.
    seed : int
        Of weights and order: the same examples and seed give the same head.
    """
    pairs = zip(examples.logits, examples.hidden, strict=True)
    parts = [features(logits, hidden) for logits, hidden in pairs]
    x = np.concatenate(parts)
    kind = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
    share = np.bincount(kind) / len(kind)
    rng = torch.Generator().manual_seed(seed)
    first, last = _layers(x.shape[1], rng)
    _train(first, last, (x - mean) / scale, kind, 1 / (len(share) * share), epochs, rng)

    def array(tensor: torch.Tensor) -> Float:
        return np.ascontiguousarray(tensor.detach().numpy().T, np.float32)

    return NoveltyHead(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        first=array(first.weight),
        first_bias=array(first.bias),
        last=array(last.weight),
        last_bias=array(last.bias),
    )


def _layers(n_in: int, rng: torch.Generator) -> tuple[nn.Linear, nn.Linear]:
    """Two layers with weights from our own stream: torch's global one is left alone."""
    layers = nn.Linear(n_in, _WIDTH), nn.Linear(_WIDTH, len(KINDS))
    for layer in layers:
        bound = layer.in_features**-0.5
        nn.init.uniform_(layer.weight, -bound, bound, generator=rng)
        nn.init.zeros_(layer.bias)
    return layers


def _train(
    first: nn.Linear,
    last: nn.Linear,
    x: Float,
    kind: NDArray[np.int64],
    weight: NDArray[np.float64],
    epochs: int,
    rng: torch.Generator,
) -> None:
    """AdamW with a rate that rises and falls; batches of 512."""
    inputs = torch.from_numpy(x.astype(np.float32))
    truth, of_kind = torch.from_numpy(kind), torch.tensor(weight, dtype=torch.float32)
    parameters = [*first.parameters(), *last.parameters()]
    optimizer = torch.optim.AdamW(parameters, 4e-3, weight_decay=0.05)
    size = min(512, len(inputs))
    per_epoch = len(inputs) // size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 4e-3, total_steps=epochs * per_epoch
    )
    for _ in range(epochs):
        order = torch.randperm(len(inputs), generator=rng)
        for rows in order[: per_epoch * size].view(per_epoch, size):
            out = last(functional.relu(first(inputs[rows])))
            loss = functional.cross_entropy(out, truth[rows], of_kind)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
