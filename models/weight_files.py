"""Weights and their model card on disk: safetensors and JSON, side by side."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from ringwatch.models.architecture import NetworkConfig

__all__ = [
    "SHIPPED",
    "WeightsError",
    "WeightsFile",
    "read_weights",
    "write_card",
    "write_weights",
]

SHIPPED = Path(__file__).resolve().parent / "weights" / "ringwatch-first.safetensors"
"""The weights that come with Ringwatch."""

_FORMAT = 1
_MAX_BYTES = 256 * 2**20


class WeightsError(ValueError):
    """Weights or their card are missing, unreadable or do not fit each other."""


@dataclass(frozen=True)
class WeightsFile:
    """Weights as they are shipped.

    Attributes
    ----------
    tensors : dict of str to ndarray
        By layer name, float32 once read; ``prior.training`` and ``prior.natural``,
        (230,) each, are frequencies of the space groups in training and in nature.
    card : dict
        The machine-readable model card.
    digest : str
        SHA-256 of the weights file, hex; empty before it is written.
    """

    tensors: dict[str, NDArray[np.float32]]
    card: dict[str, Any]
    digest: str = ""

    @property
    def network(self) -> NetworkConfig:
        """Shape of the network."""
        return NetworkConfig.from_dict(self.card["network"])


def write_weights(path: Path, weights: WeightsFile) -> WeightsFile:
    """Write matrices as float16, vectors as float32, and the card beside them.

    Half precision moves a probability by less than 1e-3 and halves what git stores.
    """
    tensors = {
        name: np.ascontiguousarray(value, np.float16 if value.ndim > 1 else np.float32)
        for name, value in weights.tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)
    write_card(path, weights.card)
    return read_weights(path)


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write the machine-readable card beside the weights file ``path``."""
    text = json.dumps({**card, "format": _FORMAT}, indent=1, sort_keys=True)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def read_weights(path: Path) -> WeightsFile:
    """Read weights and card.

    Raises
    ------
    WeightsError
        If a file is missing, too large, damaged, or of a later format.
    """
    card_path = path.with_suffix(".json")
    for file in (path, card_path):
        if not file.is_file():
            raise WeightsError(
                f"{file} is missing: train weights with `ringwatch train`, or name "
                "others with --weights"
            )
        if file.stat().st_size > _MAX_BYTES:
            raise WeightsError(f"{file} is larger than {_MAX_BYTES} bytes: no weights")
    data = path.read_bytes()
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        raw = load(data)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path} or its card is damaged: {error}") from error
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise WeightsError(f"{card_path}: format {_FORMAT} is needed; update Ringwatch")
    tensors = {name: np.asarray(value, np.float32) for name, value in raw.items()}
    return WeightsFile(
        tensors=tensors, card=card, digest=hashlib.sha256(data).hexdigest()
    )
