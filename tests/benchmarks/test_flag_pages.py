"""The pages in ``docs/flags`` say what the code's table and the report say."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.curves import curve_name
from ringwatch.benchmarks.flags.pages import REPORT, index_page, main, page
from ringwatch.benchmarks.flags.sample_cases import SAMPLE_CASES
from ringwatch.benchmarks.flags.tables import sight

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


def test_an_index_without_recall_shows_no_figure_of_causes(report):
    text = index_page(report | {"recall": []})
    assert "root-causes" not in text
    assert not text.endswith("\n\n")


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


def curve(case, limits, missed=()):
    """Rows of a case, seen from a limit on at each level of counts."""
    about = CASES[case]
    nothing = about.no_fault or 0.0
    for counts, least in limits.items():
        for amplitude in (*about.amplitudes, about.no_fault):
            far = abs(amplitude - nothing) >= abs(least - nothing)
            recall = float(far and amplitude not in (*missed, about.no_fault))
            yield {
                "group": "no fault" if amplitude == about.no_fault else "curve",
                "case": case,
                "flag": about.flag,
                "unit": about.unit,
                "amplitude": amplitude,
                "geometry": "cheap",
                "sample": "cubic",
                "counts": counts,
                "level": "cakes",
                "trials": 60,
                "seen": round(60 * recall),
                "recall": recall,
                "recovered_median": 1.0 if amplitude >= 100.0 else 1.3,
            }


def words(case, limits, missed=()):
    flag = next(flag for flag in Flag if flag.label == CASES[case].flag)
    return sight(flag, {"recall": list(curve(case, limits, missed))})


def test_a_page_says_how_weak_a_fault_its_flag_sees_at_each_level_of_counts():
    lines = words("strain", {1e4: 3000.0, 1e6: 150.0, 1e8: 100.0}, missed=(200.0,))
    assert "cheap (1 Mpx, 0.5 m), cubic sample, drawn as cakes, 60 trials" in str(lines)
    assert "| 150 | 0% | 100% | 100% |" in lines
    assert "| *0* | 0% | 0% | 0% |" in lines
    assert "- 1e+04 counts a frame: seen in 95 % from 3000 ppm" in lines
    least = "- 1e+06 counts a frame: seen in 95 % from 150 ppm (but not at 200)"
    assert least in lines
    assert "- no fault (0 ppm), all counts: raised in 0 of 180" in lines
    (right,) = (line for line in lines if line.startswith("- the value is within 10%"))
    assert "down to 100 ppm at 1e+06 counts" in right
    assert f"![recall](images/{curve_name('strain')}.png)" in lines
    assert "" not in [a + b for a, b in pairwise(lines)]


def test_shares_left_are_seen_up_to_an_amount():
    lines = words("sample lost", {1e6: 0.15, 1e8: 0.15})
    assert "- 1e+08 counts a frame: seen in 95 % up to 0.15 share left" in lines


def test_a_limit_that_may_be_lower_still_says_so():
    lines = words("strain", {1e6: 50.0, 1e8: 50.0})
    assert "seen in 95 % from 50 ppm, the weakest tried" in str(lines)
    assert "decides there" not in str(lines)


@pytest.mark.parametrize(
    ("bright", "said", "other"),
    [
        (150.0, "not the statistical limit", "has a part in it"),
        (100.0, "has a part in it", "not the statistical limit"),
    ],
)
def test_it_is_told_whether_counting_decides(bright, said, other):
    lines = words("strain", {1e6: 150.0, 1e8: bright})
    assert said in str(lines[:-1])
    assert other not in str(lines[:-1])


@pytest.mark.parametrize("case", SAMPLE_CASES)
def test_the_faults_of_the_sample_are_on_the_pages_of_their_flags(case):
    about = CASES[case]
    lines = words(case, {about.counts or 1e6: about.amplitudes[0]})
    assert f"### {case[0].upper()}{case[1:]}" in lines
    assert "Not " not in str(lines)


@pytest.mark.parametrize("flag", [Flag.NOVEL, Flag.UNSURE, Flag.PIPELINE])
def test_flags_that_no_fault_raises_say_why(flag):
    assert flag.label not in {case.flag for case in CASES.values()}
    (said,) = sight(flag, {"recall": []})
    assert "classifier" in said or "the agent itself" in said
    if "](" in said:
        target = said.split("](")[1].split(")")[0]
        assert (FOLDER / target).resolve().exists()


def test_all_other_flags_have_a_fault():
    without = set(Flag) - {
        flag for flag in Flag for case in CASES.values() if case.flag == flag.label
    }
    assert without == {Flag.NOVEL, Flag.UNSURE, Flag.PIPELINE}
