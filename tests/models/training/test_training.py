"""Training: the objective by hand, and a run that ends, resumes and repeats."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from rich.console import Console
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import ringwatch.models
from ringwatch.agent.cli.train import train as train_command
from ringwatch.agent.errors import SettingsError
from ringwatch.models.architecture import NetworkConfig, Stage
from ringwatch.models.classifier import Classifier
from ringwatch.models.crystals.prototypes import build_pool
from ringwatch.models.evaluation.card_text import card_text
from ringwatch.models.evaluation.recalibration import recalibrate
from ringwatch.models.evaluation.scaling import read_log
from ringwatch.models.symmetry import BRAVAIS_INDEX, CLASS_INDEX, SYSTEM_INDEX
from ringwatch.models.training.checkpoint import CheckpointError, read_checkpoint
from ringwatch.models.training.loop import train
from ringwatch.models.training.objective import SymmetryLoss, rate_factor
from ringwatch.models.training.recipe import (
    CrystalSettings,
    Recipe,
    TrainingSettings,
    read_recipe,
)
from ringwatch.models.training.trainer import Trainer
from ringwatch.models.weight_files import SHIPPED, read_weights, write_weights

RECIPES = Path(ringwatch.models.__path__[0]) / "recipes"
TINY = NetworkConfig(
    stages=(Stage(8, 7, 8, 1), Stage(16, 5, 4, 0)), hidden=32, n_bins=512
)


def recipe(**training):
    settings = {"hours": 100.0, "samples": 256, "batch": 32, "seed": 3, **training}
    return Recipe(training=TrainingSettings(**settings), network=TINY)


def quiet():
    return Console(file=io.StringIO())


LEVELS = [
    (1.0, CLASS_INDEX),
    (0.3, np.arange(-1, 230)),
    (0.2, BRAVAIS_INDEX),
    (0.3, SYSTEM_INDEX),
]


def test_loss_is_the_sum_of_the_levels_negative_log_likelihoods():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 230))
    groups = np.array([1, 14, 62, 166, 198, 225])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = 0.0
    for row, group in zip(p, groups, strict=True):
        expected -= 0.3 * np.log(row[group - 1])
        for weight, index in (LEVELS[0], LEVELS[2], LEVELS[3]):
            expected -= weight * np.log(row[index[1:] == index[group]].sum())
    found = SymmetryLoss(LEVELS)(torch.tensor(logits), torch.tensor(groups))
    assert float(found) == pytest.approx(expected / 6, rel=1e-5)


def test_loss_stays_finite_when_the_truth_has_no_probability_left():
    logits = torch.full((1, 230), 0.0)
    logits[0, 0] = 500.0
    logits.requires_grad_()
    loss = SymmetryLoss(LEVELS)(logits, torch.tensor([225]))
    loss.backward()
    assert float(loss.detach()) > 500
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 224] < 0  # pulls the true group up


@pytest.mark.parametrize("decay", [0.9, 0.2])
def test_the_learning_rate_rises_stays_and_falls(decay):
    rates = [rate_factor(x, 0.1, decay) for x in np.linspace(0, 1, 101)]
    fall = 100 - round(100 * decay)
    assert rates[0] == 0.0
    assert max(rates) == rates[10] == rates[fall] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01)
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[fall:]) < 0).all()


def test_a_run_learns_writes_and_ends(tmp_path):
    trainer = train(recipe(samples=2048, learning_rate=3e-3), tmp_path, console=quiet())
    assert trainer.samples == 2048
    assert trainer.progress == 1.0
    lines = [json.loads(t) for t in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert 4 < next(line["loss"] for line in lines if "loss" in line) < 8
    assert "clean_top1" in lines[-1]
    card = read_weights(trainer.weights_path).card
    assert card["training"]["samples"] == 2048
    found, _ = recalibrate(trainer.weights_path, count=512)
    assert 0.25 <= found.temperature <= 8
    assert 0 < found.threshold <= 1
    card = read_weights(trainer.weights_path).card
    assert card["temperature"] == found.temperature
    q = np.arange(0.5, 5, 0.01)
    prediction = Classifier.load(trainer.weights_path, backend="onnx").predict(
        q, np.exp(-(((q - 2) / 0.02) ** 2))
    )
    assert sum(c.probability for c in prediction.classes) == pytest.approx(1)


def test_one_batch_can_be_learned_by_heart(tmp_path):
    settings = recipe(clean_share=(1.0, 1.0), learning_rate=3e-3, warm_up=0.01)
    trainer = Trainer(settings, tmp_path)
    losses = []
    for _ in range(40):
        losses.append(trainer.step()[0])
        trainer.samples = 32  # the same 32 crystals again, at a high learning rate
    assert losses[1] > 5
    assert losses[-1] < 1


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path):
    whole = Trainer(recipe(), tmp_path / "whole")
    while whole.progress < 1:
        whole.step()
    first = Trainer(recipe(), tmp_path / "parts")
    for _ in range(3):
        first.step()
    first.save()
    second = Trainer(recipe(), tmp_path / "parts")
    assert second.samples == 96
    while second.progress < 1:
        second.step()
    assert second.step_count == whole.step_count == 8
    for name, value in whole.network.learned().items():
        torch.testing.assert_close(
            second.network.learned()[name], value, rtol=0, atol=0
        )
        torch.testing.assert_close(
            second.average[name], whole.average[name], rtol=0, atol=0
        )


def test_a_finished_run_is_left_as_it_is(tmp_path):
    settings = recipe(samples=64)
    trainer = train(settings, tmp_path, console=quiet())
    recalibrate(trainer.weights_path, count=256)
    files = sorted(path for path in tmp_path.iterdir() if path.is_file())
    before = [path.read_bytes() for path in files]
    train(settings, tmp_path, console=quiet())
    assert [path.read_bytes() for path in files] == before


def test_a_resumed_run_forgets_what_it_logged_after_its_checkpoint(tmp_path):
    settings = recipe(samples=96)
    trainer = Trainer(settings, tmp_path)
    trainer.step()
    trainer.save()
    log = tmp_path / "log.jsonl"
    lines = [{"samples": n, "clean_top1": 1.0} for n in (16, 32, 64, 96)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    log.write_text(text + '{"samples": 1')  # a crash in the middle of a line
    train(settings, tmp_path, console=quiet())
    samples = [json.loads(t)["samples"] for t in log.read_text().splitlines()]
    assert samples == [16, 32, 96]
    assert [row["samples"] for row in read_log(log)] == samples


def test_the_log_of_a_run_without_checkpoint_is_kept(tmp_path):
    log = tmp_path / "log.jsonl"
    text = '{"samples": 960, "clean_top1": 1.0}\n'
    log.write_text(text)
    train(recipe(samples=32), tmp_path, console=quiet())
    assert (tmp_path / "log.jsonl.old").read_text() == text
    assert [json.loads(t)["samples"] for t in log.read_text().splitlines()] == [32]


def test_the_card_says_where_prototypes_come_from_and_older_ones_need_not(tmp_path):
    pool = build_pool((), {"table.parquet": 40, "AFLOW": 2})
    crystals = CrystalSettings(prototype_share=0.5)
    steps = dataclasses.replace(recipe(), crystals=crystals)
    trainer = Trainer(steps, tmp_path, prototypes=pool)
    trainer.save()
    Trainer(steps, tmp_path, prototypes=pool)  # is resumed
    file = read_weights(trainer.weights_path)
    said = file.card["training"]["prototypes"]
    assert said == {"digest": pool.digest(), "sources": pool.sources}
    text = card_text(file, name="run", n_bytes=1)
    assert "40 of table.parquet, 2 of AFLOW" in text
    file.card["training"]["prototypes"] = pool.digest()
    assert "templates:" not in card_text(file, name="run", n_bytes=1)
    write_weights(trainer.weights_path, file)
    Classifier.load(trainer.weights_path, backend="onnx")


def test_an_interrupt_saves_and_ends(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    trainer = train(recipe(samples=10**9), tmp_path, console=quiet())
    timer.join()
    assert 0 < trainer.samples < 10**9
    assert read_checkpoint(trainer.checkpoint_path).state["samples"] == trainer.samples
    assert signal.getsignal(signal.SIGINT) is before


def test_checkpoints_of_other_recipes_and_broken_ones_are_refused(tmp_path):
    Trainer(recipe(), tmp_path).save()
    Trainer(recipe(hours=2.0, samples=512), tmp_path)  # a longer budget may go on
    with pytest.raises(CheckpointError, match="another recipe"):
        Trainer(recipe(seed=4), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="delete it"):
        Trainer(recipe(), tmp_path)
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        Trainer(recipe(), tmp_path)


def test_shipped_weights_are_small_and_their_precision_is_enough(tmp_path):
    trainer = Trainer(recipe(), tmp_path)
    trainer.step()
    trainer.save()
    stored = load_file(trainer.weights_path)
    assert stored["hidden.weight"].dtype == np.float16
    assert stored["hidden.bias"].dtype == np.float32
    np.testing.assert_allclose(
        stored["hidden.weight"],
        trainer.average["hidden.weight"].numpy(),
        rtol=1e-3,
        atol=1e-7,
    )
    assert stored["prior.natural"].sum() == pytest.approx(1, abs=1e-6)


def test_the_shipped_recipe_is_that_of_the_shipped_weights(tmp_path):
    second = read_recipe(RECIPES / "second.toml")
    training = read_weights(SHIPPED).card["training"]
    assert second.identity == training["identity"]
    assert second.training.samples <= training["samples"] < 1.01e7
    assert second.network == read_weights(SHIPPED).network


def test_the_command_trains_and_calibrates(tmp_path):
    app = typer.Typer()
    app.command()(train_command)
    text = "[network]\nhidden = 16\nn_bins = 256\n[[network.stages]]\n"
    text += "channels = 8\nkernel = 7\nstride = 16\nblocks = 0\n"
    text += "[training]\nbatch = 16\nsamples = 64\n"
    path, out = tmp_path / "small.toml", tmp_path / "out"
    path.write_text(text)
    arguments = [str(path), "--out", str(out), "--hours", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "64 samples" in result.output
    assert read_weights(out / "weights.safetensors").card["calibration"]
    again = CliRunner().invoke(app, [*arguments, "--no-resume"])
    assert isinstance(again.exception, SettingsError)
    path.write_text("[training]\nepochs = 3\n")
    bad = CliRunner().invoke(app, arguments)
    assert "epochs" in str(bad.exception)
