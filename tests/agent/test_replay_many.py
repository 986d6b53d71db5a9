"""Many stored runs: in processes, on Dask, broken off and gone on with, compared."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from typer.testing import CliRunner, Result

from ringwatch.agent.cli import app
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.replay_many import in_processes
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost
from ringwatch.simulated_beamline.scenarios import powder_beamline

RAW = "raw-many"
ANALYSIS = "analysis-many"
FRAMES = (5, 7, 4)


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    return powder_beamline(
        tmp_path_factory.mktemp("many"),
        detector=256,
        faults=[BeamLost(first=2, last=2)],
        exposure_time=0.02,
    )


@pytest.fixture(scope="module")
def config(beamline: Beamline) -> Path:
    path = beamline.folder / "agent.toml"
    path.write_text(
        f'poni = "{beamline.poni_path}"\n'
        f'mask = "{beamline.mask_path}"\n'
        'detector = "detector_image"\n'
        'classifier = "none"\n'
        f'tiled_container = "{ANALYSIS}"\n'
    )
    return path


@pytest.fixture(scope="module")
def uids(server: EmbeddedTiled, beamline: Beamline) -> list[str]:
    """Three stored runs of two samples."""
    engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(TiledWriter(server.catalog(RAW), batch_size=10))
    samples = ("CeO2", "CeO2", "Si")
    found = []
    for frames, sample in zip(FRAMES, samples, strict=True):
        found += engine(beamline.step_scan(frames, md={"sample": sample}))
    return [str(uid) for uid in found]


@pytest.fixture
def replay(
    server: EmbeddedTiled, uids: list[str], config: Path
) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        words = ["replay", *map(str, arguments), "--config", str(config)]
        return CliRunner().invoke(
            app,
            [*words, "--tiled", server.uri, "--container", RAW],
            env={"TILED_API_KEY": server.api_key},
        )

    return run


def answers(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    for answer in found:
        for verdict in answer.get("verdicts", []):
            del verdict["latency_ms"]
    return found


@pytest.mark.slow
def test_processes_say_the_same_bit_for_bit(
    replay: Callable[..., Result], uids: list[str]
) -> None:
    serial = answers(replay("--all", "--frames", "--json"))
    spread = answers(replay("--all", "--frames", "--json", "--processes", 2))
    assert [answer["run"] for answer in serial] == uids
    assert [len(answer["verdicts"]) for answer in serial] == list(FRAMES)
    assert spread == serial
    # The digest is over every field, patterns included: it does tell runs apart.
    assert len({answer["digest"] for answer in serial}) == len(uids)
    words = [verdict["verdict"] for verdict in serial[0]["verdicts"]]
    assert words == ["good", "good", "suspect", "good", "good"]  # the beam was away


@pytest.mark.skipif(
    importlib.util.find_spec("distributed") is not None, reason="it is installed"
)
def test_without_distributed_dask_is_refused_with_a_remedy(
    replay: Callable[..., Result],
) -> None:
    result = replay("--all", "--dask", "tcp://127.0.0.1:8786")
    assert result.exit_code == 1
    assert "ringwatch[dask]" in str(result.exception)


@pytest.mark.slow
def test_dask_workers_say_the_same_bit_for_bit(
    replay: Callable[..., Result],
) -> None:
    pytest.importorskip("distributed")
    serial = answers(replay("--all", "--frames", "--json"))
    assert answers(replay("--all", "--frames", "--json", "--workers", 2)) == serial


def test_a_process_that_dies_is_an_error_with_a_remedy() -> None:
    orders: list[Any] = [0]  # os._exit takes a number
    job: Any = os._exit
    with pytest.raises(ReplayError, match="fewer --processes"):
        list(in_processes(job, orders, 2))


def test_runs_are_chosen_by_their_start(
    replay: Callable[..., Result], uids: list[str]
) -> None:
    found = answers(replay("--where", "sample=CeO2", "--json"))
    assert [answer["run"] for answer in found] == uids[:2]
    found = answers(replay(uids[2], "--where", "num_points=99", "--json"))
    assert [answer["run"] for answer in found] == [uids[2]]


@pytest.mark.slow
def test_finished_runs_are_not_done_again(
    replay: Callable[..., Result], uids: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = answers(replay(uids[1], "--out", out, "--frames", "--json"))
    line = json.loads((out / "replay.jsonl").read_text())
    result = replay("--all", "--out", out, "--frames", "--json")
    assert "1 of 3 runs were done before" in result.stderr
    every = answers(result)
    assert every[1] == first[0]
    lines = (out / "replay.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == line
    assert len(lines) == 3
    # What was cut off by a kill is done again, and spoils nothing.
    (out / "replay.jsonl").write_text("\n".join(lines)[:-30])
    result = replay("--all", "--out", out, "--frames", "--json")
    assert "2 of 3 runs were done before" in result.stderr
    assert answers(result) == every
    # Another question: nothing of it is done.
    result = replay("--all", "--out", out, "--json", "--store")
    assert "done before" not in result.stderr
    result = replay("--all", "--out", out, "--json", "--store")
    assert "3 of 3 runs were done before" in result.stderr
    assert {answer["attempt"] for answer in answers(result)} == {1}


def test_other_settings_are_another_question(
    replay: Callable[..., Result], uids: list[str], tmp_path: Path, beamline: Beamline
) -> None:
    answers(replay(uids[2], "--out", tmp_path, "--json"))
    other = tmp_path / "detector.poni"
    text = beamline.poni_path.read_text()
    other.write_text(text + "# the same in other words: another hash\n")
    result = replay(uids[2], "--out", tmp_path, "--json", "--poni", other)
    assert "done before" not in result.stderr
    assert len((tmp_path / "replay.jsonl").read_text().splitlines()) == 2


def test_stored_verdicts_are_compared(
    replay: Callable[..., Result], uids: list[str], tmp_path: Path
) -> None:
    uid = uids[0]
    result = replay(uid, "--diff")
    assert result.exit_code == 2
    assert "ringwatch replay --store" in " ".join(result.output.split())
    before = answers(replay(uid, "--store", "--json"))[0]["attempt"]
    (same,) = answers(replay(uid, "--diff", "--json"))
    assert (same["diff"]["differ"], same["diff"]["frames"]) == (0, FRAMES[0])
    assert same["diff"]["attempt"] == before
    assert same["diff"]["not_compared"] == []
    # Through Tiled and back, an empty difference is only worth something if patterns
    # and probabilities were among what was compared: a mask that hides rings shows.
    mask = tmp_path / "mask.npy"
    hidden = np.zeros((256, 256), bool)
    hidden[:, :100] = True
    np.save(mask, hidden)
    result = replay(uid, "--diff", "--json", "--mask", mask, "--store")
    assert result.exit_code == 1
    (answer,) = json.loads(result.stdout)
    assert answer["diff"]["differ"] == FRAMES[0]
    assert answer["diff"]["fields"]["intensity"] == FRAMES[0]
    # The newest is that one now; the first can still be asked for.
    assert replay(uid, "--diff", "--json").exit_code == 1
    result = replay(uid, "--attempt", before, "--json")
    assert answers(result)[0]["diff"]["differ"] == 0
    assert replay(uid, "--attempt", 99, "--json").exit_code == 2


def test_a_changed_word_is_told_with_both_reasons(
    replay: Callable[..., Result], uids: list[str], tmp_path: Path
) -> None:
    uid = uids[1]
    stored = replay(uid, "--store")
    assert stored.exit_code == 0, stored.output
    dark = tmp_path / "dark.npy"
    np.save(dark, np.full((256, 256), 1000, np.uint16))
    result = replay(uid, "--diff", "--dark", dark)
    assert result.exit_code == 1, result.output
    told = " ".join(result.output.split())
    assert f"{FRAMES[1]} of {FRAMES[1]} frames differ from attempt 1" in told
    assert "The analysis id was" in told
    assert "was is frames" in told
    assert "was good:" in told


def test_a_missing_run_is_one_clear_line(
    replay: Callable[..., Result], uids: list[str]
) -> None:
    result = replay("nosuchuid")
    assert result.exit_code == 1
    assert result.output == (
        "error: no run 'nosuchuid' in the catalogue: check the uid, the container, and "
        "that the run was written to this server\n"
    )
    result = replay("abc")
    assert "at least 5" in result.output


def test_a_key_in_the_address_is_written_nowhere(
    server: EmbeddedTiled, uids: list[str], config: Path, tmp_path: Path
) -> None:
    words = ["replay", uids[2], "--config", config, "--container", RAW, "--json"]
    words += ["--out", tmp_path, "--tiled", f"{server.uri}?api_key={server.api_key}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILED_API_KEY", "")
        patch.delenv("TILED_API_KEY")
        result = CliRunner().invoke(app, list(map(str, words)))
    assert answers(result)[0]["analysed"] == FRAMES[2]
    written = (tmp_path / "replay.jsonl").read_text()
    assert uids[2] in written
    assert server.api_key not in written + result.output + result.stderr


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((), "--all"),
        (("x", "--pace", "fast"), "x10"),
        (("x", "--frames"), "--json"),
        (("--where", "sample"), "key=value"),
        (("x", "--processes", "2", "--workers", "2"), "one of"),
    ],
)
def test_what_makes_no_sense_is_refused(
    replay: Callable[..., Result], arguments: tuple[str, ...], remedy: str
) -> None:
    result = replay(*arguments)
    assert result.exit_code == 1
    assert remedy in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_interrupted_it_says_how_to_go_on(
    server: EmbeddedTiled,
    uids: list[str],
    config: Path,
    tmp_path: Path,
    replay: Callable[..., Result],
    processes: int,
) -> None:
    """Ctrl-C in the middle of paced runs, as a terminal sends it: to all processes."""
    out = tmp_path / "out"
    before = replay(uids[0], "--out", out, "--frames", "--json")
    assert before.exit_code == 0
    command = [Path(sys.executable).with_name("ringwatch"), "replay", *uids]
    command += ["--config", config, "--tiled", server.uri, "--container", RAW]
    command += ["--out", out, "--frames", "--pace", "x0.01", "--processes", processes]
    process = subprocess.Popen(
        list(map(str, command)),
        env=os.environ | {"TILED_API_KEY": server.api_key},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert "1 of 3 runs were done before" in first
    time.sleep(4)  # into the second run, which takes a minute at this pace
    os.killpg(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "Interrupted: 1 of 3 runs are done" in " ".join(told.split())
    assert "Traceback" not in told
    result = replay(*uids, "--out", out, "--frames", "--json")
    assert [len(answer["verdicts"]) for answer in answers(result)] == list(FRAMES)
