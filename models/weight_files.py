"""Weights and their model card on disk: safetensors and JSON, side by side."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from ringwatch.models.architecture import NetworkConfig
from ringwatch.models.views import MOST_VIEWS

__all__ = [
    "SHIPPED",
    "WeightsError",
    "WeightsFile",
    "join",
    "read_weights",
    "write_card",
    "write_weights",
]

SHIPPED = Path(__file__).resolve().parent / "weights" / "ringwatch-second.safetensors"
"""The weights that come with Ringwatch."""

_FORMAT = 1
_NO_LAYERS = ("prior.", "embedding.", "novelty.", "calibration.")
_OF_ONE = ("network", "novel_above", "novelty", "calibration", "evaluation")
"""What the card of one network says that is not true of several together."""
_MAX_BYTES = 256 * 2**20


class WeightsError(ValueError):
    """Weights or their card are missing, unreadable or do not fit each other."""


@dataclass(frozen=True)
class WeightsFile:
    """Weights as they are shipped.

    Attributes
    ----------
    tensors : dict of str to ndarray
        By layer name, float32 once read; of several networks the name begins with the
        network's number, such as ``1.hidden.weight``. Beside them ``prior.training``
        and ``prior.natural``, (230,) each, the frequencies of the space groups in
        training and in nature, and what was fitted afterwards: ``embedding.*``,
        ``novelty.*`` and ``calibration.*``.
    card : dict
        The machine-readable model card; ``network`` is the shape of the network, or
        ``networks`` a list of shapes.
    digest : str
        SHA-256 of the weights file, hex; empty before it is written.
    """

    tensors: dict[str, NDArray[np.float32]]
    card: dict[str, Any]
    digest: str = ""

    @property
    def network(self) -> NetworkConfig:
        """Shape of the network, of several of the first."""
        return self.networks[0]

    @property
    def networks(self) -> tuple[NetworkConfig, ...]:
        """Shapes of all networks."""
        shapes = self.card.get("networks") or [self.card["network"]]
        return tuple(NetworkConfig.from_dict(shape) for shape in shapes)

    def members(self) -> list[tuple[NetworkConfig, dict[str, NDArray[np.float32]]]]:
        """Shape and weights of each network, by the layer names of ``Network``."""
        shapes = self.networks
        if "networks" not in self.card:
            return [(shapes[0], self.tensors)]
        found = []
        for i, shape in enumerate(shapes):
            mine = f"{i}."
            own = {
                name.removeprefix(mine): value
                for name, value in self.tensors.items()
                if name.startswith(mine)
            }
            found.append((shape, own))
        return found


def join(files: Sequence[WeightsFile]) -> WeightsFile:
    """Make one weights file of several: their logits will be averaged.

    Parameters
    ----------
    files : sequence of WeightsFile
        One network or more in each. Priors, and what the card says beside the networks,
        are taken from the first. What was fitted to one network alone is left out -
        embedding, novelty and its threshold - or a mere start, as the temperature: fit
        it anew.

    Raises
    ------
    WeightsError
        If there is no file, or they were trained with other priors or over other grids.
    """
    if not files:
        raise WeightsError("nothing to join: name one weights file at least")
    first = files[0]
    prior = first.tensors["prior.training"]
    for file in files:
        both = (*first.networks, *file.networks)
        one_grid = len({(n.n_bins, n.q_min, n.q_max) for n in both}) == 1
        if not one_grid or not np.allclose(file.tensors["prior.training"], prior):
            raise WeightsError(
                "the networks were trained with other frequencies of the space groups "
                "or over other grids: only equals can be averaged"
            )
    members = [member for file in files for member in file.members()]
    tensors = {
        f"{i}.{name}": value
        for i, (_, weights) in enumerate(members)
        for name, value in weights.items()
        if not name.startswith(_NO_LAYERS)
    }
    tensors |= {n: v for n, v in first.tensors.items() if n.startswith("prior.")}
    card = {key: v for key, v in first.card.items() if key not in _OF_ONE}
    card["networks"] = [shape.to_dict() for shape, _ in members]
    runs = [file.card.get("trained") or [file.card["training"]] for file in files]
    card["trained"] = [run for several in runs for run in several]
    return WeightsFile(tensors=tensors, card={**card, "scores": {}})


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
    partial.chmod(0o644)  # safetensors makes it private; others install and read it
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
        If a file is missing, too large, damaged, or of a later format, or the card
        holds a setting that cannot be.
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
    except (SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} or its card is damaged: {error}") from error
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise WeightsError(f"{card_path}: format {_FORMAT} is needed; update Ringwatch")
    _check_card(card_path, card)
    tensors = {name: np.asarray(value, np.float32) for name, value in raw.items()}
    return WeightsFile(
        tensors=tensors, card=card, digest=hashlib.sha256(data).hexdigest()
    )


def _check_card(path: Path, card: dict[str, Any]) -> None:
    """Refuse settings that would fail, or answer nonsense, at the first pattern."""
    try:
        _ = WeightsFile({}, card).networks
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: the shape of the network is missing or no shape ({error!r}); "
            "name other --weights"
        ) from error
    views = card.get("views", 1)
    if type(views) is not int or not 1 <= views <= MOST_VIEWS:
        _refuse(path, "views", views, f"an integer from 1 to {MOST_VIEWS}")
    if "novel_above" in card and not _is_number(card["novel_above"]):
        _refuse(path, "novel_above", card["novel_above"], "a finite number, or no key")
    temperature: Any = card.get("temperature")
    if not _is_number(temperature) or temperature <= 0:
        _refuse(path, "temperature", temperature, "a finite number above 0")
    coverage = card.get("coverage")
    if not isinstance(coverage, dict):
        _refuse(path, "coverage", coverage, "a table with stated and threshold")
    shares: dict[str, Any] = {
        "doubt": card.get("doubt", 0.0),
        "unsure_below": card.get("unsure_below"),
        "coverage.stated": coverage.get("stated"),
        "coverage.threshold": coverage.get("threshold"),
    }
    for key, value in shares.items():
        if not _is_number(value) or not 0 <= value <= 1:
            _refuse(path, key, value, "a number from 0 to 1")


def _is_number(value: object) -> bool:
    """Whether a value of JSON is a finite number, which true and false are not."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    # An integer beyond the largest float is none, and float() of it fails.
    return abs(value) <= sys.float_info.max


def _refuse(path: Path, key: str, value: object, expected: str) -> NoReturn:
    raise WeightsError(
        f"{path}: {key} is {value!r}, expected {expected}; correct the card, or name "
        "other --weights"
    )
