"""Training: one loop over random crystals that never repeat.

Crystal number n is a pure function of the recipe's seed and n, so a resumed run goes on
where it stopped. Never imported by anything that runs live.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ringwatch.models.checkpoint import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    write_checkpoint,
)
from ringwatch.models.crystals import CrystalGenerator, natural_prior
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.inputs import InputGrid
from ringwatch.models.interrupts import stop_on_signals
from ringwatch.models.network import Network
from ringwatch.models.objective import membership, rate_factor, symmetry_loss
from ringwatch.models.recipe import Recipe, TrainingSettings
from ringwatch.models.symmetry import CLASS_INDEX, SYSTEM_INDEX
from ringwatch.models.weight_files import WeightsFile, write_weights

__all__ = ["Trainer", "train"]

_VALIDATION_SEED = 987_654_321
_LOG_STEPS = 50


class Trainer:
    """State of a training run, and its one step.

    Parameters
    ----------
    recipe : Recipe
        Everything the run depends on.
    out : Path
        Folder of checkpoint, log and weights; made if absent. A checkpoint of the same
        recipe there is resumed.

    Raises
    ------
    CheckpointError
        If the folder holds the checkpoint of another recipe.
    """

    def __init__(self, recipe: Recipe, out: Path) -> None:
        self.recipe, self.out = recipe, out
        out.mkdir(parents=True, exist_ok=True)
        settings, network = recipe.training, recipe.network
        torch.manual_seed(settings.seed)
        self.crystals = CrystalGenerator(
            seed=recipe.crystals.seed,
            class_balance=recipe.crystals.class_balance,
            joint=recipe.crystals.joint,
        )
        grid = InputGrid(network.n_bins, network.q_min, network.q_max)
        self.disturbances = Disturbances(
            recipe.disturbances, seed=settings.seed, grid=grid
        )
        self.network = Network(network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.average = {
            name: value.clone() for name, value in self.network.learned().items()
        }
        self.classes, self.systems = membership(CLASS_INDEX), membership(SYSTEM_INDEX)
        self.samples, self.step_count, self.seconds = 0, 0, 0.0
        if self.checkpoint_path.exists():
            self._restore(read_checkpoint(self.checkpoint_path))

    @property
    def checkpoint_path(self) -> Path:
        """Where the run is kept."""
        return self.out / "checkpoint.safetensors"

    @property
    def weights_path(self) -> Path:
        """The averaged weights, as ``Classifier.load`` takes them."""
        return self.out / "weights.safetensors"

    @property
    def progress(self) -> float:
        """Share of the budget that is used, by time or by samples: 0..1."""
        settings = self.recipe.training
        by_time = self.seconds / (3600 * settings.hours)
        by_samples = self.samples / settings.samples if settings.samples else 0.0
        return min(max(by_time, by_samples), 1.0)

    @property
    def clean_share(self) -> float:
        """Share of clean patterns at this point of the curriculum."""
        first, last = self.recipe.training.clean_share
        return first + (last - first) * self.progress

    def step(self) -> float:
        """Train on the next batch; the loss in nats."""
        settings = self.recipe.training
        started = time.perf_counter()
        peaks = self.crystals.peaks(self.samples, settings.batch)
        x = self.disturbances.patterns(peaks, self.samples, self.clean_share)
        factor = rate_factor(self.progress, settings.warm_up)
        self.optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(torch.from_numpy(x))  # (B, 230)
        space_group = torch.from_numpy(peaks.space_group)
        loss = symmetry_loss(logits, space_group, self.classes, self.systems)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.step_count += 1
        self.samples += settings.batch
        self._update_average(settings)
        self.seconds += time.perf_counter() - started
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self, settings: TrainingSettings) -> None:
        """Move the averaged weights; early on they forget faster."""
        decay = min(settings.average, (1 + self.step_count) / (10 + self.step_count))
        for name, value in self.network.learned().items():
            self.average[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def validate(self, count: int = 512) -> dict[str, float]:
        """Accuracy of the averaged weights on crystals never trained on, in percent."""
        crystals = CrystalGenerator(seed=_VALIDATION_SEED, class_balance=1.0)
        peaks = crystals.peaks(0, count)
        network = Network(self.recipe.network).eval()
        network.load_learned(self.average)
        scores = {}
        for name, clean in (("clean", 1.0), ("disturbed", 0.0)):
            x = self.disturbances.patterns(peaks, 0, clean)
            with torch.autocast("cpu", torch.bfloat16):
                p = network(torch.from_numpy(x)).float().softmax(1) @ self.classes
            truth = CLASS_INDEX[peaks.space_group]
            top = p.topk(5, dim=1).indices.numpy()  # (B, 5)
            scores[f"{name}_top1"] = 100 * float((top[:, 0] == truth).mean())
            scores[f"{name}_top5"] = 100 * float((top == truth[:, None]).any(1).mean())
        return scores

    def save(self) -> None:
        """Write the checkpoint and the averaged weights."""
        tensors = {
            f"net.{name}": value for name, value in self.network.learned().items()
        }
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for name, value in self.network.named_parameters():
            moments = self.optimizer.state.get(value)
            if moments:
                tensors[f"first.{name}"] = moments["exp_avg"]
                tensors[f"second.{name}"] = moments["exp_avg_sq"]
        state = {
            "recipe": self.recipe.to_dict(),
            "identity": self.recipe.identity,
            "samples": self.samples,
            "steps": self.step_count,
            "seconds": self.seconds,
        }
        write_checkpoint(self.checkpoint_path, Checkpoint(tensors, state))
        write_weights(self.weights_path, self._weights(state))

    def _weights(self, state: dict[str, Any]) -> WeightsFile:
        """Averaged weights with a card that is not calibrated yet."""
        arrays = {name: value.numpy() for name, value in self.average.items()}
        arrays["prior.training"] = self.crystals.space_group_prior[1:].astype(
            np.float32
        )
        arrays["prior.natural"] = natural_prior()[1:].astype(np.float32)
        card = {
            "network": self.recipe.network.to_dict(),
            "training": state,
            "temperature": 1.0,
            "coverage": {"stated": 0.9, "threshold": 0.9},
            "unsure_below": 0.5,
            "scores": {},
        }
        return WeightsFile(tensors=arrays, card=card)

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        state, tensors = checkpoint.state, checkpoint.tensors
        if state["identity"] != self.recipe.identity:
            raise CheckpointError(
                f"{self.checkpoint_path} belongs to another recipe: use the recipe it "
                "was started with, or another --out folder"
            )
        self.samples, self.step_count = state["samples"], state["steps"]
        self.seconds = state["seconds"]
        self.network.load_learned({n: tensors[f"net.{n}"] for n in self.average})
        self.average = {name: tensors[f"average.{name}"] for name in self.average}
        for name, value in self.network.named_parameters():
            if f"first.{name}" in tensors:
                self.optimizer.state[value] = {
                    "step": torch.tensor(float(self.step_count)),
                    "exp_avg": tensors[f"first.{name}"],
                    "exp_avg_sq": tensors[f"second.{name}"],
                }


def train(recipe: Recipe, out: Path, *, console: Console | None = None) -> Trainer:
    """Train until the budget is used, or until Ctrl-C: both save and return.

    Parameters
    ----------
    recipe : Recipe
        What to train, and how long.
    out : Path
        Folder of ``checkpoint.safetensors``, ``weights.safetensors`` with its card, and
        ``log.jsonl``. A run in it is resumed.
    console : rich.console.Console, optional
        Where progress is shown.

    Returns
    -------
    Trainer
        At the end of the run.
    """
    console = console or Console()
    torch.set_num_threads(1)  # one process a core: torch's own threads lose here
    trainer = Trainer(recipe, out)
    console.print(
        f"{out}: {sum(p.numel() for p in trainer.network.parameters()):,} weights, "
        f"{trainer.samples:,} samples so far, budget {recipe.training.hours:g} h"
    )
    smooth: float | None = None
    saved = logged = time.monotonic()
    since = trainer.samples
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with stop_on_signals() as stops, Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=1.0)
        while trainer.progress < 1 and not stops:
            loss = trainer.step()
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            now = time.monotonic()
            if trainer.step_count % _LOG_STEPS == 0:
                rate = (trainer.samples - since) / (now - logged)
                logged, since = now, trainer.samples
                _log(trainer, loss=round(smooth, 4), samples_per_second=round(rate))
                text = f"{trainer.samples:,} samples, loss {smooth:.3f}, {rate:.0f}/s"
                bar.update(task, completed=trainer.progress, description=text)
            if now - saved > 60 * recipe.training.checkpoint_minutes:
                saved = now
                _checkpoint(trainer, console)
    _checkpoint(trainer, console)
    if stops:
        console.print("stopped and saved: the same command goes on from here")
    return trainer


def _checkpoint(trainer: Trainer, console: Console) -> None:
    """Save, score and report; the time it takes counts towards the budget."""
    started = time.perf_counter()
    trainer.save()
    scores = {name: round(value, 1) for name, value in trainer.validate().items()}
    _log(trainer, **scores)
    console.print(
        f"{trainer.samples:,} samples, {trainer.seconds / 60:.1f} min: {scores}"
    )
    trainer.seconds += time.perf_counter() - started


def _log(trainer: Trainer, **values: float) -> None:
    """Append one line to the run's log."""
    line = {
        "samples": trainer.samples,
        "seconds": round(trainer.seconds, 1),
        "progress": round(trainer.progress, 4),
        "clean_share": round(trainer.clean_share, 3),
        **values,
    }
    with (trainer.out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
