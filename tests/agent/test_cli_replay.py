"""``ringwatch replay`` of one run stored by a real RunEngine, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiled.queries import Key
from typer.testing import CliRunner

from ringwatch.agent import Agent
from ringwatch.agent.cli import app
from ringwatch.agent.cli.stored import analyse_stored
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import AgentClosedError, ReplayError
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import find_run, with_dark_run
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .replay_command import ReplayCommand, answers, store

RAW = "raw"
FRAMES = 4
DARKS = 2


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    # Inline: of all styles the one whose frames a full queue would shed.
    folder = tmp_path_factory.mktemp("beamline")
    return powder_beamline(folder, detector=256, style="inline")


@pytest.fixture(scope="module")
def uid(server: EmbeddedTiled, beamline: Beamline) -> str:
    """A stored run."""
    (found,) = store(server, RAW, beamline.step_scan(FRAMES, darks=DARKS))
    return found


@pytest.fixture
def replay(
    server: EmbeddedTiled, beamline: Beamline, uid: str, tmp_path: Path
) -> ReplayCommand:
    """With a queue that is full at once."""
    return ReplayCommand(server, RAW, beamline, tmp_path, max_pending_documents=2)


def test_a_stored_run_is_told_frame_by_frame(replay: ReplayCommand, uid: str) -> None:
    result = replay(uid)
    assert result.exit_code == 0, result.output
    rows = [line.split()[1:3] for line in result.output.splitlines()]
    assert [[str(n), "good"] for n in range(FRAMES)] == [
        row for row in rows if row and row[0].isdigit() and row[1] == "good"
    ]
    assert f"{FRAMES} of {FRAMES + DARKS} frames analysed" in result.output


def test_json_says_the_same_of_each_run(replay: ReplayCommand, uid: str) -> None:
    expected = {
        "run": uid,
        "frames": FRAMES + DARKS,
        "analysed": FRAMES,
        "words": {"unknown": DARKS, "good": FRAMES},
        "paragraph": "4 frames: 4 good; 2 dark or set aside. No fault was found.",
        "attempt": 2,
    }
    assert answers(replay(uid, uid[:8], "--json")) == [expected, expected]


def test_each_stored_replay_is_the_next_attempt(
    server: EmbeddedTiled, replay: ReplayCommand, uid: str
) -> None:
    runs = server.catalog(RAW)
    live = Agent(
        replay.config, sinks=(MemorySink(),), tiled=server.uri, api_key=server.api_key
    )
    analyse_stored(live, with_dark_run(runs, find_run(runs, uid)), console=Console())
    for attempt, asked in ((2, uid), (3, uid[:8])):
        (answer,) = answers(replay(asked, "--store", "--json"))
        assert answer["attempt"] == attempt
    # As the README has it.
    derived = server.client()[replay.container].search(Key("raw_uid") == uid)
    assert len(derived) == 3
    (run,) = derived.search(Key("attempt") == 1).values()
    assert list(run["primary"]["verdict"].read()) == ["good"] * FRAMES
    (newest,) = derived.search(Key("attempt") == 3).values()
    assert list(newest["primary"]["verdict"].read()) == ["good"] * FRAMES
    assert newest.metadata["start"]["raw_uid"] == uid


def test_without_store_nothing_is_stored(
    server: EmbeddedTiled, beamline: Beamline, uid: str, tmp_path: Path
) -> None:
    """Neither is anything published: the settings may be those of the live agent."""
    live = {"tiled": server.uri, "publish": "tcp://127.0.0.1:1"}
    replay = ReplayCommand(server, RAW, beamline, tmp_path, **live)
    result = replay(uid)
    assert result.exit_code == 0, result.output
    assert replay.container not in server.client()


def test_an_unknown_run_is_an_error_with_a_remedy(
    replay: ReplayCommand, uid: str
) -> None:
    result = replay("0ddba11f", uid, "--json")
    assert result.exit_code == 1
    unknown, found = json.loads(result.stdout)
    assert unknown["run"] == "0ddba11f"
    assert "check the uid" in unknown["error"]
    assert found["analysed"] == FRAMES  # the other one is replayed all the same
    told = " ".join(result.stderr.split())
    assert "0ddba11f" in told
    assert "check the uid" in told


def test_a_missing_run_is_one_clear_line(replay: ReplayCommand) -> None:
    result = replay("nosuchuid")
    assert result.exit_code == 1
    assert result.output == (
        "error: no run 'nosuchuid' in the catalogue: check the uid, the container, and "
        "that the run was written to this server\n"
    )
    result = replay("abc")
    assert "at least 5" in result.output


def test_a_key_in_the_address_is_written_nowhere(
    server: EmbeddedTiled, replay: ReplayCommand, uid: str, tmp_path: Path
) -> None:
    words = ["replay", uid, "--config", replay.config, "--container", RAW, "--json"]
    words += ["--out", tmp_path, "--tiled", f"{server.uri}?api_key={server.api_key}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILED_API_KEY", "")
        patch.delenv("TILED_API_KEY")
        result = CliRunner().invoke(app, list(map(str, words)))
    assert answers(result)[0]["analysed"] == FRAMES
    written = (tmp_path / "replay.jsonl").read_text()
    assert uid in written
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
    replay: ReplayCommand, arguments: tuple[str, ...], remedy: str
) -> None:
    result = replay(*arguments)
    assert result.exit_code == 1
    assert remedy in str(result.exception)


class Stuck(MemorySink):
    """A sink that never gets rid of what it was given."""

    def flush(self, timeout: float) -> bool:
        return False

    def close(self, timeout: float) -> bool:
        return False


def test_a_replay_that_stands_still_is_an_error(
    server: EmbeddedTiled, replay: ReplayCommand, uid: str
) -> None:
    runs = server.catalog(RAW)
    agent = Agent(replay.config, sinks=(Stuck(),))
    documents = with_dark_run(runs, find_run(runs, uid))
    with pytest.raises(ReplayError, match="not complete"):
        analyse_stored(agent, documents, console=Console(), patience_s=0.2)


def test_an_agent_is_closed_when_its_source_fails(replay: ReplayCommand) -> None:
    def broken() -> Iterator[tuple[str, dict[str, Any]]]:
        yield "start", {"uid": "run", "time": 0.0}
        raise ReplayError("the server went away")

    agent = Agent(replay.config)
    with pytest.raises(ReplayError, match="went away"):
        analyse_stored(agent, broken(), console=Console())
    with pytest.raises(AgentClosedError):
        agent.feed("start", {"uid": "next", "time": 0.0})
