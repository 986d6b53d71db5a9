"""``ringwatch label``, on verdicts of a real run in a real Tiled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from typer.testing import CliRunner, Result

from ringwatch.agent import Agent
from ringwatch.agent.cli import app
from ringwatch.agent.cli.label_choice import parse_indices
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import LabelError
from ringwatch.simulated_beamline.faults import DetectorShift
from ringwatch.simulated_beamline.scenarios import powder_beamline

RAW, DERIVED = "raw-people", "analysis-people"
FRAMES = 6

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def uid(server: EmbeddedTiled, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A stored run with its verdicts; the detector slips at frame 4."""
    folder = tmp_path_factory.mktemp("people")
    beamline = powder_beamline(
        folder, detector=256, pace=0.0, faults=[DetectorShift(first=4, dx_px=2.0)]
    )
    engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(TiledWriter(server.catalog(RAW), batch_size=1))
    with Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        classifier="onnx",
        tiled=f"{server.uri}?api_key={server.api_key}",
        tiled_container=DERIVED,
    ) as agent:
        engine.subscribe(agent)
        (found,) = engine(beamline.step_scan(FRAMES))
        assert agent.wait_idle(120)
    return str(found)


@pytest.fixture
def command(server: EmbeddedTiled, tmp_path: Path) -> Command:
    """Runs the command in this process, with a folder of its own."""
    config = tmp_path / "agent.toml"
    config.write_text(
        f'tiled_container = "{DERIVED}"\nraw_container = "{RAW}"\n'
        f'state = "{tmp_path}/state"\n'
    )

    def run(*words: object, tiled: str = server.uri) -> Result:
        told = ["label", *map(str, words), "--config", str(config), "--tiled", tiled]
        environment = {"TILED_API_KEY": server.api_key}
        return CliRunner().invoke(app, told, env=environment)

    return run


def told(result: Result) -> Any:
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_a_label_knows_what_the_machine_had_said(command: Command, uid: str) -> None:
    answer = told(
        command(
            *(uid[:8], "0-1,5", "--class", "F---", "--comment", "CeO2, by hand"),
            *("--by", "ada", "--json"),
        )
    )
    assert answer["run"] == uid
    assert answer["in_tiled"] is True
    first, _, last = answer["labels"]
    assert [each["index"] for each in answer["labels"]] == [0, 1, 5]
    assert first["verdict"] == "good"
    assert (last["verdict"], last["primary_flag"]) == ("misaligned", "beam_center")
    assert 0 < first["label_prob"] <= 1
    assert len(first["analysis_id"]) == 32
    assert len(first["model_hash"]) == 64
    assert (first["stream"], first["data_key"]) == ("primary", "detector_image")


@pytest.mark.slow
def test_two_people_and_one_who_settles_it(command: Command, uid: str) -> None:
    for words in (
        ("0-3", "--class", "quartz", "--by", "ada"),
        ("0-2", "--class", "quartz", "--by", "bo"),
        ("3", "--class", "calcite", "--by", "bo"),
    ):
        assert "labelled by" in command(uid, *words).output
    answer = told(command(uid, "--json"))
    assert answer["agreement"]["people"][:2] == ["ada", "bo"]
    assert answer["agreement"]["open"] == [3]
    assert answer["agreement"]["classes"]["share"] == pytest.approx(3 / 4)
    shown = " ".join(command(uid).output.split())
    assert "Disputed and open: 3" in shown
    assert "75% of the 4 frames" in shown
    settle = ("3", "--class", "calcite", "--by", "cy", "--adjudicate")
    assert command(uid, *settle).exit_code == 0
    answer = told(command(uid, "--json"))
    assert answer["agreement"]["disputed"] == [3]
    assert answer["agreement"]["open"] == []
    classes = {each["index"]: each["class"] for each in answer["settled"]}
    assert classes[3] == "calcite"
    assert len(answer["labels"]) >= 9  # nothing was overwritten


@pytest.mark.slow
def test_the_queue_leaves_out_what_was_judged(command: Command, uid: str) -> None:
    assert command(uid, "2", "--correct", "--by", "ada").exit_code == 0
    queue = told(command("--review", uid, "--most", 10, "--json"))
    asked = [each["index"] for each in queue]
    assert 2 not in asked
    assert len(set(asked)) == len(asked) > 0
    assert all(each["reason"] and each["run"] == uid for each in queue)
    newest = command("--review", "--most", 1)
    assert newest.exit_code == 0, newest.output
    assert uid[:8] in newest.output


@pytest.mark.slow
def test_while_tiled_is_away_labels_wait_here(
    command: Command, uid: str, tmp_path: Path
) -> None:
    away = "http://127.0.0.1:9"
    refused = command(uid, "1", "--wrong", "--by", "ada", tiled=away)
    assert "--data-key" in str(refused.exception)
    kept = command(
        *(uid, "1", "--wrong", "--by", "ada", "--data-key", "detector_image"),
        tiled=away,
    )
    assert "Tiled has not taken them yet" in " ".join(kept.output.split())
    (path,) = (tmp_path / "state" / "labels").glob("*.jsonl")
    assert '"says": "wrong"' in path.read_text()
    assert "Only labels that are kept here" in command(uid, tiled=away).output
    answer = told(command(uid, "--json"))  # back: this sends it
    assert [e["says"] for e in answer["labels"] if e["verdict"] == ""] == ["wrong"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "name a run"),
        (("UID", "1"), "say what the frames show"),
        (("UID", "1", "--correct", "--wrong"), "two labels"),
        (("UID", "1", "--correct", "--word", "bad"), "goes with --wrong"),
        (("UID", "--wrong"), "name the frames"),
        (("UID", "99", "--wrong"), "has them up to 5"),
        (("UID", "1", "--wrong", "--stream", "dark"), "primary detector_image"),
        (("no-such-run", "1", "--wrong"), "no run"),
        (("UID", "--review", "--wrong"), "second command"),
    ],
)
def test_what_cannot_be_meant_is_told(
    command: Command, uid: str, words: tuple[str, ...], why: str
) -> None:
    result = command(*(uid if word == "UID" else word for word in words))
    assert result.exit_code != 0
    assert why in str(result.exception)


def test_frames_are_named_by_index_range_and_list() -> None:
    assert parse_indices(["7", "3,5", "10-12", "3"]) == [3, 5, 7, 10, 11, 12]
    for word, why in (
        ("x", "is no frame"),
        ("1-", "is no frame"),
        ("٣", "is no frame"),
        ("5-3", "write 3-5"),
        ("0-999999999", "at most"),
    ):
        with pytest.raises(LabelError, match=why):
            parse_indices([word])
