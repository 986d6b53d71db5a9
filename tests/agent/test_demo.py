"""The demo from end to end, as a user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app


@pytest.mark.slow
@pytest.mark.parametrize("style", ["stream", "inline"])
def test_the_demo_names_every_fault_and_replays(style: str) -> None:
    # In a process of its own: a RunEngine and a server take down what they set up.
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ringwatch")), "demo"),
            *("--frames", "20", "--style", style, "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["ok"] is True
    assert summary["verdicts"] == summary["frames"] == 20
    assert summary["stored_in_tiled"] == 23  # three darks
    assert summary["replay_differences"] == []
    assert summary["all_published"] is True
    assert [f["flag"] for f in summary["faults"]] == [
        "no_beam",
        "saturated",
        "beam_center",
    ]
    assert all(f["named"] == f["frames"] > 0 for f in summary["faults"])
    assert "Replay equals live" in done.stderr


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["demo", "--style", "bogus"])
    assert result.exit_code == 2
    for word in ("bogus", "inline", "datum", "stream"):
        assert word in result.output
