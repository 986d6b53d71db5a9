"""What a training run leaves behind: its checkpoint's tensors, and weights with a card.

Never imported by anything live.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ringwatch.models.crystals import natural_prior
from ringwatch.models.crystals.prototypes import PrototypePool
from ringwatch.models.network import Network
from ringwatch.models.training.recipe import Recipe
from ringwatch.models.weight_files import WeightsFile

__all__ = ["pack", "uncalibrated", "unpack"]

Average = dict[str, Tensor]
"""Moving average of the weights, by layer name."""


def pack(
    network: Network, average: Average, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Tensors of a `Checkpoint`, on the CPU."""
    tensors = {f"net.{name}": value.cpu() for name, value in network.learned().items()}
    tensors |= {f"average.{n}": value.cpu() for n, value in average.items()}
    for name, value in network.named_parameters():
        moments = optimizer.state.get(value)
        if moments:
            tensors[f"first.{name}"] = moments["exp_avg"].cpu()
            tensors[f"second.{name}"] = moments["exp_avg_sq"].cpu()
    return tensors


def unpack(
    tensors: Mapping[str, Tensor],
    steps: int,
    network: Network,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> Average:
    """Give network and optimizer back what `pack` took, after so many steps.

    Returns
    -------
    dict of str to Tensor
        The averaged weights, on the device.
    """
    names = list(network.learned())
    network.load_learned({n: tensors[f"net.{n}"] for n in names})
    for name, value in network.named_parameters():
        if f"first.{name}" in tensors:
            optimizer.state[value] = {
                "step": torch.tensor(float(steps), device=device),
                "exp_avg": tensors[f"first.{name}"].to(device),
                "exp_avg_sq": tensors[f"second.{name}"].to(device),
            }
    return {n: tensors[f"average.{n}"].to(device) for n in names}


def uncalibrated(
    recipe: Recipe,
    average: Average,
    state: Mapping[str, Any],
    prototypes: PrototypePool | None,
    prior: NDArray[np.float64],
) -> WeightsFile:
    """Averaged weights with a card that is not calibrated yet.

    Parameters
    ----------
    recipe : Recipe
        Of the run.
    average : dict of str to Tensor
        The weights.
    state : mapping
        Of the checkpoint; it becomes the card's ``training``.
    prototypes : PrototypePool or None
        What was decorated; the card says where it came from.
    prior : ndarray, (231,)
        Frequencies of the space groups that were drawn.
    """
    arrays = {name: value.cpu().numpy() for name, value in average.items()}
    arrays["prior.training"] = prior[1:].astype(np.float32)
    arrays["prior.natural"] = natural_prior()[1:].astype(np.float32)
    training = dict(state)
    if prototypes is not None:
        training["prototypes"] = {
            "digest": state["prototypes"],
            "sources": dict(prototypes.sources),
        }
    card = {
        "network": recipe.network.to_dict(),
        "training": training,
        "temperature": 1.0,
        "coverage": {"stated": 0.9, "threshold": 0.9},
        "unsure_below": 0.5,
        "scores": {},
    }
    return WeightsFile(tensors=arrays, card=card)
