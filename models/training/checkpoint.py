"""Checkpoints: weights and optimizer state in one safetensors file, written whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["Checkpoint", "CheckpointError", "read_checkpoint", "write_checkpoint"]


class CheckpointError(ValueError):
    """A checkpoint is unreadable or belongs to another recipe."""


@dataclass(frozen=True)
class Checkpoint:
    """State of a run.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Weights (``net.``), their moving average (``average.``) and AdamW's moments
        (``first.``, ``second.``), by layer name.
    state : dict
        Plain numbers: samples, seconds, step, the recipe and its identity.
    """

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write beside the target, then rename: a crash leaves the older one whole."""
    partial = path.with_suffix(".partial")
    tensors = {name: value.contiguous() for name, value in checkpoint.tensors.items()}
    save_file(tensors, partial, metadata={"state": json.dumps(checkpoint.state)})
    partial.replace(path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: no readable checkpoint ({error}); delete it to start anew"
        ) from error
    return Checkpoint(tensors=tensors, state=state)
