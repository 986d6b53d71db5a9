"""`ringwatch explain` and `ringwatch tail`: a run that went wrong, live and stored."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from typer.testing import CliRunner, Result

from ringwatch.agent import Agent
from ringwatch.agent.cli import app
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.faults import BeamLost, DetectorShift
from ringwatch.simulated_beamline.scenarios import powder_beamline

FRAMES = 16
COMMAND = Path(sys.executable).with_name("ringwatch")


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    """The beam is lost for two frames, then the detector slips."""
    return powder_beamline(
        tmp_path_factory.mktemp("beamline"),
        pace=0.0,
        faults=[BeamLost(first=6, last=7), DetectorShift(first=11, dx_px=1.5)],
    )


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of derived runs: what others stored must not be the newest here."""
    return tmp_path_factory.mktemp("explained").name


@pytest.fixture(scope="module")
def config(
    server: EmbeddedTiled,
    beamline: Beamline,
    container: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Settings of the agent, and of those who ask for its verdicts."""
    path = tmp_path_factory.mktemp("settings") / "agent.toml"
    path.write_text(
        f'poni = "{beamline.poni_path}"\nmask = "{beamline.mask_path}"\n'
        f'detector = "detector_image"\nclassifier = "none"\n'
        f'tiled = "{server.uri}"\ntiled_container = "{container}"\n'
        'publish = "tcp://127.0.0.1:*"\n'
        "hold_s = 30\n"  # what comes late on a busy machine would be provisional
    )
    return path


@pytest.fixture(scope="module")
def run(
    server: EmbeddedTiled, beamline: Beamline, config: Path
) -> tuple[str, str, list[str]]:
    """Uid of the run, what the agent printed, and what a live tail did."""
    engine: Any = RunEngine({}, call_returns_result=False)
    token = engine.subscribe(TiledWriter(server.catalog("raw"), batch_size=1))
    printed = config.with_name("printed")
    with printed.open("w") as out, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", out)
        with Agent(config, api_key=server.api_key) as agent:
            agent.wait_idle(120)
            tail = _listen(agent.address)
            token = engine.subscribe(agent)
            (uid,) = engine(beamline.step_scan(FRAMES))
            engine.unsubscribe(token)
            assert agent.wait_idle(60)
    time.sleep(1.0)  # the agent is gone: tail says so
    tail.send_signal(signal.SIGINT)
    said, told = tail.communicate(timeout=30)
    assert tail.returncode == 0, told
    return str(uid), printed.read_text(), [*said.splitlines(), *told.splitlines()]


def _listen(address: str | None) -> subprocess.Popen[str]:
    tail = subprocess.Popen(
        [COMMAND, "tail", "--address", str(address)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"COLUMNS": "1000", "PATH": "/usr/bin"},
    )
    assert tail.stderr is not None
    for line in tail.stderr:
        if "listening" in line:
            break
    time.sleep(0.5)  # a PUB socket does not know its subscribers at once
    return tail


@pytest.fixture
def ask(server: EmbeddedTiled, config: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command with the settings and the key."""
    monkeypatch.setenv("TILED_API_KEY", server.api_key)

    def run(*arguments: object) -> Result:
        words = [*map(str, arguments), "--config", str(config)]
        return CliRunner().invoke(app, words, terminal_width=1000)

    return run


def test_the_agent_prints_a_paragraph_where_the_run_stops(
    run: tuple[str, str, list[str]],
) -> None:
    uid, printed, _ = run
    (line,) = printed.splitlines()
    assert line.startswith(f"Run {uid[:8]}: 16 frames: 9 good, 5 misaligned, 2 bad. ")
    assert line.index("no beam (no_beam, bad), frames 6-7") < line.index("beam centre")
    assert "Take points 7-8, 12-16 again (frames 6-7, 11-15)." in line


def test_explain_says_the_same_of_the_stored_run(
    run: tuple[str, str, list[str]], ask: Any
) -> None:
    uid, printed, _ = run
    result = ask("explain", uid[:8])
    assert result.exit_code == 0, result.output
    heading, paragraph = result.stdout.split(".", 1)
    assert heading.startswith(f"Run {uid[:8]}, scan ")
    assert heading.endswith("as it was seen live")
    whole = " ".join(paragraph.split())
    assert printed.split(": ", 1)[1].strip() == whole


def test_explain_without_a_run_takes_the_newest_and_speaks_json(
    run: tuple[str, str, list[str]], ask: Any
) -> None:
    uid, *_ = run
    told = json.loads(ask("explain", "--json").stdout)
    assert (told["run"], told["attempt"], told["ended"]) == (uid, 1, True)
    assert [cause["flag"] for cause in told["causes"]] == ["no_beam", "beam_center"]
    (again,) = told["retake"]
    assert again["points"] == [[7, 8], [12, 16]]
    assert again["stream"] == "primary"


def test_a_replay_is_explained_as_well(
    run: tuple[str, str, list[str]], ask: Any, server: EmbeddedTiled
) -> None:
    uid, printed, _ = run
    result = ask("replay", uid, "--store", "--json", "--container", "raw")
    assert result.exit_code == 0, result.output
    (answer,) = json.loads(result.stdout)
    assert answer["paragraph"] == printed.split(": ", 1)[1].strip()
    told = json.loads(ask("explain", uid, "--attempt", 2, "--json").stdout)
    assert told["paragraph"] == answer["paragraph"]
    assert told["attempt"] == 2


def test_tail_shows_what_comes_and_what_became_of_it(
    run: tuple[str, str, list[str]],
) -> None:
    _, printed, lines = run
    rows = [line.split() for line in lines]
    frames = [r for r in rows if len(r) > 3 and r[0].isdigit() and r[1].isdigit()]
    verdicts = [(r[0], r[1], r[2], r[3]) for r in frames if r[3] != "-"]
    assert ("7", "6", "bad", "no_beam") in verdicts
    assert ("12", "11", "misaligned", "beam_center") in verdicts
    assert printed.split(": ", 1)[1].strip() in " ".join(" ".join(lines).split())
    assert any("no agent answers" in line for line in lines)  # it was closed


def test_tail_of_a_stored_run_gives_its_last_frames(
    run: tuple[str, str, list[str]], ask: Any
) -> None:
    uid, *_ = run
    result = ask("tail", uid, "-n", 3, "--json")
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["raw_index"] for each in told] == [13, 14, 15]
    assert {each["stream"] for each in told} == {"primary"}
    result = ask("tail", "newest")
    assert result.stdout.count("beam_center") == 5


def test_runs_that_are_not_there_are_told_with_the_remedy(
    run: tuple[str, str, list[str]], ask: Any
) -> None:
    result = ask("explain", "ffffffff")
    assert result.exit_code != 0
    assert "no run 'ffffffff'" in str(result.exception)
    result = ask("explain", "00000000-0000-4000-8000-000000000000")
    assert "no verdicts stored for run" in str(result.exception)
    result = ask("explain", "--attempt", 7)
    assert "no attempt 7 stored" in str(result.exception)


def test_one_key_without_the_other_is_refused(ask: Any, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tail", "--curve-key", str(tmp_path / "a")])
    assert "give both --curve-key" in str(result.exception)
