"""`make bench`: the table, the page, the README's marks."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringwatch.benchmarks import bench, reduction, scaling
from ringwatch.benchmarks.speed_line import SpeedLine
from ringwatch.benchmarks.speed_lines import LINES_OF, held
from ringwatch.benchmarks.speed_page import (
    BEGIN,
    END,
    between_marks,
    conditions,
    publish,
    table,
)

README = f"# Rings\n\nbefore\n{BEGIN}\n\nold\n\n{END}\nafter\n"
LINE = SpeedLine(
    what="a frame",
    unit="ms",
    ours=2.0,
    peer=1234.5,
    peer_name="pyFAI",
    ratio=617.25,
    floor=0.5,
    times_the_floor=4.0,
    frames_a_second=500.0,
    asked="ratio >= 2.5",
    met=True,
)


def measured() -> dict[str, Any]:
    return conditions({"frames": 6}) | {"load_after": 0.5}


# -- lines ------------------------------------------------------------------------


def test_each_benchmark_of_the_short_form_has_lines_and_a_command() -> None:
    assert list(bench.SHORT) == list(LINES_OF)
    for name in set(bench.SHORT) - {"flags"}:
        assert (Path(bench.__file__).parent / f"{name}.py").exists()


def test_reduction_is_laid_beside_each_engine_and_the_floor() -> None:
    rows = reduction.measure(256, repeats=2, bins=200)
    lines = LINES_OF["reduction"](rows)
    peers = {line.peer_name for line in lines}
    assert peers == {"pyFAI no-csc", "pyFAI full-csc", "pyFAI bbox-csr"}
    by_way = {row["way"]: row for row in rows}
    for line in lines:
        assert line.floor == by_way["floor"]["ms"]
        assert line.times_the_floor == pytest.approx(line.ours / line.floor)
        assert line.peer == by_way[line.peer_name]["ms"]
        assert line.ratio == pytest.approx(line.peer / line.ours)
        assert line.frames_a_second == pytest.approx(1000 / line.ours)
        assert line.met is None  # asked of 4 Mpx alone


@pytest.mark.parametrize(("ms", "met"), [(2.0, True), (9.0, False)])
def test_what_is_asked_of_4_mpx_is_held_against_the_figures(
    ms: float, met: bool
) -> None:
    rows = [
        {"mpx": 4.0, "dtype": "uint16", "way": way, "ms": each}
        for way, each in (("cake", ms), ("pyFAI no-csc", 20.0), ("floor", 0.5))
    ]
    (line,) = LINES_OF["reduction"](rows)
    assert line.met is met
    (odd,) = LINES_OF["reduction"]([row | {"dtype": "uint32"} for row in rows])
    assert odd.met is None


@pytest.mark.parametrize(("naive", "best"), [(60.0, 20.0), (59.0, 19.0)])
def test_the_whole_way_is_held_against_both_peers(naive: float, best: float) -> None:
    every = {"ours": 10.0, "naive": naive, "best pyFAI": best, "floor": 4.0}
    rows = [
        {"mpx": 1.0, "way": way, "ms": ms, "times_the_floor": ms / 4}
        for way, ms in every.items()
    ]
    lines = LINES_OF["end_to_end"](rows)
    assert [line.asked for line in lines] == ["ratio >= 6", "ratio >= 2"]
    assert [line.met for line in lines] == [naive == 60.0] * 2
    assert lines[0].times_the_floor == 2.5
    assert lines[0].frames_a_second == 100
    assert "(throughput), 1 Mpx" in lines[0].what


def test_growth_is_told_by_the_exponents() -> None:
    rows = {"pixels": scaling.measure_pixels([128, 256], repeats=2, bins=100)}
    (line,) = LINES_OF["scaling"](rows)
    by_way = {row["way"]: row["exponent"] for row in rows["pixels"]}
    assert line.ours == by_way["cake"]
    assert line.floor == by_way["floor"]
    assert line.met is None  # asked of 1 to 16 Mpx
    large = [row | {"ms_at_1": 1.0, "ms_at_16": 16.0} for row in rows["pixels"]]
    (line,) = LINES_OF["scaling"]({"pixels": large})
    assert line.met is (0.9 <= line.ours <= 1.1)
    frames = [
        {"median_to_first": 1.0, "frames": 1998},
        {"median_to_first": 1.25, "frames": 1998},
    ]
    processes = [
        {"processes": 1, "speed_up": 1.0},
        {"processes": 2, "speed_up": 1.6},
    ]
    last, two = LINES_OF["scaling"]({"frames": frames, "processes": processes})
    assert last.ours == 1.25
    assert last.met is False
    (short,) = LINES_OF["scaling"]({"frames": [row | {"frames": 38} for row in frames]})
    assert short.met is None
    assert (two.ours, two.floor, two.times_the_floor) == (1.6, 2.0, 1.25)


# -- the table and the marks ------------------------------------------------------


def test_a_table_has_a_row_a_line_and_a_cell_a_column() -> None:
    bare = SpeedLine(what="alone", unit="", ours=0.98)
    missed = SpeedLine(what="slow", unit="us", ours=300.0, asked="< 200 us", met=False)
    rows = table([LINE, bare, missed]).splitlines()
    assert len(rows) == 5
    assert {row.count("|") for row in rows} == {9}
    assert rows[2] == (
        "| a frame | 2 ms | 500 | 1,234 ms (pyFAI) | 617 | 0.5 ms | 4 "
        "| ratio >= 2.5: yes |"
    )
    assert rows[3] == "| alone | 0.98 | - | - | - | - | - | - |"
    assert rows[4].endswith("| < 200 us: **no** |")
    (*_, other) = table([replace(missed, met=None)]).splitlines()
    assert other.endswith("| < 200 us: not that size |")


def latency_rows(mpx: float, rate: float) -> list[dict[str, Any]]:
    figures = {"p50_ms": 9.0, "p99_ms": 70.0, "max_ms": 80.0}
    return [{"run": "median", "mpx": mpx, "rate": rate} | figures]


def test_latency_is_held_against_what_is_asked_at_its_rate_and_size_alone() -> None:
    p50, p99, slowest = LINES_OF["latency"](latency_rows(1.0, 20.0))
    assert (p50.met, p99.met, slowest.met) == (True, False, None)
    for mpx, rate in ((4.0, 20.0), (1.0, 10.0)):
        lines = LINES_OF["latency"](latency_rows(mpx, rate))
        assert [line.met for line in lines] == [None] * 3


def test_each_command_says_whether_what_is_asked_is_met() -> None:
    told = held("latency", latency_rows(1.0, 20.0), "Asked: this.").splitlines()
    assert told[0] == "Asked: this."
    assert [line.rpartition(": ")[2] for line in told[1:]] == ["met", "NOT met"]
    other = held("latency", latency_rows(1.0, 10.0), "Asked: this.")
    assert other == "Asked: this. Not the size asked."


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    found = between_marks(README, "new\n")
    assert found == README.replace("old", "new")
    assert between_marks(found, "new\n") == found


@pytest.mark.parametrize(
    "text",
    [
        "no marks",
        f"{BEGIN} alone",
        f"{END} first, {BEGIN} then",
        README + README,
        README + BEGIN,
    ],
)
def test_a_readme_without_both_marks_once_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        between_marks(text, "new\n")


def test_our_readme_has_the_marks() -> None:
    text = (bench.ROOT / "README.md").read_text(encoding="utf-8")
    assert between_marks(text, "").count(BEGIN) == 1


# -- written files ----------------------------------------------------------------


def test_page_json_and_readme_are_written_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    rows = {"reduction": [{"ms": 2.0}]}
    written = publish(tmp_path, [LINE], measured(), rows)
    every = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert every == sorted(written)
    inside = table([LINE])
    readme = (tmp_path / "README.md").read_text()
    assert readme == README.replace("old\n", inside)
    page = (tmp_path / "docs" / "speed.md").read_text()
    assert inside in page
    assert "Can my detector be followed?" in page
    assert "2 s behind, the agent leaves out labels; 10 s" in page
    told = json.loads((tmp_path / "docs" / "speed.json").read_text())
    assert told["rows"] == rows
    assert told["lines"][0]["ratio"] == 617.25
    assert told["seeds"] == {"frames": 6}
    assert told["cores"] == os.cpu_count()
    for key in ("date", "cpu", "load", "versions", "python"):
        assert told[key] not in ("", None)
        assert key == "versions" or str(told[key]) in page
    for name in ("numpy", "pyFAI", "torch"):
        assert f"{name} {told['versions'][name]}" in page


def test_the_readme_has_what_is_held_against_something_and_the_page_has_all(
    tmp_path: Path,
) -> None:
    (tmp_path / "README.md").write_text(README)
    bare = SpeedLine(what="alone", unit="", ours=0.98)
    publish(tmp_path, [LINE, bare], measured(), {})
    readme = (tmp_path / "README.md").read_text()
    assert table([LINE]) in readme
    assert "alone" not in readme
    assert "All 2 lines: [docs/speed.md](docs/speed.md)." in readme
    assert table([LINE, bare]) in (tmp_path / "docs" / "speed.md").read_text()


def test_sound_frames_are_asked_what_their_flags_cost() -> None:
    row = {"pixels": 2**20, "dtype": "uint16", "moved_px": 0.0, "reduction_ms": 2.0}
    row |= {"second_look_ms": 0.1, "judging_ms": 1.1, "flags_over_reduction": 0.6}
    sound, off = LINES_OF["flags"]([row, row | {"moved_px": 0.4}])
    assert (sound.asked, sound.met) == ("ratio >= 2", False)
    assert (off.asked, off.met) == ("", None)


def test_files_stay_as_they_were_where_one_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    publish(tmp_path, [LINE], measured(), {})
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match="JSON compliant"):
        publish(tmp_path, [LINE], measured(), {"reduction": [{"ms": float("nan")}]})
    (tmp_path / "README.md").write_text("no marks")
    with pytest.raises(ValueError, match="once each"):
        publish(tmp_path, [LINE], measured(), {})
    (tmp_path / "README.md").write_text(README.replace("old\n", table([LINE])))
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert after == before
