"""``ringwatch train``: a network from a recipe."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ringwatch.agent.cli.out_folder import check_out
from ringwatch.agent.errors import SettingsError
from ringwatch.models.crystals.prototype_sources import (
    aflow_prototypes,
    training_prototypes,
)
from ringwatch.models.crystals.prototypes import PrototypePool
from ringwatch.models.evaluation.datasets import DatasetError
from ringwatch.models.evaluation.recalibration import recalibrate
from ringwatch.models.evaluation.scoring import evaluation_sets, quick_scores
from ringwatch.models.training.checkpoint import CheckpointError
from ringwatch.models.training.loop import train as train_network
from ringwatch.models.training.recipe import Recipe, RecipeError, read_recipe
from ringwatch.models.weight_files import WeightsError, read_weights

if TYPE_CHECKING:
    from ringwatch.models.network import Network
    from ringwatch.models.training.trainer import Trainer

__all__ = ["train"]

_PLAIN: Any = {"highlight": False, "markup": False, "soft_wrap": True}
"""How lines with paths are printed: as they are, to be copied."""

Examine = Callable[["Network", "Trainer"], Mapping[str, float]]


def train(
    recipe: Annotated[
        Path, typer.Argument(help="TOML recipe, such as models/recipes/second.toml.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of checkpoint, log, weights and card.")
    ],
    hours: Annotated[
        float | None, typer.Option(min=0.001, help="Budget instead of the recipe's.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples instead of the recipe's.")
    ] = None,
    structures: Annotated[
        Path | None,
        typer.Option(
            help="Parquet of real structures: the types of its part 'train' are "
            "decorated; the part 'choose' is scored at each checkpoint."
        ),
    ] = None,
    patterns: Annotated[
        Path | None,
        typer.Option(help="Parquet of measured patterns; 'choose' is scored only."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Threads that draw batches ahead [default: all but one of a GPU's "
            "share of cores, none without a GPU].",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from a checkpoint in --out, if there is one.")
    ] = True,
    calibrate: Annotated[
        bool,
        typer.Option(help="Fit calibration, novelty and embedding when it is done."),
    ] = True,
) -> None:
    """Train a network on random crystals and decorated structure types.

    Ctrl-C saves and ends; the same command goes on. A run ends when its samples are
    seen or its hours used. Several processes or GPUs: start it with torchrun.

    Example:

      ringwatch train models/recipes/second.toml --out runs/second

      torchrun --nproc-per-node 2 --no-python ringwatch train RECIPE --out runs/two
    """
    first = int(os.environ.get("RANK", "0")) == 0  # of torchrun's processes
    console = Console(quiet=not first)
    if first:
        check_out(out)
    try:
        steps = _with_budget(read_recipe(recipe), hours, samples)
        if not resume and (out / "checkpoint.safetensors").exists():
            raise SettingsError(
                f"{out} holds a checkpoint: leave out --no-resume to go on from it, or "
                "name another --out"
            )
        trainer = train_network(
            steps,
            out,
            prototypes=_prototypes(steps, structures),
            threads=_threads_beside_gpu() if threads is None else threads,
            examine=_examination(steps, structures, patterns) if first else None,
            console=console,
        )
        if first and trainer.progress >= 1:
            if calibrate and not _calibrated(trainer.weights_path, structures):
                _calibrate(trainer.weights_path, structures, patterns, console)
            _tell_use(trainer, console)
    except (RecipeError, CheckpointError, DatasetError, WeightsError) as error:
        raise SettingsError(str(error)) from error
    except KeyboardInterrupt:
        if not (out / "weights.safetensors").exists():  # nothing was trained yet
            raise
        console.print(
            f"interrupted: the network is saved in {out}; the same command finishes it",
            **_PLAIN,
        )
        raise typer.Exit(130) from None


def _calibrated(weights: Path, structures: Path | None) -> bool:
    """Whether a calibration was finished since the last step of training."""
    card = read_weights(weights).card
    return bool(card.get("calibration")) and (
        structures is None or bool(card.get("novelty"))
    )


def _calibrate(
    weights: Path, structures: Path | None, patterns: Path | None, console: Console
) -> None:
    """Fit what is fitted to finished networks, and say what came of it."""
    try:
        found, _ = recalibrate(weights, structures=structures, patterns=patterns)
    except ValueError as error:
        raise SettingsError(
            f"{weights} is trained and saved, but not calibrated: {error}"
        ) from error
    console.print(
        f"calibrated: temperature {found.temperature:.2f}, 90 % sets reach "
        f"{found.threshold:.3f}"
    )


def _tell_use(trainer: Trainer, console: Console) -> None:
    """Say that the run is complete, and what its weights are for."""
    path = trainer.weights_path
    console.print(f"done: {trainer.samples:,} samples; weights in {path}", **_PLAIN)
    console.print(
        f"use them: ringwatch evaluate --weights {path}; ringwatch classify --weights "
        f'{path}; or weights = "{path}" in the agent\'s TOML',
        **_PLAIN,
    )


def _with_budget(steps: Recipe, hours: float | None, samples: int | None) -> Recipe:
    """Take the budget of the command line where it names one."""
    budget = steps.training
    if hours is not None:
        budget = dataclasses.replace(budget, hours=hours)
    if samples is not None:
        budget = dataclasses.replace(budget, samples=samples)
    return dataclasses.replace(steps, training=budget)


def _prototypes(steps: Recipe, structures: Path | None) -> PrototypePool | None:
    """Structure types that the recipe has decorated."""
    if steps.crystals.prototype_share == 0:
        return None
    if structures is None:
        return aflow_prototypes()
    try:
        return training_prototypes(structures)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _examination(
    steps: Recipe, structures: Path | None, patterns: Path | None
) -> Examine | None:
    """Make the scoring of development data at checkpoints, if any is named."""
    if structures is None and patterns is None:
        return None
    sets = evaluation_sets(structures, patterns, part="choose", grid=steps.grid)

    def examine(network: Network, trainer: Trainer) -> dict[str, float]:
        import torch  # noqa: PLC0415 - only where there is training

        def logits(x):  # type: ignore[no-untyped-def]
            with torch.no_grad():
                return network(torch.from_numpy(x)).float().numpy()

        prior = trainer.crystals.space_group_prior
        found = quick_scores(logits, sets, training_prior=prior)
        values = {}
        for name, score in found.items():
            values[f"real_{name}_top1"] = score.class_top1.percent
            values[f"real_{name}_top5"] = score.class_top5.percent
            values[f"real_{name}_system"] = score.system.percent
            values[f"real_{name}_nll"] = score.nll
        return values

    return examine


def _threads_beside_gpu() -> int:
    """Count the threads that keep a GPU fed; on a CPU the step needs the core."""
    if not Path("/dev/nvidiactl").exists():
        return 0
    share = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(share - 1, 1)
