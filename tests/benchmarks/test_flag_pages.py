"""The pages in ``docs/flags`` say what the code's table and the report say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.pages import REPORT, index_page, main, page

FOLDER = Path(__file__).parents[2] / "docs" / "flags"


@pytest.fixture(scope="module")
def report():
    return json.loads((FOLDER / REPORT).read_text())


@pytest.fixture(scope="module")
def said():
    return json.loads((FOLDER / "examples.json").read_text())


@pytest.mark.parametrize("flag", Flag, ids=lambda f: f.label)
def test_a_page_is_as_made_today_and_has_its_picture(flag, report, said):
    text = (FOLDER / f"{flag.label}.md").read_text()
    assert text == page(flag, report, said.get(flag.label, ""))
    assert (FOLDER / "images" / f"{flag.label}.png").stat().st_size > 1000
    for line in text.splitlines():
        if line.startswith("!["):
            assert (FOLDER / line.split("(")[1].rstrip(")")).exists()


def test_the_index_leads_to_all(report):
    text = (FOLDER / "README.md").read_text()
    assert text == index_page(report)
    assert all(f"({flag.label}.md)" in text for flag in Flag)


def test_the_pages_can_be_made_anew(tmp_path, report):
    (tmp_path / REPORT).write_text(json.dumps(report))
    main([str(tmp_path)])
    assert len(list(tmp_path.glob("*.md"))) == len(Flag) + 1


def test_the_report_is_of_the_cases_of_today(report):
    for row in report["recall"]:
        case = CASES[row["case"]]
        about = (row["flag"], row["unit"], row["patience"])
        assert about == (case.flag, case.unit, case.patience)
        assert row["amplitude"] in (*case.amplitudes, case.no_fault)
    tried = {(r["case"], r["amplitude"]) for r in report["recall"]}
    targets = {(n, c.target) for n, c in CASES.items() if c.target is not None}
    assert targets <= tried
    if report["form"] != "quick":
        assert {(n, a) for n, c in CASES.items() for a in c.amplitudes} <= tried
