"""Blocks that the residual network was compared with, in the same frame.

Both take patches by one linear layer and keep (B, channels, length) between stages, as
the residual stages do. What came of the comparison: docs/decisions/0007.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ringwatch.models.architecture import NetworkConfig, Stage

__all__ = ["ConvNeXtStage", "TransformerStage"]

_HEAD_WIDTH = 32


class _Patches(nn.Module):
    """Neighbouring bins to one token by one linear layer: (B, T, channels)."""

    def __init__(self, n_in: int, stage: Stage) -> None:
        super().__init__()
        self.stride = stage.stride
        self.linear = nn.Linear(n_in * stage.stride, stage.channels)
        self.norm = nn.LayerNorm(stage.channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, n_in, length = x.shape
        patches = x.view(batch, n_in, length // self.stride, self.stride)
        patches = patches.transpose(1, 2).flatten(2)  # (B, T, n_in * stride)
        y: Tensor = self.norm(self.linear(patches))
        return y


class _ConvNeXtBlock(nn.Module):
    """Depthwise convolution, then two dense layers (Liu et al., CVPR 2022)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(
            channels, channels, kernel, padding=kernel // 2, groups=channels
        )
        self.norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, 3 * channels)
        self.linear2 = nn.Linear(3 * channels, channels)
        nn.init.zeros_(self.linear2.weight)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, channels)
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.linear2(functional.gelu(self.linear1(self.norm(y))))


class ConvNeXtStage(nn.Module):
    """Patches and ConvNeXt blocks: (B, n_in, n) to (B, channels, n / stride)."""

    def __init__(self, n_in: int, stage: Stage, config: NetworkConfig) -> None:
        super().__init__()
        self.patches = _Patches(n_in, stage)
        self.blocks = nn.Sequential(
            *(
                _ConvNeXtBlock(stage.channels, config.block_kernel)
                for _ in range(stage.blocks)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Patches, then blocks."""
        y: Tensor = self.blocks(self.patches(x))
        return y.transpose(1, 2)


class _AttentionBlock(nn.Module):
    """Self-attention and two dense layers, normalized before (Xiong et al., 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(channels // _HEAD_WIDTH, 1)
        self.norm1 = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, 4 * channels)
        self.linear2 = nn.Linear(4 * channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.linear2.weight)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, channels)
        batch, tokens, channels = x.shape
        parts = self.query_key_value(self.norm1(x)).view(
            batch, tokens, 3, self.heads, channels // self.heads
        )
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, T, width)
        y = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.linear2(functional.relu(self.linear1(self.norm2(x))))


class TransformerStage(nn.Module):
    """Patches with learned places, and attention: (B, n_in, n) to (B, channels, T)."""

    def __init__(self, n_in: int, stage: Stage, config: NetworkConfig) -> None:
        super().__init__()
        self.patches = _Patches(n_in, stage)
        length = config.n_bins
        for other in config.stages[: config.stages.index(stage) + 1]:
            length //= other.stride
        self.places = nn.Parameter(0.02 * torch.randn(length, stage.channels))
        self.blocks = nn.Sequential(
            *(_AttentionBlock(stage.channels) for _ in range(stage.blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Patches at their places, then blocks."""
        y: Tensor = self.blocks(self.patches(x) + self.places)
        return y.transpose(1, 2)
