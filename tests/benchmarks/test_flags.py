"""The flags' benchmark: what it draws, what it counts, and that it survives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.false_alarms import draw_runs, judge_run, summarize
from ringwatch.benchmarks.flags.figures import curve_name, draw_report
from ringwatch.benchmarks.flags.ledger import Ledger, LedgerError
from ringwatch.benchmarks.flags.plan import recall_pieces
from ringwatch.benchmarks.flags.recall import measure_recall
from ringwatch.benchmarks.flags.run import Task, work
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.benchmarks.flags.stories import STORIES

SMALL = Scene(geometry="small", counts=1e6)


class TestLedger:
    def test_it_goes_on_where_it_stopped(self, tmp_path):
        path = tmp_path / "deep" / "a.jsonl"
        first = Ledger(path, {"seed": 1})
        first.add("a", {"x": 1})
        with path.open("a") as file:
            file.write('{"piece": "b", "resu')  # cut short
        again = Ledger(path, {"seed": 1})
        assert "a" in again
        assert "b" not in again
        again.add("b", {"x": 2})
        assert dict(Ledger(path, {"seed": 1}).results()) == {
            "a": {"x": 1},
            "b": {"x": 2},
        }

    def test_other_work_is_refused(self, tmp_path):
        Ledger(tmp_path / "a.jsonl", {"seed": 1})
        with pytest.raises(LedgerError, match="belongs to other work"):
            Ledger(tmp_path / "a.jsonl", {"seed": 2})
        (tmp_path / "b.jsonl").write_text("no ledger\n")
        with pytest.raises(LedgerError, match="no ledger"):
            Ledger(tmp_path / "b.jsonl", {"seed": 1})


def test_cakes_and_frames_of_a_stage_agree():
    stage = Stage(SMALL, seed=3)
    expected = stage.experiment.expected(stage.experiment.conditions())
    frame = stage.reduction.cake(stage.frame(expected))
    cake = stage.cake(stage.rates())
    assert (cake.pixels == frame.pixels).all()
    assert (cake.norm == frame.norm).all()
    difference = cake.total - frame.total
    lit = cake.total + frame.total > 20
    z = (difference / np.sqrt(cake.total + frame.total + 1e-9))[lit]
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("name", "amplitude"), [("beam centre", 0.8), ("dropped frame", 1.0)]
)
def test_a_fault_is_seen_and_named(name, amplitude):
    found = measure_recall(name, amplitude, SMALL, trials=4, seed=5)
    assert (found["seen"], found["named_share"]) == (4, 1.0)
    assert found["recall_95"][0] < found["recall"] == 1.0
    assert found == measure_recall(name, amplitude, SMALL, trials=4, seed=5)


def test_what_is_too_small_is_not_seen():
    found = measure_recall("beam centre", 0.01, SMALL, trials=4, seed=5)
    assert found["seen"] == 0
    assert found["causes"].get("beam_center", 0) == 0


def test_every_flag_of_a_case_exists_and_every_target_is_tried():
    names = {flag.label for flag in Flag}
    assert {case.flag for case in CASES.values()} <= names
    for case in CASES.values():
        assert case.target is None or case.target in case.amplitudes
    pieces = list(recall_pieces("standard"))
    assert len({piece.name for piece in pieces}) == len(pieces)
    tried = {(p.case, p.trials) for p in pieces if p.group == "target"}
    assert tried == {(n, 400) for n, c in CASES.items() if c.target is not None}


class TestFalseAlarms:
    def test_runs_are_the_same_however_many_are_drawn(self):
        few, more = list(draw_runs(3, 10, seed=1)), list(draw_runs(9, 10, seed=1))
        assert few == more[:3]
        assert list(draw_runs(3, 10, seed=2)) != few

    @pytest.mark.parametrize("story", STORIES)
    def test_each_story_tells_as_many_frames_as_asked(self, story):
        tell, share = STORIES[story]
        rng = np.random.default_rng(2)
        frames = sum(1 for _ in tell(SMALL, 4, 5, rng))
        assert frames == 5
        assert share > 0

    def test_an_episode_is_counted_once_and_a_summary_adds_up(self, tmp_path):
        runs = [r for r in draw_runs(40, 8, seed=3) if r.scene.geometry == "small"][:2]
        ledger = Ledger(tmp_path / "a.jsonl", {})
        every = [Task("a", str(r.number), judge_run, (r,)) for r in runs]
        assert len(list(work(every, {"a": ledger}, processes=1))) == 2
        assert not list(work(every, {"a": ledger}, processes=1))
        found = summarize(ledger)
        assert found["frames"] == 16
        assert sum(row["frames"] for row in found["by"]["story"].values()) == 16
        assert found["upper_limit_per_hour"] > found["per_hour"]
        json.dumps(found)


def test_figures_are_drawn_from_the_report_alone(tmp_path):
    row = measure_recall("beam centre", 0.8, SMALL, trials=2, seed=5)
    ledger = Ledger(tmp_path / "a.jsonl", {})
    run = next(r for r in draw_runs(40, 5, seed=3) if r.scene.geometry == "small")
    ledger.add("0", judge_run(run))
    report = {
        "recall": [
            row | {"group": "target"},
            row | {"group": "curve"},
            row | {"group": "curve", "amplitude": 0.1, "recall": 0.0},
        ],
        "false_alarms": summarize(ledger),
    }
    drawn = draw_report(json.loads(json.dumps(report)), tmp_path)
    names = {path.name for path in drawn}
    assert names == {
        f"{curve_name('beam centre')}.png",
        "root-causes.png",
        "false-alarms.png",
    }
    assert all(path.stat().st_size > 2000 for path in drawn)
