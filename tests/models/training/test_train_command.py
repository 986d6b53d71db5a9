"""``ringwatch train``: what it refuses, and what it says at the end of a run."""

from __future__ import annotations

import signal

import pytest
import typer
from typer.testing import CliRunner

from ringwatch.agent.cli.train import train as train_command
from ringwatch.agent.errors import SettingsError
from ringwatch.models.training import trainer as trainer_module
from ringwatch.models.weight_files import read_weights

SMALL = """
[training]
batch = 16
samples = 64
[network]
hidden = 16
n_bins = 256
[[network.stages]]
channels = 8
kernel = 7
stride = 16
blocks = 0
"""


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(train_command)
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return lambda out, *args, recipe=path: CliRunner().invoke(
        app, [str(recipe), "--out", str(out), *args]
    )


@pytest.mark.parametrize("out", ["taken", "taken/under", "/proc/none"])
def test_a_folder_that_cannot_be_made_is_refused_first(run, tmp_path, out):
    (tmp_path / "taken").write_text("")
    result = run(tmp_path / out, recipe=tmp_path / "none.toml")
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception).startswith("--out ")


def test_a_bad_recipe_leaves_no_folder(run, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("[training]\nlearning_rate = -1\n")
    result = run(tmp_path / "a" / "b", recipe=bad)
    assert "learning_rate = -1" in str(result.exception)
    assert not (tmp_path / "a").exists()


def test_a_complete_run_says_so_and_is_left_as_it_is(run, tmp_path):
    out = tmp_path / "out"
    weights = out / "weights.safetensors"
    first = run(out, "--no-calibrate")
    done = f"done: 64 samples; weights in {weights}"
    assert done in first.output
    assert f"ringwatch evaluate --weights {weights}" in first.output
    assert f'weights = "{weights}"' in first.output
    assert "calibrated" in run(out).output
    before = weights.read_bytes(), weights.with_suffix(".json").read_bytes()
    again = run(out)
    assert again.output.startswith(done)
    assert (weights.read_bytes(), weights.with_suffix(".json").read_bytes()) == before


def test_an_interrupt_of_the_last_scoring_names_the_remedy(run, tmp_path, monkeypatch):
    def interrupted(self):
        signal.raise_signal(signal.SIGINT)

    # A shell's background jobs inherit a SIGINT that is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(trainer_module.Trainer, "validate", interrupted)
            result = run(tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "the same command finishes it" in result.output
    assert "done: 64 samples" in run(tmp_path / "out").output
    assert read_weights(tmp_path / "out" / "weights.safetensors").card["calibration"]
