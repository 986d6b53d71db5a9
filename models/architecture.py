"""The shape of a network, without torch: what its torch and ONNX forms share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

__all__ = ["N_SPACE_GROUPS", "Family", "NetworkConfig", "Stage"]

N_SPACE_GROUPS = 230

Family = Literal["residual", "convnext", "transformer"]


@dataclass(frozen=True)
class Stage:
    """A strided convolution and the blocks after it.

    Attributes
    ----------
    channels, kernel, stride : int
        Of the strided convolution; the kernel is odd. In the families ``convnext`` and
        ``transformer`` it takes patches of ``stride`` bins, and ``kernel`` is unused.
    blocks : int
        Blocks of the family.
    """

    channels: int
    kernel: int
    stride: int
    blocks: int

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0 or min(self.channels, self.stride) < 1:
            raise ValueError(f"{self}: an odd kernel and positive sizes are needed")


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the network's shape.

    Attributes
    ----------
    stages : tuple of Stage
        From the input on.
    hidden : int
        Width of the layers between the flattened map and the logits. The map is
        flattened, not averaged: where a line lies is what matters.
    head_blocks : int
        Residual blocks of that width before the logits. They see all lines at once for
        next to no arithmetic.
    block_kernel : int
        Taps of the convolutions in residual and ConvNeXt blocks.
    n_bins, q_min, q_max : int, float, float
        The input grid; q in 1/Angstrom.
    family : {'residual', 'convnext', 'transformer'}
        Kind of block. Only residual networks have an ONNX form; the others are there
        to compare with.
    """

    stages: tuple[Stage, ...] = (
        Stage(32, 15, 4, 0),
        Stage(64, 7, 4, 1),
        Stage(96, 5, 2, 1),
        Stage(128, 5, 2, 1),
        Stage(192, 5, 1, 0),
    )
    hidden: int = 512
    block_kernel: int = 5
    n_bins: int = 2048
    q_min: float = 0.30
    q_max: float = 6.0
    head_blocks: int = 0
    family: Family = "residual"

    def __post_init__(self) -> None:
        stride = 1
        for stage in self.stages:
            stride *= stage.stride
        if self.n_bins % stride:
            raise ValueError(
                f"n_bins = {self.n_bins} must divide by the strides' {stride}"
            )
        if self.family not in get_args(Family):
            raise ValueError(f"family {self.family!r}: choose {get_args(Family)}")

    @property
    def flat_size(self) -> int:
        """Numbers in the flattened map."""
        length = self.n_bins
        for stage in self.stages:
            length //= stage.stride
        return length * self.stages[-1].channels

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> NetworkConfig:
        """Undo ``to_dict``; unknown keys raise TypeError."""
        stages = tuple(Stage(**stage) for stage in fields["stages"])
        return cls(**{**fields, "stages": stages})
