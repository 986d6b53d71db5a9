"""The demo from end to end, as a user starts it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app, demo_epics
from ringwatch.agent.errors import SettingsError
from ringwatch.simulated_beamline.epics.ioc_process import missing_packages

needs_epics = pytest.mark.skipif(
    bool(missing_packages()),
    reason="the extra `epics` is not installed: make test EXTRAS=epics",
)


RINGWATCH = str(Path(sys.executable).with_name("ringwatch"))


def run_demo(*options: str) -> tuple[dict[str, Any], str]:
    """Summary and what people see. A process of its own: an engine and a server take
    down what they set up.
    """
    done = subprocess.run(
        [RINGWATCH, "demo", "--frames", "20", "--json", *options],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def check(summary: dict[str, Any]) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("style", ["stream", "inline"])
def test_the_demo_names_every_fault_and_replays(style: str) -> None:
    summary, shown = run_demo("--style", style)
    check(summary)
    assert summary["soft_devices_differences"] is None
    assert "Replay equals live" in shown


@pytest.mark.slow
@needs_epics
def test_through_channel_access_it_says_what_it_says_of_the_soft_devices() -> None:
    summary, shown = run_demo("--epics")
    check(summary)
    assert summary["soft_devices_differences"] == []
    assert "Replay equals live" in shown
    assert "Verdicts through Channel Access equal those on the soft devices" in shown


@pytest.mark.long
@needs_epics
def test_ctrl_c_leaves_no_process_behind() -> None:
    command = [RINGWATCH, "demo", "--epics", "--frames", "500"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.split()[1:3] == ["5", "good"]:
                break
        started = children_of(demo.pid)
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(60) == 130
    assert len(started) == 2, "a server and an IOC"
    assert not any(Path(f"/proc/{child}").exists() for child in started)


def children_of(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for t in tasks for child in (t / "children").read_text().split()]


def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_epics, "missing_packages", lambda: ["caproto", "pyepics"])
    result = CliRunner().invoke(app, ["demo", "--epics"])
    assert isinstance(result.exception, SettingsError)
    assert re.search(
        r"needs caproto, pyepics: .*'ringwatch\[epics\]'", str(result.exception)
    )


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["demo", "--style", "bogus"])
    assert result.exit_code == 2
    for word in ("bogus", "inline", "datum", "stream"):
        assert word in result.output
