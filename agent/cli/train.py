"""``ringwatch train``: a network from a recipe."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ringwatch.agent.errors import SettingsError
from ringwatch.models.checkpoint import CheckpointError
from ringwatch.models.model_card import calibrate
from ringwatch.models.recipe import RecipeError, read_recipe
from ringwatch.models.training import train as train_network

__all__ = ["train"]


def train(
    recipe: Annotated[
        Path, typer.Argument(help="TOML recipe, such as models/recipes/first.toml.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of checkpoint, log, weights and card.")
    ],
    hours: Annotated[
        float | None, typer.Option(min=0.001, help="Budget instead of the recipe's.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from a checkpoint in --out, if there is one.")
    ] = True,
) -> None:
    """Train a network on random crystals, from a recipe.

    Ctrl-C saves and ends; the same command goes on. A run ends when its hours are used.

    Example:

      ringwatch train models/recipes/first.toml --out runs/first --hours 1.5
    """
    console = Console()
    try:
        steps = read_recipe(recipe)
        if hours is not None:
            budget = dataclasses.replace(steps.training, hours=hours)
            steps = dataclasses.replace(steps, training=budget)
        if not resume and (out / "checkpoint.safetensors").exists():
            raise SettingsError(
                f"{out} holds a checkpoint: leave out --no-resume to go on from it, or "
                "name another --out"
            )
        trainer = train_network(steps, out, console=console)
    except (RecipeError, CheckpointError) as error:
        raise SettingsError(str(error)) from error
    found = calibrate(trainer.weights_path)
    console.print(
        f"{trainer.weights_path}: {trainer.samples:,} samples, "
        f"temperature {found.temperature:.2f}, 90 % sets reach {found.threshold:.3f}"
    )
