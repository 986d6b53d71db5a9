"""What all benchmark commands share: options, steps, tables, and how they end."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ringwatch.agent import Agent
from ringwatch.benchmarks import command, latency
from ringwatch.benchmarks.command import (
    EDGE,
    MPX,
    Parser,
    Steps,
    await_ready,
    steps,
)
from ringwatch.benchmarks.frame_file import DATA_KEY, FrameFile
from ringwatch.benchmarks.peers import show_table

FOLDER = Path(latency.__file__).parent
PATIENCE_S = 180.0


def test_commands_and_no_others_are_named_in_their_first_line() -> None:
    """So says docs/speed.md."""
    for path in sorted(FOLDER.glob("*.py")):
        lines = path.read_text().splitlines()
        named = f"`python benchmarks/{path.name}`." in lines[0]
        if named:
            assert lines[-1] == "    main()", path.name
        if "    end_in_one_line()" in lines:
            assert named, path.name


# -- options ----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "-1", "100000", "nan", "inf", "much", ""])
def test_a_number_beyond_its_bounds_is_told_them(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"0\.01 to 64"):
        MPX(text)


def test_numbers_within_their_bounds_are_read() -> None:
    assert [MPX(text) for text in ("0.01", "4", "64")] == [0.01, 4.0, 64.0]
    assert isinstance(EDGE("128"), int)
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number, 128 to"):
        EDGE("128.5")


def test_help_says_bounds_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser("What it does.")
    parser.option("--mpx", MPX, [1.0, 4.0], "sizes")
    assert parser.parse_args([]).mpx == [1.0, 4.0]
    assert parser.parse_args(["--mpx", "2"]).mpx == [2.0]
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "sizes; 0.01 to 64 (1.0 4.0)" in told


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("reduction", ["--mpx", "0"], "0.01 to 64"),
        ("reduction", ["--mpx", "100000"], "0.01 to 64"),
        ("scaling", ["--edge", "0"], "128 to 4,096"),
        ("end_to_end", ["--bins", "0"], "64 to 2,047"),
        ("generator", ["--device", "nonsense"], "nonsense cannot be used here"),
        ("replay", ["--edge", "3"], "128 to 4,096"),
        ("latency", ["--rate", "0"], "0.1 to 1,000"),
        ("device", ["--batch", "0"], "1 to 1,024"),
        ("growth_stop", ["--targets", "0"], "1 to 100,000"),
        ("counting_time", ["--samples", "-1"], "1 to 100,000"),
        ("sample_choice", ["--seeds", "0"], "1 to 100,000"),
    ],
)
def test_a_bad_option_costs_one_line(
    name: str,
    options: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = importlib.import_module(f"ringwatch.benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, *options])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line
    assert options[0] in line


# -- steps ------------------------------------------------------------------------


def test_off_a_terminal_each_step_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with steps("replay", 2) as told:
        told.begin("stores a run")
        told.note("one remark")
        told.begin("replays it [all of it]")
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.splitlines() == [
        "replay: 1 of 2: stores a run",
        "replay: one remark",
        "replay: 2 of 2: replays it [all of it]",
    ]


def test_on_a_terminal_there_is_a_bar_with_a_count() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    with Steps("replay", 2, console) as told:
        told.begin("stores a run")
        told.begin("replays it")
    assert "replay: replays it" in stream.getvalue()
    assert "1/2" in stream.getvalue()


# -- tables -----------------------------------------------------------------------


def test_a_table_fits_80_columns_and_breaks_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = ("ms", "fastest_ms", "faster_than_naive", "faster_than_best_pyfai")
    names += ("times_the_floor", "same_label")
    rows: list[dict[str, Any]] = [
        {"mpx": 1.0, "way": way, **dict.fromkeys(names, value), "frames": 100}
        for way, value in (("ours", 123.4567), ("best pyFAI", 0.000123))
    ]
    show_table(rows, "A table", "Asked: nothing.")
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert told.count("0.000123") == told.count(" 123 ") == len(names)
    assert "In all rows: mpx 1, frames 100." in told


# -- ends -------------------------------------------------------------------------


def interrupted(
    words: list[str], until: str, how: signal.Signals, scratch: Path
) -> tuple[int, str]:
    """Status and stderr of a command that got a signal when it had said something.

    Or, where that is nothing, while it imports numpy.
    """
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(scratch)},
        text=True,
    )
    try:
        assert process.stderr is not None
        told = ""
        maps = Path(f"/proc/{process.pid}/maps")
        while not until and "numpy" not in maps.read_text():
            time.sleep(0.02)
        while until not in told:
            line = process.stderr.readline()
            assert line, f"it ended without {until!r}: {told}"
            told += line
        time.sleep(0.5 if until else 0)
        process.send_signal(how)
        _, rest = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, told + rest


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("words", "until", "how"),
    [
        (["reduction.py"], "", signal.SIGINT),  # while it imports
        (["reduction.py", "--mpx", "16"], "1 of 1", signal.SIGTERM),
        (["latency.py", "--frames", "5000", "--mpx", "0.06"], "Tiled", signal.SIGINT),
        (["latency.py", "--frames", "900", "--mpx", "0.06"], "run 1", signal.SIGTERM),
    ],
)
def test_a_command_that_is_told_to_end_says_so_in_a_line_and_leaves_nothing(
    words: list[str], until: str, how: signal.Signals, tmp_path: Path
) -> None:
    script = [str(FOLDER / words[0]), *words[1:]]
    status, told = interrupted(script, until, how, tmp_path)
    assert status == 130
    assert told.splitlines()[-1] == "interrupted: no figures"
    assert "Traceback" not in told
    assert list(tmp_path.glob("ringwatch-*")) == []


def test_other_errors_keep_their_traceback() -> None:
    code = (
        "from ringwatch.benchmarks.command import end_in_one_line\n"
        "end_in_one_line()\n1 / 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_listener_does_not_outlive_who_started_it_and_has_gone_before() -> None:
    code = (
        "from ringwatch.benchmarks.listener import Listener\n"
        "import os, signal\n"
        "listener = Listener('tcp://127.0.0.1:9')\n"
        "print(listener._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    listener = Path(f"/proc/{int(done.stdout)}")
    until = time.monotonic() + PATIENCE_S
    while listener.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not listener.exists()


# -- agents -----------------------------------------------------------------------


def test_an_agent_is_waited_for_longer_than_it_usually_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_SOON_S", 0.0)
    store = FrameFile.write(tmp_path, 128, 1)
    with Agent(poni=store.poni, detector=DATA_KEY, classifier="none") as agent:
        await_ready(agent)
        assert agent.wait_idle(0.0)
