"""Rows that cannot be used are skipped, counted and told; they end no evaluation."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from ringwatch.agent.cli.evaluate import evaluate as evaluate_command
from ringwatch.agent.errors import SettingsError


@pytest.fixture
def run(tiny_weights):
    app = typer.Typer()
    app.command()(evaluate_command)
    weights = ["--weights", str(tiny_weights)]
    return lambda *args: CliRunner().invoke(app, [*map(str, args), *weights])


@pytest.fixture
def bad_rows(pattern_row):
    nan = float("nan")
    return [
        pattern_row(wavelength_A="0"),
        pattern_row(wavelength_A="nan"),
        pattern_row(x_unit="tof"),
        pattern_row(intensity=[nan] * 1600),
        pattern_row(x=[1.0, 2.0]),
        pattern_row(space_group=0.0),
        pattern_row(space_group=231.0),
        pattern_row(space_group=225.5),
        pattern_row(x=[10.0, float("inf")], intensity=[1.0, 2.0]),
    ]


REASONS = (
    "3 space_group outside 1..230",
    "2 wavelength not above 0",
    "1 x_unit neither",
    "1 without a finite point",
    "1 x and intensity of different lengths",
    "1 too few points in the network's range",
)


def test_bad_rows_are_told_after_the_table(
    run, tmp_path, pattern_row, bad_rows, write_table
):
    table = write_table(tmp_path / "p.parquet", [*bad_rows, pattern_row()])
    result = run("--patterns", table)
    assert result.exit_code == 0, result.exception
    told = result.output.split("measured: rows skipped: ")[1]
    assert told.startswith("9 (")
    for reason in REASONS:
        assert reason in told


@pytest.mark.parametrize("extra", [[], ["--calibrate"]])
def test_when_nothing_is_left_the_error_says_why(
    run, tmp_path, bad_rows, write_table, extra
):
    result = run("--patterns", write_table(tmp_path / "p.parquet", bad_rows), *extra)
    assert isinstance(result.exception, SettingsError)
    for reason in ("no pattern could be used", *REASONS):
        assert reason in str(result.exception)


def test_structures_are_skipped_with_their_reasons(
    run, tmp_path, structure_row, write_table
):
    rows = [
        structure_row(),
        structure_row(space_group=300),
        structure_row(a=-1.0),
        structure_row(site_occ=[1.0]),
    ]
    result = run("--structures", write_table(tmp_path / "s.parquet", rows))
    assert result.exit_code == 0, result.exception
    for view in ("clean", "beamline"):
        told = f"{view}: rows skipped: 3 (2 cell or sites make no crystal, 1 space_grou"
        assert told in result.output


def test_the_heading_says_which_rows_were_scored(
    run, tmp_path, structure_row, small_tables, write_table
):
    plain = write_table(tmp_path / "s.parquet", [structure_row()])
    output = " ".join(run("--structures", plain).output.split())
    assert "all rows (no structure types: may hold training data)" in output
    assert "part report" not in output
    of_parts = run("--structures", small_tables[0], "--part", "all").output
    assert "part all" in of_parts
    assert "may hold" not in of_parts


@pytest.mark.parametrize("out", ["taken", "taken/under", "/proc/none"])
def test_a_folder_that_cannot_be_made_is_refused_ahead_of_scoring(run, tmp_path, out):
    (tmp_path / "taken").write_text("")
    result = run("--patterns", tmp_path / "none.parquet", "--out", tmp_path / out)
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception).startswith("--out ")


def test_help_says_what_is_written_to_and_what_less_than_chance_means(run):
    words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run("--help").output).split())
    assert "to the shipped ones if none are named" in words
    assert "less than chance would show" in words
