"""The network in torch: blocks over three channels of a pattern, then a dense head.

One softmax over the 230 space groups; powder classes and crystal systems follow by
summation, so the three levels never contradict each other. Layer names are those of the
weights file, which ``onnx_graph`` reads too. Batch normalization learned twice as fast
as group normalization here (loss 5.01 against 5.48 after 51,000 patterns).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ringwatch.models.architecture import N_SPACE_GROUPS, NetworkConfig, Stage
from ringwatch.models.inputs import N_CHANNELS
from ringwatch.models.rival_blocks import ConvNeXtStage, TransformerStage

__all__ = ["Network"]


class _Block(nn.Module):
    """Two convolutions around which the signal may pass (He et al., CVPR 2016)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()

        def conv() -> nn.Conv1d:
            return nn.Conv1d(
                channels, channels, kernel, padding=kernel // 2, bias=False
            )

        self.conv1 = conv()
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = conv()
        self.norm2 = nn.BatchNorm1d(channels)
        nn.init.zeros_(self.norm2.weight)  # each block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(x + self.norm2(self.conv2(y)))


class _Stage(nn.Module):
    """A strided convolution, normalization, and residual blocks."""

    def __init__(self, n_in: int, stage: Stage, config: NetworkConfig) -> None:
        super().__init__()
        n_out = stage.channels
        self.conv = nn.Conv1d(
            n_in, n_out, stage.kernel, stage.stride, stage.kernel // 2, bias=False
        )
        self.norm = nn.BatchNorm1d(n_out)
        self.blocks = nn.Sequential(
            *(_Block(n_out, config.block_kernel) for _ in range(stage.blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(functional.relu(self.norm(self.conv(x))))


class _HeadBlock(nn.Module):
    """Two dense layers around which the signal may pass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        nn.init.zeros_(self.linear2.weight)
        nn.init.zeros_(self.linear2.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear2(functional.relu(self.linear1(self.norm(x))))


_STAGES = {
    "residual": _Stage,
    "convnext": ConvNeXtStage,
    "transformer": TransformerStage,
}


class Network(nn.Module):
    """Patterns (B, 3, n_bins) to logits (B, 230) of the space groups 1 to 230."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = [N_CHANNELS, *(stage.channels for stage in config.stages)]
        kind = _STAGES[config.family]
        self.stages = nn.Sequential(
            *(
                kind(n_in, stage, config)
                for n_in, stage in zip(widths, config.stages, strict=False)
            )
        )
        self.hidden = nn.Linear(config.flat_size, config.hidden)
        self.head = nn.Sequential(
            *(_HeadBlock(config.hidden) for _ in range(config.head_blocks))
        )
        self.logits = nn.Linear(config.hidden, N_SPACE_GROUPS)

    def learned(self) -> dict[str, Tensor]:
        """Weights and running statistics by layer name; not the counters of batches."""
        state = self.state_dict()
        return {name: v for name, v in state.items() if v.is_floating_point()}

    def load_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``learned`` gave.

        Raises
        ------
        ValueError
            If a tensor is missing or has another shape.
        """
        for name, value in self.learned().items():
            if name not in tensors or tensors[name].shape != value.shape:
                raise ValueError(
                    f"{name}: a tensor of shape {tuple(value.shape)} is needed; the "
                    "weights belong to another network"
                )
            with torch.no_grad():
                value.copy_(tensors[name])

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.stages(x)  # (B, channels, n_bins / strides)
        x = self.hidden(torch.flatten(x, 1))  # (B, hidden)
        x = functional.relu(self.head(x))
        return self.logits(x)  # (B, 230)
