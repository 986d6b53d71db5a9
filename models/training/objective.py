"""What training minimises, and how fast it goes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SymmetryLoss", "membership", "rate_factor"]


def membership(index: NDArray[np.integer]) -> Tensor:
    """Which space group belongs to which class: (230, n_classes) of 0 and 1."""
    of_group = torch.tensor(index[1:].astype(np.int64))
    return functional.one_hot(of_group).float()


class SymmetryLoss(nn.Module):
    """Negative log-likelihoods of one softmax at every level of the hierarchy.

    Parameters
    ----------
    weights : sequence of (float, ndarray of (231,) int)
        Weight of a level, and which of its members each space group belongs to; entry 0
        is unused. A level of one member a group is the space groups themselves.
    """

    def __init__(self, weights: Sequence[tuple[float, NDArray[np.integer]]]) -> None:
        super().__init__()
        self.weights = tuple(weight for weight, _ in weights)
        for k, (_, index) in enumerate(weights):
            member = membership(index)
            self.register_buffer(f"companions{k}", member @ member.T > 0.5)

    def forward(self, logits: Tensor, space_group: Tensor) -> Tensor:
        """Weighted sum of the levels' losses.

        Parameters
        ----------
        logits : Tensor, (B, 230)
            Of the space groups 1 to 230.
        space_group : Tensor, (B,) int64
            True numbers, 1 to 230.

        Returns
        -------
        Tensor, ()
            Mean over the batch, nats.
        """
        row = space_group - 1
        log_p = functional.log_softmax(logits.float(), dim=1)  # (B, 230)
        loss = log_p.new_zeros(len(row))
        for k, weight in enumerate(self.weights):
            companions = self.get_buffer(f"companions{k}")[row]  # (B, 230)
            inside = log_p.masked_fill(~companions, -math.inf)
            loss = loss - weight * torch.logsumexp(inside, dim=1)
        return loss.mean()


def rate_factor(progress: float, warm_up: float, decay: float) -> float:
    """Learning rate relative to its highest: up, level, then down to 1 % as a cosine.

    Parameters
    ----------
    progress : float
        Share of the run, 0 to 1.
    warm_up, decay : float
        Shares of the run in which the rate rises and falls. A run with a level part can
        be made longer while it lasts (Hagele et al., NeurIPS 2024).
    """
    if progress < warm_up:
        return progress / warm_up
    fall = min(max((progress - 1 + decay) / decay, 0.0), 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall))
