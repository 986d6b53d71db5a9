"""A short beamtime end to end: RunEngine, agent, Tiled, and the commands of people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.benchmarks.beamtime import NEW, Taken, take_runs

RUNS, FRAMES = 10, 6

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def beamtime(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[EmbeddedTiled, list[Taken]]]:
    """Four runs of known phases, then six with two new ones, one of them turning."""
    folder = tmp_path_factory.mktemp("beamtime")
    with EmbeddedTiled(folder / "tiled") as server:
        yield server, take_runs(folder, server, runs=RUNS, frames=FRAMES, seed=11)


@pytest.fixture
def command(
    beamtime: tuple[EmbeddedTiled, list[Taken]],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
) -> Command:
    """Runs a command in this process and gives back its JSON."""
    server, _ = beamtime

    def run(*words: str) -> Any:
        where = ["--heads", str(tmp_path / "heads"), "--by", "ada", "--json"]
        where += [] if "--promote" in words else ["--tiled", server.uri]
        result = CliRunner().invoke(
            app, [*words, *where], env={"TILED_API_KEY": server.api_key}
        )
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    return run


@pytest.mark.long
@pytest.mark.timeout(900)  # Tiled reads and writes for most of it
def test_new_phases_are_found_named_and_labelled(
    beamtime: tuple[EmbeddedTiled, list[Taken]], command: Command
) -> None:
    server, taken = beamtime
    seen = [word for each in taken[:4] for word in ("--seen", each.uid)]
    found = command("relabel", "--find", *seen)["clusters"]
    truth = {(each.uid, i): t for each in taken for i, t in enumerate(each.truth)}
    names = {phase.name: f"new_{i}" for i, phase in enumerate(NEW)}
    new = {frame: names[t] for frame, t in truth.items() if t in names}
    assert len(found) == 2
    assert {(f[0], f[3]) for each in found for f in each["frames"]} == set(new)
    told = []
    for each in found:
        uid, _, _, index = each["example"]
        told += ["--name", f"{each['number']}={new[uid, index]}"]
    named = command("relabel", *told)
    assert sum(named["named"].values()) == len(new)
    assert named["false_alarms"]["alarms"] == 0

    done = command("relabel", "--apply")
    assert done["frames"] == RUNS * FRAMES
    assert done["frames_changed"] == len(new)
    assert {(c["raw_uid"], c["raw_index"]): c["label"] for c in done["changed"]} == new
    again = command("relabel", "--apply")
    assert (again["version"], again["frames_changed"]) == (2, 0)
    versions = server.client()["relabelled"]
    starts = {run.metadata["start"]["label_version"]: run for run in versions.values()}
    assert sorted(starts) == [1, 2]
    assert starts[1].metadata["start"]["head_hash"] == named["digest"]
    assert starts[1].metadata["start"]["by"] == "ada"
    # Ten runs are seconds of frames.
    told = command("teach", "phases", "--promote", "--although-unsure")
    assert told["step"] == "promote"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_flag_is_taught_from_stored_frames(
    beamtime: tuple[EmbeddedTiled, list[Taken]], command: Command
) -> None:
    _, taken = beamtime
    turning = next(each for each in taken[4:] if len(set(each.truth)) > 1)
    first = turning.truth.index(turning.truth[-1])
    assert 3 <= first <= FRAMES - 3
    # Runs of the new phase alone have it as well, and may not count as without it.
    too = [each.uid for each in taken if set(each.truth) == {turning.truth[-1]}]
    left_out = [word for uid in too for word in ("--except", uid)]
    which = f"{turning.uid}:{first}-{FRAMES - 1}"
    told = command("teach", "onset", "--frames", which, *left_out)
    assert told["step"] == "shadow"
    others = RUNS - 1 - len(too)
    assert told["false_alarms"]["frames"] == others * FRAMES + first
    assert told["false_alarms"]["runs"] == others + 1
    assert list(told["taught"]) == [turning.uid]
    listed = command("teach", "--list")
    assert [each["role"] for each in listed["heads"]] == ["shadow"]
    assert [step["by"] for step in listed["steps"]] == ["ada"]
