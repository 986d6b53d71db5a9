"""Many stored runs: in processes, on Dask, broken off and gone on with."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from traceback import walk_stack
from typing import Any

import pytest

from ringwatch.agent.cli.replay_choice import choose_runs
from ringwatch.agent.cli.replay_job import _wait
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.replay_many import in_processes, on_dask
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .replay_command import ReplayCommand, answers, store

RAW = "raw-many"
FRAMES = (4, 2, 3)
WITH_DASK = importlib.util.find_spec("distributed") is not None


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    return powder_beamline(
        tmp_path_factory.mktemp("many"),
        detector=256,
        faults=[BeamLost(first=2, last=2)],
        exposure_time=0.02,
    )


@pytest.fixture(scope="module")
def uids(server: EmbeddedTiled, beamline: Beamline) -> list[str]:
    """Three stored runs of two samples."""
    plans = [
        beamline.step_scan(frames, md={"sample": sample})
        for frames, sample in zip(FRAMES, ("CeO2", "CeO2", "Si"), strict=True)
    ]
    return store(server, RAW, *plans)


@pytest.fixture
def replay(
    server: EmbeddedTiled, beamline: Beamline, uids: list[str], tmp_path: Path
) -> ReplayCommand:
    return ReplayCommand(server, RAW, beamline, tmp_path)


@pytest.fixture(scope="module")
def serial(
    server: EmbeddedTiled,
    beamline: Beamline,
    uids: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:
    """What one process says of all runs."""
    folder = tmp_path_factory.mktemp("serial")
    replay = ReplayCommand(server, RAW, beamline, folder)
    return answers(replay("--all", "--frames", "--json"))


def test_one_process_tells_runs_apart(
    serial: list[dict[str, Any]], uids: list[str]
) -> None:
    assert [answer["run"] for answer in serial] == uids
    assert [len(answer["verdicts"]) for answer in serial] == list(FRAMES)
    # The digest is over every field, patterns included.
    assert len({answer["digest"] for answer in serial}) == len(uids)
    words = [verdict["verdict"] for verdict in serial[0]["verdicts"]]
    assert words == ["good", "good", "suspect", "good"]  # the beam was away


@pytest.mark.slow
def test_processes_say_the_same_bit_for_bit(
    replay: ReplayCommand, serial: list[dict[str, Any]]
) -> None:
    spread = replay("--all", "--frames", "--json", "--processes", 2)
    assert answers(spread) == serial


@pytest.mark.slow
@pytest.mark.skipif(not WITH_DASK, reason="distributed is not installed")
def test_dask_workers_say_the_same_bit_for_bit(
    replay: ReplayCommand, serial: list[dict[str, Any]]
) -> None:
    assert answers(replay("--all", "--frames", "--json", "--workers", 2)) == serial


@pytest.mark.skipif(not WITH_DASK, reason="distributed is not installed")
def test_a_scheduler_that_is_not_there_is_an_error_with_a_remedy() -> None:
    answering = on_dask(str, ["x"], address="tcp://127.0.0.1:9", patience_s=1.0)
    with pytest.raises(ReplayError, match="no Dask scheduler answers at tcp://"):
        next(answering)


@pytest.mark.skipif(WITH_DASK, reason="distributed is installed")
def test_without_distributed_dask_is_refused_with_a_remedy(
    replay: ReplayCommand,
) -> None:
    result = replay("--all", "--dask", "tcp://127.0.0.1:8786")
    assert result.exit_code == 1
    assert "ringwatch[dask]" in str(result.exception)


def test_a_process_that_dies_is_an_error_with_a_remedy() -> None:
    orders: list[Any] = [0]  # os._exit takes a number
    job: Any = os._exit
    with pytest.raises(ReplayError, match="fewer --processes"):
        list(in_processes(job, orders, 2))


def test_runs_are_chosen_by_their_start(
    replay: ReplayCommand, server: EmbeddedTiled, uids: list[str]
) -> None:
    catalogue, asked = server.catalog(RAW), uids[2]
    chosen = choose_runs(catalogue, [], {"sample": "CeO2"}, every=False)
    assert [uid for _, uid in chosen] == uids[:2]
    chosen = choose_runs(catalogue, [asked], {"num_points": 99}, every=False)
    assert chosen == [(asked, asked)]
    found = answers(replay("--where", "sample=Si", "--json"))
    assert [answer["run"] for answer in found] == [asked]


@pytest.mark.slow
def test_finished_runs_are_not_done_again(
    replay: ReplayCommand, uids: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    two, ledger = uids[1:], out / "replay.jsonl"
    first = answers(replay(two[0], "--out", out, "--frames", "--json"))
    line = json.loads(ledger.read_text())
    result = replay(*two, "--out", out, "--frames", "--json")
    assert "1 of 2 runs were done before" in result.stderr
    every = answers(result)
    assert every[0] == first[0]
    lines = ledger.read_text().splitlines()
    assert json.loads(lines[0]) == line
    assert len(lines) == 2
    # What was cut off by a kill is done again, and spoils nothing.
    ledger.write_text("\n".join(lines)[:-30])
    result = replay(*two, "--out", out, "--frames", "--json")
    assert "1 of 2 runs were done before" in result.stderr
    assert answers(result) == every
    # Another question: nothing of it is done.
    result = replay(two[0], "--out", out, "--json", "--store")
    assert "done before" not in result.stderr
    result = replay(two[0], "--out", out, "--json", "--store")
    assert "1 of 1 runs were done before" in result.stderr
    assert answers(result)[0]["attempt"] == 1


def test_other_settings_are_another_question(
    replay: ReplayCommand, uids: list[str], tmp_path: Path, beamline: Beamline
) -> None:
    answers(replay(uids[1], "--out", tmp_path, "--json"))
    other = tmp_path / "detector.poni"
    text = beamline.poni_path.read_text()
    other.write_text(text + "# the same in other words: another hash\n")
    result = replay(uids[1], "--out", tmp_path, "--json", "--poni", other)
    assert "done before" not in result.stderr
    assert len((tmp_path / "replay.jsonl").read_text().splitlines()) == 2


PACED = ("--frames", "--pace", "x0.01")  # a minute and more for a run


def test_interrupted_it_says_how_to_go_on(
    replay: ReplayCommand, uids: list[str], tmp_path: Path
) -> None:
    """Ctrl-C in the middle of the second run, in one process."""
    out, two = tmp_path / "out", uids[1:]
    assert replay(two[0], "--out", out, "--frames").exit_code == 0
    interrupt = threading.Thread(target=interrupt_the_pace)
    interrupt.start()
    result = replay(*two, "--out", out, *PACED)
    interrupt.join()
    assert result.exit_code == 130, result.output
    assert "1 of 2 runs were done before" in result.output
    assert "Interrupted: 1 of 2 runs are done" in " ".join(result.output.split())
    found = answers(replay(*two, "--out", out, "--frames", "--json"))
    assert [len(answer["verdicts"]) for answer in found] == list(FRAMES[1:])


def interrupt_the_pace() -> None:
    """Ctrl-C once the main thread waits for the time of the next frame."""
    main = threading.main_thread().ident
    assert main is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        frame = sys._current_frames()[main]
        if any(f.f_code is _wait.__code__ for f, _ in walk_stack(frame)):
            break
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.long
def test_interrupted_processes_end_with_it(
    replay: ReplayCommand, uids: list[str], tmp_path: Path
) -> None:
    """Ctrl-C as a terminal sends it: to all processes."""
    command = [Path(sys.executable).with_name("ringwatch")]
    command += replay.words(*uids, "--out", tmp_path / "out", *PACED, "--processes", 2)
    with subprocess.Popen(
        list(map(str, command)),
        env=os.environ | {"TILED_API_KEY": replay.server.api_key},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 90
            while deaf_to_ctrl_c(process.pid) < 3:  # two, and multiprocessing's own
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(1)  # into the first runs
            os.killpg(process.pid, signal.SIGINT)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, told
    assert "Interrupted: 0 of 3 runs are done" in " ".join(told.split())
    assert "Traceback" not in told


def deaf_to_ctrl_c(group: int) -> int:
    """Processes of a group that leave SIGINT to their parent."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            told = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if os.getpgid(int(told["Pid"])) == group:
                found += int(told["SigIgn"], 16) >> (signal.SIGINT - 1) & 1
        except (OSError, KeyError):
            continue  # it ended meanwhile
    return found
