"""`make bench`: what the command says, writes, and leaves behind when it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringwatch.benchmarks import bench
from ringwatch.benchmarks.speed_page import BEGIN, END

README = f"# Rings\n\nbefore\n{BEGIN}\n\nold\n\n{END}\nafter\n"


def test_help_teaches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--help"])
    with pytest.raises(SystemExit, match="0"):
        bench.main()
    told = capsys.readouterr().out
    assert "For example: `python benchmarks/bench.py --only network latency`" in told


def test_a_root_without_marks_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("nothing")
    monkeypatch.setattr(sys, "argv", ["bench", "--root", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert "once each" in capsys.readouterr().err


def test_a_benchmark_that_fails_is_told_with_its_own_words() -> None:
    with pytest.raises(bench.BenchmarkError, match="5 to 1,000"):
        bench.run_one("reduction", ["--repeats", "1"])


@pytest.mark.slow
def test_the_whole_command_writes_what_its_benchmarks_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text(README)
    tiny = {"reduction": ("--mpx", "0.0625", "--repeats", "5")}
    monkeypatch.setattr(bench, "SHORT", tiny)
    monkeypatch.setattr(sys, "argv", ["bench", "--root", str(tmp_path), "--json"])
    bench.main()
    printed = json.loads(capsys.readouterr().out)
    told = json.loads((tmp_path / "docs" / "speed.json").read_text())
    assert printed["lines"] == told["lines"]
    assert {row["mpx"] for row in told["rows"]["reduction"]} == {0.0625}
    readme = (tmp_path / "README.md").read_text()
    assert "| frame to pattern, 0.0625 Mpx: cake |" in readme
    assert readme.startswith("# Rings\n\nbefore\n")
    assert readme.endswith("after\n")


@pytest.mark.slow
def test_with_only_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = {"reduction": ("--mpx", "0.0625", "--repeats", "5")}
    monkeypatch.setattr(bench, "SHORT", tiny)
    command = ["bench", "--only", "reduction", "--root", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setenv("COLUMNS", "200")
    bench.main()
    assert "pyFAI no-csc" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def is_benchmark(pid: str) -> bool:
    """And not a `uname` that some library asks for the machine's name."""
    try:
        return b"ringwatch.benchmarks." in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.slow
def test_ctrl_c_leaves_files_as_they_were_and_no_process(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    command = [sys.executable, "-m", "ringwatch.benchmarks.bench"]
    process = subprocess.Popen(
        [*command, "--root", str(tmp_path)],
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        text=True,
    )
    try:
        children: list[str] = []
        deadline = time.monotonic() + 60
        while not children and time.monotonic() < deadline:
            time.sleep(0.1)
            tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            children = list(filter(is_benchmark, tasks.read_text().split()))
        assert children, "no benchmark began"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "nothing was written" in told
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == README
