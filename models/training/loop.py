"""Training: one loop over random crystals that never repeat.

Crystal number n is a pure function of the recipe's seed and n, so a resumed run goes on
where it stopped. Never imported by anything that runs live.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ringwatch.models.crystals.prototypes import PrototypePool
from ringwatch.models.training.interrupts import stop_on_signals
from ringwatch.models.training.recipe import Recipe
from ringwatch.models.training.run_log import append_line, cut_log
from ringwatch.models.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ringwatch.models.network import Network

__all__ = ["train"]

_LOG_STEPS = 50


def train(
    recipe: Recipe,
    out: Path,
    *,
    prototypes: PrototypePool | None = None,
    threads: int = 0,
    examine: Callable[[Network, Trainer], Mapping[str, float]] | None = None,
    console: Console | None = None,
) -> Trainer:
    """Train until the budget is used, or until Ctrl-C: both save and return.

    A run that is complete already is left as it is, without a word.

    Parameters
    ----------
    recipe : Recipe
        What to train, and how long.
    out : Path
        Folder of ``checkpoint.safetensors``, ``weights.safetensors`` with its card, and
        ``log.jsonl``. A run in it is resumed.
    prototypes : PrototypePool, optional
        Structure types to decorate.
    threads : int
        Threads that draw batches ahead.
    examine : callable, optional
        Scores the averaged network at each checkpoint; what it returns is logged.
    console : rich.console.Console, optional
        Where progress is shown.

    Returns
    -------
    Trainer
        At the end of the run.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C comes when all is trained and saved, but not scored yet.
    """
    trainer = Trainer(recipe, out, prototypes=prototypes, threads=threads)
    shown = trainer.processes.first
    if shown:
        cut_log(_log_path(trainer), trainer.samples)
    if trainer.progress >= 1:  # calibrated weights must not be undone
        trainer.batches.close()
        trainer.processes.leave()
        return trainer
    console = console or Console(quiet=not shown)
    console.print(
        f"{out}: {sum(p.numel() for p in trainer.network.parameters()):,} weights, "
        f"{trainer.samples:,} samples so far, {trainer.processes.size} process(es) on "
        f"{trainer.processes.device.type}, seed {recipe.crystals.seed}"
    )
    smooth: float | None = None
    checkpoint = _Checkpoints(trainer, examine, console)
    logged, since = time.monotonic(), trainer.samples
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with stop_on_signals() as stops, Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=1.0)
        stop = False
        while trainer.progress < 1 and not stop:
            loss, stop = trainer.step(stop=bool(stops))
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            if trainer.step_count % _LOG_STEPS == 0:
                now = time.monotonic()
                rate = (trainer.samples - since) / (now - logged)
                logged, since = now, trainer.samples
                _log(trainer, loss=round(smooth, 4), samples_per_second=round(rate))
                text = f"{trainer.samples:,} samples, loss {smooth:.3f}, {rate:.0f}/s"
                bar.update(task, completed=trainer.progress, description=text)
                checkpoint.write_if_due()
        trainer.save()
    trainer.batches.close()
    if stops and not stop:  # too late to stop training, not to stop here
        raise KeyboardInterrupt
    checkpoint.score(time.perf_counter())
    trainer.processes.leave()
    if stop:
        console.print("stopped and saved: the same command goes on from here")
    return trainer


class _Checkpoints:
    """Saves, scores and reports; the time that takes counts towards the budget."""

    def __init__(
        self,
        trainer: Trainer,
        examine: Callable[[Network, Trainer], Mapping[str, float]] | None,
        console: Console,
    ) -> None:
        self._trainer, self._examine, self._console = trainer, examine, console
        self._next = trainer.seconds + self._interval

    @property
    def _interval(self) -> float:
        return 60 * self._trainer.recipe.training.checkpoint_minutes

    def write_if_due(self) -> None:
        """Write one if the time has come; by the clock that all processes share."""
        if self._trainer.seconds >= self._next:
            self.write()
            self._next = self._trainer.seconds + self._interval

    def write(self) -> None:
        """Save; the first process scores what it saved."""
        started = time.perf_counter()
        self._trainer.save()
        self.score(started)

    def score(self, started: float) -> None:
        """Score what was saved; ``started`` is since when it counts as time used."""
        trainer = self._trainer
        if trainer.processes.first:
            scores = dict(trainer.validate())
            if self._examine is not None:
                scores |= self._examine(trainer.averaged_network(), trainer)
            scores = {name: round(value, 2) for name, value in scores.items()}
            _log(trainer, **scores)
            self._console.print(
                f"{trainer.samples:,} samples, {trainer.seconds / 60:.1f} min: {scores}"
            )
        # All processes go by the first one's time: clocks that differ would have some
        # save, or end, while others still exchange gradients.
        spent = [time.perf_counter() - started if trainer.processes.first else 0.0]
        trainer.processes.mean((), spent)
        trainer.seconds += spent[0] * trainer.processes.size


def _log(trainer: Trainer, **values: float) -> None:
    """Append one line to the run's log."""
    if not trainer.processes.first:
        return
    line = {
        "samples": trainer.samples,
        "seconds": round(trainer.seconds, 1),
        "progress": round(trainer.progress, 4),
        "clean_share": round(trainer.clean_share, 3),
        **values,
    }
    append_line(_log_path(trainer), line)


def _log_path(trainer: Trainer) -> Path:
    """Where the run's log is."""
    return trainer.out / "log.jsonl"
