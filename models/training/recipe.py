"""Recipes: everything that a training run depends on, in one TOML file."""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ringwatch.models.architecture import NetworkConfig
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.inputs import InputGrid
from ringwatch.models.training.recipe_values import checked_network, checked_table

__all__ = [
    "CrystalSettings",
    "Recipe",
    "RecipeError",
    "TrainingSettings",
    "parse_recipe",
    "read_recipe",
]


_Settings = TypeVar("_Settings")

_MAX_SEED = 2**63


class RecipeError(ValueError):
    """A recipe is missing, unreadable, or asks for something that does not exist."""


def _check_seed(seed: int) -> None:
    """Refuse what no generator can start from."""
    if not 0 <= seed < _MAX_SEED:
        raise ValueError(f"seed = {seed}: must lie in 0..2^63 - 1")


@dataclass(frozen=True)
class CrystalSettings:
    """What ``CrystalGenerator`` is made with.

    Attributes
    ----------
    seed : int
        Of all crystals.
    class_balance : float
        Weight of an even choice over the 97 powder classes against natural frequencies.
    joint : float
        Share of random crystals with Wyckoff positions that occur together in nature.
    prototype_share : float
        Share of decorated prototypes among the crystals: of AFLOW's, and of the real
        structures that ``ringwatch train --structures`` names.
    """

    seed: int = 1
    class_balance: float = 0.5
    joint: float = 0.75
    prototype_share: float = 0.0

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        for name in ("class_balance", "joint", "prototype_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)}: a share is in 0..1")


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast.

    Attributes
    ----------
    hours : float
        Budget of training time; the learning rate follows it.
    samples : int
        Ends earlier after so many patterns; 0: no limit. A run that is to be repeated
        ends by samples: give it hours enough.
    batch : int
        Patterns a step and process.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, ICLR 2019), at its highest.
    warm_up, decay : float
        Shares of the budget in which the learning rate rises, and falls as a cosine.
    clean_share : pair
        Share of clean patterns at the start and at the end.
    clean_until : float
        Share of the budget after which the clean share stays at its end.
    group_loss, lattice_loss, system_loss : float
        Weights of the losses over the 230 space groups, 14 Bravais lattices and 7
        crystal systems beside that over the 97 powder classes, which is 1.
    average : float
        Decay a step of the moving average of the weights, which is what is shipped.
    checkpoint_minutes : float
        Minutes between checkpoints.
    seed : int
        Of the initial weights and the disturbances.
    """

    hours: float = 1.5
    samples: int = 0
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: float = 0.06
    decay: float = 0.94
    clean_share: tuple[float, float] = (1.0, 0.3)
    clean_until: float = 1.0
    group_loss: float = 0.3
    lattice_loss: float = 0.0
    system_loss: float = 0.3
    average: float = 0.998
    checkpoint_minutes: float = 5.0
    seed: int = 1

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        for name in ("hours", "batch", "checkpoint_minutes", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be positive")
        losses = ("group_loss", "lattice_loss", "system_loss")
        for name in ("samples", "weight_decay", *losses):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: must not be negative"
                )
        for name in ("warm_up", "decay", "clean_until"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: must lie in 0..1, and not be 0"
                )
        shares = self.clean_share
        if not (isinstance(shares, tuple) and len(shares) == 2) or not (
            0 <= min(shares) <= max(shares) <= 1
        ):
            raise ValueError(f"clean_share = {shares}: two shares in 0..1 are needed")
        if self.warm_up + self.decay > 1 + 1e-9:
            raise ValueError(
                f"decay = {self.decay}: must not exceed 1 together with warm_up = "
                f"{self.warm_up}"
            )
        if not 0 <= self.average < 1:
            raise ValueError(
                f"average = {self.average}: must lie in 0..1, and not be 1"
            )


@dataclass(frozen=True)
class Recipe:
    """One training run, but for its random crystals' endless numbers."""

    crystals: CrystalSettings = field(default_factory=CrystalSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    disturbances: DisturbanceSettings = field(default_factory=DisturbanceSettings)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return dataclasses.asdict(self)

    @property
    def grid(self) -> InputGrid:
        """Grid of the network's input."""
        shape = self.network
        return InputGrid(shape.n_bins, shape.q_min, shape.q_max)

    @property
    def identity(self) -> str:
        """Hash of all that must not change when a run is resumed: 16 hex digits."""
        fields = self.to_dict()
        for budget in ("hours", "samples", "checkpoint_minutes"):
            del fields["training"][budget]
        return hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:16]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If the file is absent, is no TOML, or holds an unknown table, key or value.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is no TOML file: {error}") from error
    known = {"crystals", "training", "network", "disturbances"}
    if unknown := sorted(set(tables) - known):
        raise RecipeError(f"{path}: unknown tables {unknown}; known: {sorted(known)}")
    try:
        return parse_recipe(tables)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def parse_recipe(tables: Mapping[str, Any]) -> Recipe:
    """Build a recipe from its tables; what is left out keeps its default.

    Raises
    ------
    RecipeError
        If a key is unknown, or a value of another type or out of bounds.
    """
    try:
        return Recipe(
            crystals=_settings(CrystalSettings, tables, "crystals"),
            training=_settings(TrainingSettings, tables, "training"),
            network=checked_network(tables.get("network", {})),
            disturbances=_settings(DisturbanceSettings, tables, "disturbances"),
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _settings(kind: type[_Settings], tables: Mapping[str, Any], name: str) -> _Settings:
    """Make the settings of one table; ValueError names the table and the key."""
    fields = checked_table(tables.get(name, {}), name, kind)
    try:
        return kind(**fields)
    except ValueError as error:
        raise ValueError(f"[{name}] {error}") from error
