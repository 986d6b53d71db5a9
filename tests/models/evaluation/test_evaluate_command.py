"""``ringwatch evaluate``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from ringwatch.agent.cli.evaluate import evaluate as evaluate_command
from ringwatch.agent.errors import SettingsError
from ringwatch.models.evaluation.recalibration import recalibrate
from ringwatch.models.weight_files import read_weights, write_card


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(evaluate_command)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def copied(tiny_weights, folder):
    """Weights of our own that a command may write to."""
    folder.mkdir(exist_ok=True)
    own = folder / "own.safetensors"
    own.write_bytes(tiny_weights.read_bytes())
    own.with_suffix(".json").write_text(tiny_weights.with_suffix(".json").read_text())
    return own


def test_the_command_prints_json_and_counts_skipped_rows(
    run, tmp_path, structure_row, pattern_row, write_table
):
    patterns = write_table(
        tmp_path / "p.parquet", [pattern_row(), pattern_row(x_unit="tof")]
    )
    structures = write_table(tmp_path / "s.parquet", [structure_row()])
    files = ["--patterns", patterns, "--structures", structures]
    result = run(*files, "--json")
    assert result.exit_code == 0, result.output
    scores = json.loads(result.output)
    assert set(scores) == {"clean", "beamline", "measured"}
    assert scores["measured"]["skipped"] == 1
    assert scores["measured"]["class_top1"]["n"] == 1
    table = run(*files)
    assert "space group, top 5" in table.output
    assert "rows skipped" in table.output


def test_the_command_scores_the_part_it_is_asked_for(run, tiny_weights, small_tables):
    structures, patterns = small_tables
    arguments = ["--structures", structures, "--weights", tiny_weights, "--json"]
    sizes = {}
    for part in ("all", "report", "choose", "train"):
        result = run(*arguments, "--part", part)
        if result.exit_code == 0:
            sizes[part] = json.loads(result.output)["clean"]["class_top1"]["n"]
        else:
            sizes[part] = 0
            assert "has no rows of part" in str(result.exception)
    assert sizes["all"] == 8
    assert sizes["report"] + sizes["choose"] + sizes["train"] == 8
    default = run(*arguments)
    assert (default.exit_code == 0) == (sizes["report"] > 0)
    adapted = run(
        *("--patterns", patterns, "--weights", tiny_weights, "--part", "all"),
        *("--adapt", "--json"),
    )
    assert "frequencies" in json.loads(adapted.output)["adaptation"]


def test_the_command_writes_card_report_and_figures(
    run, tiny_weights, small_tables, tmp_path
):
    structures, patterns = small_tables
    own = copied(tiny_weights, tmp_path)
    out = tmp_path / "out"
    result = run(
        *("--structures", structures, "--patterns", patterns, "--part", "all"),
        *("--weights", own, "--card", "--adapt", "--sweeps", 3, "--out", out),
    )
    assert result.exit_code == 0, result.output
    report = json.loads((out / "evaluation.json").read_text())
    assert report["part"] == "all"
    assert (out / "sweeps.png").exists()
    assert "evaluation.json" in result.output
    card = read_weights(own).card
    measured = card["scores"]["natural"]["measured"]
    assert measured == report["tables"]["measured"]["scores"]
    assert card["evaluation"]["tables"]["clean"]["systems"]
    text = (tmp_path / "MODEL_CARD.md").read_text()
    assert "{" not in text
    for words in (
        "prior `natural`",
        "By crystal system: real structures, clean",
        "One disturbance at a time, 3 clean real structures",
        "Adapted to the unlabelled",
        "| cubic | 6 |",
        f"| temperature | {card['temperature']:.3f} |",
    ):
        assert words in text
    assert text.index("measured patterns |") > text.index("real structures, clean |")
    first = card["scores"]["natural"]["measured"]["class_top1"]["percent"]
    assert f"Of measured patterns the first class is right in {first:.0f} %" in text
    for link in re.findall(r"\]\((.*\.png)\)", text):
        assert (tmp_path / link).exists()
    assert "](out/sweeps.png)" in text


def test_figures_of_another_network_are_not_on_the_card(
    run, tiny_weights, small_tables, tmp_path
):
    own = copied(tiny_weights, tmp_path)
    arguments = ["--patterns", small_tables[1], "--weights", own, "--part", "all"]
    text = tmp_path / "MODEL_CARD.md"
    assert run(*arguments, "--out", tmp_path).exit_code == 0
    assert run(*arguments, "--card").exit_code == 0
    assert "](accuracy.png)" in text.read_text()  # found again beside the weights
    write_card(own, {**read_weights(own).card, "temperature": 1.5})
    assert run(*arguments, "--card").exit_code == 0
    assert ".png" not in text.read_text()
    (tmp_path / "evaluation.json").write_text("no JSON")
    assert run(*arguments, "--card").exit_code == 0
    assert ".png" not in text.read_text()
    elsewhere = tmp_path / "out"
    weights = copied(tiny_weights, tmp_path / "w")
    result = run(*arguments[:2], "--weights", weights, "--card", "--out", elsewhere)
    assert result.exit_code == 0, result.output
    assert ".png" not in (tmp_path / "w" / "MODEL_CARD.md").read_text()


def test_calibration_and_scores_keep_to_the_limit(
    run, tiny_weights, tmp_path, structure_row, write_table
):
    own = copied(tiny_weights, tmp_path)
    rows = [structure_row(a=a, b=a, c=a) for a in (2.7, 2.8, 2.9, 3.0, 3.1, 3.2)]
    table = write_table(tmp_path / "s.parquet", rows)
    result = run(
        *("--structures", table, "--weights", own, "--limit", 4, "--json"),
        *("--calibrate", "--simulated", 256),
    )
    assert result.exit_code == 0, result.output
    scores = json.loads(result.output)
    assert {s["class_top1"]["n"] for s in scores.values()} == {4}
    card = read_weights(own).card
    assert "4 clean, 4 beamline" in card["calibration"]
    cubic = card["evaluation"]["tables"]["clean"]["systems"][0]
    assert cubic["class_top1"]["n"] == 4


def test_the_command_calibrates_and_says_on_what(
    run, tiny_weights, tmp_path, pattern_row, write_table
):
    own = copied(tiny_weights, tmp_path)
    patterns = write_table(tmp_path / "p.parquet", [pattern_row()] * 12)
    arguments = ["--patterns", patterns, "--weights", own]
    kept = run(*arguments, "--calibrate", "--simulated", 256)
    assert kept.exit_code == 0, kept.output
    card = read_weights(own).card
    assert "12 measured" in card["calibration"]
    assert card["scores"]["natural"]["measured"]["class_top1"]["n"] == 12
    text = (tmp_path / "MODEL_CARD.md").read_text()
    assert card["calibration"] in text
    assert "{" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name --structures"),
        (["--patterns", "none.parquet"], "no readable Parquet"),
        (["--patterns", "p", "--prior", "flat"], "choose natural, balanced"),
        (["--patterns", "p", "--part", "best"], "choose one of report"),
        (["--patterns", "p", "--calibrate", "--prior", "training"], "natural prior"),
        (["--log", "log.jsonl"], "name the folder"),
        (["--log", "log.jsonl", "--out", "x", "--card"], "--card keeps scores"),
        (["--log", "none.jsonl", "--out", "x"], "no readable training log"),
    ],
)
def test_nonsense_is_refused_with_the_remedy(
    run, arguments, words, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert isinstance(result.exception, SettingsError)
    assert words in str(result.exception)


def test_adapting_needs_patterns(run, tiny_weights, small_tables):
    result = run("--structures", small_tables[0], "--adapt", "--weights", tiny_weights)
    assert isinstance(result.exception, SettingsError)


def test_scores_of_an_older_card_stay_beside_new_ones(
    run, tiny_weights, small_tables, tmp_path
):
    own = copied(tiny_weights, tmp_path)
    card = read_weights(own).card
    rate = {"percent": 50.0, "low": 40.0, "high": 60.0, "n": 100}
    old = {"class_top1": rate, "surest_half": 70.0, "majority": 9.0, "skipped": 0}
    write_card(own, {**card, "scores": {"training": {"clean": old}}})
    files = ["--patterns", small_tables[1], "--weights", own, "--part", "all"]
    assert run(*files, "--card").exit_code == 0
    text = (tmp_path / "MODEL_CARD.md").read_text()
    assert "| class | 50.0 (40.0-60.0) |" in text
    assert "| among 3 | - |" in text
    assert "| same answer to all: class, among 5, system | 9.0, -, - |" in text


def test_a_new_calibration_forgets_the_scores_of_the_old(
    run, tiny_weights, small_tables, tmp_path
):
    own = copied(tiny_weights, tmp_path)
    arguments = ["--patterns", small_tables[1], "--weights", own, "--part", "all"]
    for prior in ("natural", "balanced"):
        assert run(*arguments, "--card", "--prior", prior).exit_code == 0
    assert set(read_weights(own).card["scores"]) == {"natural", "balanced"}
    found, _ = recalibrate(own, count=256)
    card = read_weights(own).card
    assert card["scores"] == {}
    assert "evaluation" not in card
    assert (card["temperature"], card["coverage"]["threshold"]) == (
        found.temperature,
        found.threshold,
    )
