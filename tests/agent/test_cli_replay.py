"""``ringwatch replay`` of runs stored by a real RunEngine, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from rich.console import Console
from tiled.queries import Key
from typer.testing import CliRunner, Result

from ringwatch.agent import Agent
from ringwatch.agent.cli import app
from ringwatch.agent.cli.stored import analyse_stored
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import AgentClosedError, ReplayError
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import find_run, with_dark_run
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

FRAMES = 6
DARKS = 2
ANALYSIS = "analysis-of-replays"


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    # Inline: of all styles the one whose frames a full queue would shed.
    return powder_beamline(
        tmp_path_factory.mktemp("beamline"), detector=256, style="inline"
    )


@pytest.fixture(scope="module")
def config(beamline: Beamline) -> Path:
    """Settings with a queue that is full at once."""
    path = beamline.folder / "agent.toml"
    path.write_text(
        f'poni = "{beamline.poni_path}"\n'
        f'mask = "{beamline.mask_path}"\n'
        'detector = "detector_image"\n'
        'classifier = "none"\n'
        "max_pending_documents = 2\n"
        f'tiled_container = "{ANALYSIS}"\n'
    )
    return path


@pytest.fixture(scope="module")
def uid(server: EmbeddedTiled, beamline: Beamline) -> str:
    """A stored run."""
    engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(TiledWriter(server.catalog("raw"), batch_size=10))
    (found,) = engine(beamline.step_scan(FRAMES, darks=DARKS))
    return str(found)


def replay(server: EmbeddedTiled, *arguments: object) -> Result:
    return CliRunner().invoke(
        app,
        ["replay", *map(str, arguments), "--tiled", server.uri],
        env={"TILED_API_KEY": server.api_key},
    )


def test_a_stored_run_is_told_frame_by_frame(
    server: EmbeddedTiled, uid: str, config: Path
) -> None:
    result = replay(server, uid, "--config", config)
    assert result.exit_code == 0, result.output
    rows = [line.split()[:2] for line in result.output.splitlines()]
    assert [[str(n), "good"] for n in range(FRAMES)] == [
        row for row in rows if row and row[0].isdigit() and row[1] == "good"
    ]
    assert f"{FRAMES} of {FRAMES + DARKS} frames analysed" in result.output


def test_json_says_the_same_of_each_run(
    server: EmbeddedTiled, uid: str, config: Path
) -> None:
    result = replay(server, uid, uid[:8], "--config", config, "--json")
    assert result.exit_code == 0, result.output
    expected = {
        "run": uid,
        "frames": FRAMES + DARKS,
        "analysed": FRAMES,
        "words": {"unknown": DARKS, "good": FRAMES},
        "attempt": 2,
    }
    assert json.loads(result.stdout) == [expected, expected]


def test_each_stored_replay_is_the_next_attempt(
    server: EmbeddedTiled, uid: str, config: Path
) -> None:
    runs = server.catalog("raw")
    live = Agent(
        config, sinks=(MemorySink(),), tiled=server.uri, api_key=server.api_key
    )
    analyse_stored(live, with_dark_run(runs, find_run(runs, uid)), console=Console())
    for attempt, asked in ((2, uid), (3, uid[:8])):
        result = replay(server, asked, "--config", config, "--store", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)[0]["attempt"] == attempt
    # As the README has it.
    derived = server.client()[ANALYSIS].search(Key("raw_uid") == uid)
    assert len(derived) == 3
    (run,) = derived.search(Key("attempt") == 1).values()
    assert list(run["primary"]["verdict"].read()) == ["good"] * FRAMES
    (newest,) = derived.search(Key("attempt") == 3).values()
    assert list(newest["primary"]["verdict"].read()) == ["good"] * FRAMES
    assert newest.metadata["start"]["raw_uid"] == uid


def test_without_store_nothing_is_stored(
    server: EmbeddedTiled, uid: str, config: Path, tmp_path: Path
) -> None:
    """Neither is anything published: the settings may be those of the live agent."""
    settings = tmp_path / "live.toml"
    settings.write_text(
        config.read_text().replace(ANALYSIS, "not-made")
        + f'tiled = "{server.uri}"\npublish = "tcp://127.0.0.1:1"\n'
    )
    result = replay(server, uid, "--config", settings)
    assert result.exit_code == 0, result.output
    assert "not-made" not in server.client()


def test_an_unknown_run_is_an_error_with_a_remedy(
    server: EmbeddedTiled, uid: str, config: Path
) -> None:
    result = replay(server, "0ddba11f", uid, "--config", config, "--json")
    assert result.exit_code == 1
    unknown, found = json.loads(result.stdout)
    assert unknown["run"] == "0ddba11f"
    assert "check the uid" in unknown["error"]
    assert found["analysed"] == FRAMES  # the other one is replayed all the same
    told = " ".join(result.stderr.split())
    assert "0ddba11f" in told
    assert "check the uid" in told


class Stuck(MemorySink):
    """A sink that never gets rid of what it was given."""

    def flush(self, timeout: float) -> bool:
        return False

    def close(self, timeout: float) -> bool:
        return False


def test_a_replay_that_stands_still_is_an_error(
    server: EmbeddedTiled, uid: str, config: Path
) -> None:
    runs = server.catalog("raw")
    agent = Agent(config, sinks=(Stuck(),))
    documents = with_dark_run(runs, find_run(runs, uid))
    with pytest.raises(ReplayError, match="not complete"):
        analyse_stored(agent, documents, console=Console(), patience_s=0.2)


def test_an_agent_is_closed_when_its_source_fails(config: Path) -> None:
    def broken() -> Iterator[tuple[str, dict[str, Any]]]:
        yield "start", {"uid": "run", "time": 0.0}
        raise ReplayError("the server went away")

    agent = Agent(config)
    with pytest.raises(ReplayError, match="went away"):
        analyse_stored(agent, broken(), console=Console())
    with pytest.raises(AgentClosedError):
        agent.feed("start", {"uid": "next", "time": 0.0})
