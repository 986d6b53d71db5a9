"""Several processes train as one, and threads that draw ahead change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from ringwatch.models.crystals import CrystalGenerator
from ringwatch.models.disturbances import Disturbances
from ringwatch.models.disturbances.settings import DisturbanceSettings
from ringwatch.models.inputs import InputGrid
from ringwatch.models.training.batches import Batches
from ringwatch.models.training.processes import join_processes

RECIPE = """
[training]
batch = 16
samples = 128
[network]
hidden = 16
n_bins = 512
[[network.stages]]
channels = 8
kernel = 7
stride = 16
blocks = 1
"""

_MEAN_OF_TWO = r"""
import sys
import torch
from ringwatch.models.training.processes import join_processes
processes = join_processes()
weight = torch.nn.Parameter(torch.zeros(2, 3))
weight.grad = torch.full((2, 3), 1.0 + processes.rank)
numbers = [10.0 * processes.rank, 7.0]
processes.mean([weight], numbers)
assert numbers == [5.0, 7.0], numbers
assert (weight.grad == 1.5).all(), weight.grad
running = torch.tensor([4.0 * processes.rank])
processes.mean_of([running])
assert running.item() == 2.0
processes.leave()
sys.stdout.write(f"rank {processes.rank} of {processes.size}\n")
sys.stdout.flush()
"""


def torchrun(*arguments: str) -> str:
    """Run two processes on this machine; what they print."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(  # noqa: PLW1510 - the assertion shows the output
        command, capture_output=True, text=True, timeout=240, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_gradients_and_numbers_are_averaged_over_processes(tmp_path):
    script = tmp_path / "mean.py"
    script.write_text(_MEAN_OF_TWO)
    printed = torchrun(str(script))
    assert "rank 0 of 2" in printed
    assert "rank 1 of 2" in printed


def test_one_process_is_alone():
    processes = join_processes()
    assert (processes.rank, processes.size, processes.first) == (0, 1, True)
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    numbers = [3.0]
    processes.mean([weight], numbers)
    assert numbers == [3.0]
    assert (weight.grad == 1).all()


def test_torchrun_trains_resumes_and_writes_once(tmp_path):
    recipe, out = tmp_path / "small.toml", tmp_path / "out"
    recipe.write_text(RECIPE)
    ringwatch = str(Path(sys.executable).with_name("ringwatch"))
    train = ("--no-python", ringwatch, "train", str(recipe), "--out", str(out))
    train += ("--no-calibrate",)
    first = torchrun(*train, "--samples", "64")
    assert "2 process(es)" in first
    torchrun(*train)
    lines = [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]
    # Each step takes 16 patterns in each of two processes; only the first writes.
    assert [line["samples"] for line in lines] == [64, 128]
    card = json.loads((out / "weights.json").read_text())
    assert card["training"]["steps"] == 4
    assert card["training"]["processes"] == 2
    assert all(
        v.isfinite().all() for v in load_file(out / "weights.safetensors").values()
    )


def test_a_busy_first_process_keeps_checkpoints_and_end_in_step(tmp_path):
    # The first process alone scores what it saved: its clock must not run ahead.
    recipe, out = tmp_path / "timed.toml", tmp_path / "out"
    timed = "[training]\nhours = 0.003\ncheckpoint_minutes = 0.02\nbatch = 16\n"
    recipe.write_text(RECIPE.replace("[training]\nbatch = 16\nsamples = 128\n", timed))
    ringwatch = str(Path(sys.executable).with_name("ringwatch"))
    train = ("--no-python", ringwatch, "train", str(recipe), "--out", str(out))
    torchrun(*train, "--no-calibrate")
    lines = [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]
    assert sum("clean_top1" in line for line in lines) >= 3
    assert lines[-1]["progress"] == 1.0


def test_threads_that_draw_ahead_change_nothing():
    crystals = CrystalGenerator(seed=3)
    disturbances = Disturbances(
        DisturbanceSettings(), seed=4, grid=InputGrid(256, 0.3, 6.0)
    )
    at_once = Batches(crystals, disturbances, 8)
    ahead = Batches(crystals, disturbances, 8, threads=2)
    for first in (0, 16, 32, 80, 96):  # also after a jump
        expected, found = at_once.take(first, 16, 0.5), ahead.take(first, 16, 0.5)
        np.testing.assert_array_equal(found.x, expected.x)
        np.testing.assert_array_equal(found.space_group, expected.space_group)
    ahead.close()
