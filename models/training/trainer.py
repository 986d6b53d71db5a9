"""State of a training run, and its one step. Never imported by anything live."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.crystals.prototypes import PrototypePool
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.disturbances.device_patterns import DeviceDisturbances
from ringwatch.models.network import Network
from ringwatch.models.symmetry import BRAVAIS_INDEX, CLASS_INDEX, SYSTEM_INDEX
from ringwatch.models.training.batches import Batches
from ringwatch.models.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    write_checkpoint,
)
from ringwatch.models.training.objective import SymmetryLoss, membership, rate_factor
from ringwatch.models.training.processes import Processes, join_processes
from ringwatch.models.training.recipe import Recipe
from ringwatch.models.training.run_state import pack, uncalibrated, unpack
from ringwatch.models.weight_files import write_weights

__all__ = ["Trainer"]

_VALIDATION_SEED = 987_654_321


class Trainer:
    """One process's part of a training run.

    Parameters
    ----------
    recipe : Recipe
        Everything the run depends on.
    out : Path
        Folder of checkpoint, log and weights; made if absent. A checkpoint of the same
        recipe there is resumed.
    prototypes : PrototypePool, optional
        Structure types to decorate, where the recipe asks for a share of them.
    processes : Processes, optional
        Default: what ``torchrun`` started. All start from the same weights, see
        different crystals and average their gradients.
    threads : int
        Threads that draw batches ahead, worth their while beside a GPU.
    clock : callable
        Seconds that count towards the budget; ``time.process_time`` compares fairly
        on a busy machine.

    Raises
    ------
    CheckpointError
        If the folder holds the checkpoint of another recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        *,
        prototypes: PrototypePool | None = None,
        processes: Processes | None = None,
        threads: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.recipe, self.out = recipe, out
        self._clock = clock
        out.mkdir(parents=True, exist_ok=True)
        self.processes = processes or join_processes()
        self.pool_digest = prototypes.digest() if prototypes is not None else ""
        settings = recipe.training
        torch.manual_seed(settings.seed)
        self.crystals = self._crystals(recipe.crystals.seed, prototypes)
        self._prototypes = prototypes
        self.disturbances = Disturbances(
            recipe.disturbances, seed=settings.seed, grid=recipe.grid
        )
        device = self.processes.device
        self.batches = Batches(
            self.crystals, self._drawing(device), settings.batch, threads=threads
        )
        self.network = Network(recipe.network).to(device)
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
        self.loss = SymmetryLoss(
            [
                (1.0, CLASS_INDEX),
                (settings.group_loss, np.arange(-1, 230)),
                (settings.lattice_loss, BRAVAIS_INDEX),
                (settings.system_loss, SYSTEM_INDEX),
            ]
        ).to(device)
        self.samples, self.step_count, self.seconds = 0, 0, 0.0
        self._rest = 0.0  # seconds of the last step after its message
        if self.checkpoint_path.exists():
            self._restore(read_checkpoint(self.checkpoint_path))

    def _crystals(
        self, seed: int, prototypes: PrototypePool | None, balance: float | None = None
    ) -> CrystalGenerator:
        """Make a generator as the recipe has it, perhaps of another seed."""
        settings = self.recipe.crystals
        return CrystalGenerator(
            seed=seed,
            class_balance=settings.class_balance if balance is None else balance,
            joint=settings.joint,
            prototypes=prototypes,
            prototype_share=settings.prototype_share if prototypes else 0.0,
        )

    def _drawing(self, device: torch.device) -> Disturbances | DeviceDisturbances:
        """Where patterns are drawn: on the GPU that they are for, if there is one."""
        if device.type == "cpu":
            return self.disturbances
        recipe = self.recipe
        return DeviceDisturbances(
            recipe.disturbances,
            seed=recipe.training.seed,
            grid=recipe.grid,
            device=device,
        )

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
        through = min(self.progress / self.recipe.training.clean_until, 1.0)
        return first + (last - first) * through

    def step(self, *, stop: bool = False) -> tuple[float, bool]:
        """Train on the next batch of every process.

        Parameters
        ----------
        stop : bool
            Whether this process wishes to end; if one does, all learn of it.

        Returns
        -------
        loss : float
            In nats, averaged over the processes.
        stop : bool
            Whether a process wishes to end.
        """
        settings, processes = self.recipe.training, self.processes
        started = self._clock()
        together = settings.batch * processes.size
        first = self.samples + settings.batch * processes.rank
        batch = self.batches.take(first, together, self.clean_share)
        x = torch.as_tensor(batch.x, device=processes.device)
        space_group = torch.from_numpy(batch.space_group).to(processes.device)
        factor = rate_factor(self.progress, settings.warm_up, settings.decay)
        self.optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
        with torch.autocast(processes.device.type, torch.bfloat16):
            logits = self.network(x)  # (B, 230)
        loss = self.loss(logits, space_group)
        self.optimizer.zero_grad()
        loss.backward()
        sent = self._clock()
        # What passed, not the time of day: the message has single precision.
        shared = [float(loss.detach()), float(stop), self._rest + sent - started]
        processes.mean(self.network.parameters(), shared)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.step_count += 1
        self.samples += together
        self._update_average()
        self.seconds += shared[2]  # the same everywhere, as the learning rate must be
        self._rest = self._clock() - sent
        return shared[0], shared[1] > 0

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights; early on they forget faster."""
        decay = self.recipe.training.average
        decay = min(decay, (1 + self.step_count) / (10 + self.step_count))
        learned = self.network.learned()
        torch._foreach_lerp_(
            [self.average[name] for name in learned], list(learned.values()), 1 - decay
        )

    @torch.no_grad()
    def averaged_network(self) -> Network:
        """Make a network of the averaged weights, in plain single precision."""
        network = Network(self.recipe.network).eval()
        network.load_learned({name: v.cpu() for name, v in self.average.items()})
        return network

    @torch.no_grad()
    def validate(self, count: int = 512) -> dict[str, float]:
        """Accuracy of the averaged weights on crystals never trained on, in percent."""
        crystals = self._crystals(_VALIDATION_SEED, None, balance=1.0)
        peaks = crystals.peaks(0, count)
        network, classes = self.averaged_network(), membership(CLASS_INDEX)
        scores = {}
        for name, clean in (("clean", 1.0), ("disturbed", 0.0)):
            x = self.disturbances.patterns(peaks, 0, clean)
            with torch.autocast("cpu", torch.bfloat16):
                p = network(torch.from_numpy(x)).float().softmax(1) @ classes
            truth = CLASS_INDEX[peaks.space_group]
            top = p.topk(5, dim=1).indices.numpy()  # (B, 5)
            scores[f"{name}_top1"] = 100 * float((top[:, 0] == truth).mean())
            scores[f"{name}_top5"] = 100 * float((top == truth[:, None]).any(1).mean())
        return scores

    def save(self) -> None:
        """Write the checkpoint and the averaged weights; one process writes."""
        running = [v for n, v in self.network.named_buffers() if "running" in n]
        self.processes.mean_of(running)
        if not self.processes.first:
            return
        state = {
            "recipe": self.recipe.to_dict(),
            "identity": self.recipe.identity,
            "prototypes": self.pool_digest,
            "samples": self.samples,
            "steps": self.step_count,
            "seconds": self.seconds,
            "processes": self.processes.size,
        }
        tensors = pack(self.network, self.average, self.optimizer)
        write_checkpoint(self.checkpoint_path, Checkpoint(tensors, state))
        prior, pool = self.crystals.space_group_prior, self._prototypes
        weights = uncalibrated(self.recipe, self.average, state, pool, prior)
        write_weights(self.weights_path, weights)

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        state = checkpoint.state
        if state["identity"] != self.recipe.identity:
            raise CheckpointError(
                f"{self.checkpoint_path} belongs to another recipe: use the recipe it "
                "was started with, or another --out folder"
            )
        if state.get("prototypes", "") != self.pool_digest:
            raise CheckpointError(
                f"{self.checkpoint_path} was trained with other prototypes: name the "
                "same --structures, or another --out folder"
            )
        self.samples, self.step_count = state["samples"], state["steps"]
        self.seconds = state["seconds"]
        self.average = unpack(
            checkpoint.tensors,
            self.step_count,
            self.network,
            self.optimizer,
            self.processes.device,
        )
