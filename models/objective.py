"""What training minimises, and how fast it goes."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["membership", "rate_factor", "symmetry_loss"]


def membership(index: NDArray[np.integer]) -> Tensor:
    """Which space group belongs to which class: (230, n_classes) of 0 and 1."""
    of_group = torch.tensor(index[1:].astype(np.int64))
    return functional.one_hot(of_group).float()


def symmetry_loss(
    logits: Tensor, space_group: Tensor, classes: Tensor, systems: Tensor
) -> Tensor:
    """NLL of the class, plus 0.3 times those of crystal system and space group.

    Parameters
    ----------
    logits : Tensor, (B, 230)
        Of the space groups 1 to 230.
    space_group : Tensor, (B,) int64
        True numbers, 1 to 230.
    classes, systems : Tensor, (230, 97) and (230, 7)
        Memberships.

    Returns
    -------
    Tensor, ()
        Mean over the batch, nats.
    """
    row = space_group - 1
    log_p = functional.log_softmax(logits.float(), dim=1)  # (B, 230)
    loss = -0.3 * log_p.gather(1, row[:, None])  # (B, 1)
    for weight, member in ((1.0, classes), (0.3, systems)):
        companions = member[row] @ member.T  # (B, 230)
        inside = log_p.masked_fill(companions < 0.5, -math.inf)
        loss = loss - weight * torch.logsumexp(inside, dim=1, keepdim=True)
    return loss.mean()


def rate_factor(progress: float, warm_up: float) -> float:
    """Learning rate relative to its highest: a linear rise, then a cosine to 1 %."""
    if progress < warm_up:
        return progress / warm_up
    fall = min((progress - warm_up) / (1 - warm_up), 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall))
