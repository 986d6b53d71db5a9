"""What the report says of frames without a fault is honest about what was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.figures import draw_alarms
from ringwatch.benchmarks.flags.pages import index_page
from ringwatch.benchmarks.flags.sound_tables import (
    calm,
    false_alarms,
    simple_rules,
    so_far,
    whole_frames,
)
from ringwatch.benchmarks.flags.tally import summarize


class Results:
    """A ledger of given results."""

    def __init__(self, *results):
        self._results = results

    def results(self):
        yield from ((str(k), result) for k, result in enumerate(self._results))


def run(frames, evaluated, raises, baselines):
    return {
        "story": "quiet",
        "geometry": "small",
        "sample": "cubic",
        "counts": 1e6,
        "flat_plate": False,
        "frames": frames,
        "words": {"good": frames},
        "flags": dict(raises),
        "evaluated": dict.fromkeys(evaluated, frames),
        "raises": raises,
        "episodes": [],
        "baselines": baselines,
    }


@pytest.fixture
def report():
    asked = ["saturated", "invalid_values", "duplicate", "shadow", "sequence"]
    cakes = run(36_000, asked, {"shadow": 4}, {"total counts": 3})
    told = {"total counts": 1, "sigma clip": 7}
    frames = run(3_600, [*asked, "spots"], {}, told)
    return {
        "form": "quick",
        "seed": 1,
        "version": "1",
        "codes": {"recall": "0b", "frames": "0b", "alarms": "0b"},
        "rechecked": {},
        "recall": [
            {
                "group": "target",
                "case": "beam centre",
                "flag": "beam_center",
                "recall": 0.975,
                "baselines": {
                    "total counts": 0.25,
                    "I0 suspender": 0.0,
                    "sigma clip": 0.5,
                },
                "causes": {},
                "trials": 40,
            }
        ],
        "false_alarms": summarize(Results(cakes)),
        "whole_frames": summarize(Results(frames)) | {"runs": 1},
    }


@pytest.mark.parametrize("flag", [Flag.SATURATED, Flag.INVALID_VALUES, Flag.DUPLICATE])
def test_cakes_that_cannot_raise_a_flag_are_no_test_of_it(flag, report):
    cakes, frames = calm(flag, report)
    assert "cannot raise it" in cakes
    assert "36,000" not in cakes
    assert "evaluated on 3,600 of 3,600" in frames


def test_what_was_asked_and_raised_is_told(report):
    cakes, _ = calm(Flag.SHADOW, report)
    assert "evaluated on 36,000 of 36,000" in cakes
    assert "4 episodes (4 an hour" in cakes
    assert cakes.endswith("quiet 4")


@pytest.mark.parametrize("flag", [Flag.SPOTS, Flag.ICE, Flag.NOVEL])
def test_what_was_not_asked_says_why(flag, report):
    cakes, _ = calm(flag, report)
    assert "evaluated on none of 36,000: " in cakes


def test_exact_flags_do_not_boast(report):
    assert "frame numbers are right" in calm(Flag.SEQUENCE, report)[-1]


def test_the_sigma_clip_stands_beside_the_other_rules(report):
    lines = simple_rules(report)
    (cakes,) = (line for line in lines if line.startswith("| cakes"))
    (frames,) = (line for line in lines if line.startswith("| whole frames"))
    clip = "not asked: no single pixels |"
    assert cakes.split(" | ")[1:] == ["0", "4", "3", "0", clip]  # four shadows
    assert frames.split(" | ")[1:] == ["0", "0", "10", "0", "70 |"]
    assert "| beam centre | 98% | 25% | 0% | 50% |" in lines
    assert all(line in index_page(report) for line in lines)


def test_the_figure_shows_it_too(report, tmp_path, monkeypatch):
    labels: list[str] = []
    drawn = draw_alarms.__globals__["save_figure"]

    def look(figure, path, *, dots):
        (axes,) = figure.axes
        labels.extend(str(line.get_label()) for line in axes.get_lines())
        drawn(figure, path, dots=dots)

    monkeypatch.setitem(draw_alarms.__globals__, "save_figure", look)
    path = Path(tmp_path) / "a.png"
    report = json.loads(json.dumps(report))
    draw_alarms(report["false_alarms"], path, report["whole_frames"])
    assert "sigma clip (whole frames)" in labels
    assert path.stat().st_size > 2000


def partial(report, runs, frames_a_run=12_000):
    """The same where more was asked for than the 36,000 cakes that are done."""
    asked = {"runs": runs, "frames_a_run": frames_a_run}
    return report | {"false_alarms": report["false_alarms"] | asked}


def test_a_campaign_that_is_not_done_says_how_far_it_is(report):
    some = partial(report, 3600)
    said = "so far: 3 of 3,600 runs"
    assert so_far(some["false_alarms"]) == said
    assert f"({said})" in calm(Flag.SHADOW, some)[0]
    assert f"({said})" in calm(Flag.SATURATED, some)[0]
    (cakes,) = (line for line in simple_rules(some) if line.startswith("| cakes"))
    assert said in cakes
    text = index_page(some)
    assert f"in frames without a fault; {said}): 0 in 36,000 simulated frames" in text


def test_a_campaign_that_is_done_does_not(report):
    every = partial(report, 3)
    assert so_far(every["false_alarms"]) == ""
    assert "so far" not in index_page(every)
    assert calm(Flag.SHADOW, every) == calm(Flag.SHADOW, report)


def test_whole_frames_say_how_far_they_are(report):
    asked = {"runs": 120, "frames_a_run": 1800}
    some = report | {"whole_frames": report["whole_frames"] | asked}
    assert "pixel by pixel (so far: 2 of 120 runs, some" in whole_frames(some)
    assert "so far" not in false_alarms(some)


def test_a_campaign_that_has_just_begun_quotes_no_numbers(report):
    nothing = summarize(Results()) | {"runs": 9, "frames_a_run": 100}
    some = report | {"false_alarms": nothing, "whole_frames": nothing}
    text = index_page(some)
    assert "so far: 0 of 9 runs): nothing is known yet" in text
    assert "inf an hour" not in text
    assert "![false alarms]" not in text  # there is no such figure yet
    assert calm(Flag.SHADOW, some)[0].endswith("nothing is known yet")


def test_cakes_of_earlier_code_are_named(report):
    assert "code" not in false_alarms(report)
    codes = report["codes"] | {"alarms": "0a"}
    text = false_alarms(report | {"codes": codes})
    assert text.endswith("by code before 0b, and being judged again: these cakes.")
    rows = [*report["recall"], report["recall"][0] | {"code": "0a"}]
    text = false_alarms(report | {"codes": codes, "recall": rows})
    assert text.endswith("these cakes, 1 of 2 measurements of recall.")
    again = {"alarms": [{"from": "09", "pieces": 40}, {"from": "0a", "pieces": 20}]}
    text = false_alarms(report | {"rechecked": again})
    assert text.endswith("60 runs done again came out the same.")
    again = {"alarms": [{"from": "0a", "pieces": 20, "anew": ["ice"], "forgotten": 7}]}
    text = false_alarms(report | {"rechecked": again})
    assert text.endswith("same, and 7 that it could touch (ice) were judged anew.")
    waiting = report["false_alarms"] | {"runs": 10**6, "frames_a_run": 1}
    text = false_alarms(report | {"rechecked": again, "false_alarms": waiting})
    assert text.endswith("(ice) are being judged anew.")
