"""The flags' benchmark: what it draws, what it counts, and that it survives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.false_alarms import draw_runs, judge_run
from ringwatch.benchmarks.flags.figures import curve_name, draw_report
from ringwatch.benchmarks.flags.ledger import Ledger, LedgerError
from ringwatch.benchmarks.flags.plan import recall_pieces
from ringwatch.benchmarks.flags.recall import measure_recall
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.benchmarks.flags.tally import summarize

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


def test_a_readback_tells_where_the_detector_really_is():
    for amplitude, turn in ((2e-3, 0.1), (2e-3, 0.9)):
        case = CASES["distance, with its readback"]
        stage = Stage(SMALL, seed=3)
        moved = stage.experiment.conditions((case.made(amplitude, turn, 512),))
        (told,) = case.readbacks(moved.geometry).values()
        sign = 1 if turn < 0.5 else -1
        bench = stage.experiment.geometry.dist
        assert told == pytest.approx(1e3 * bench * (1 + sign * amplitude), rel=1e-12)


def test_a_module_lies_wholly_in_the_detector_wherever_it_is():
    case, edge = CASES["missing module"], 512
    corners = []
    for turn in np.arange(48) / 48:
        for part in case.amplitudes:
            fault = case.made(part, turn, edge)
            side = fault.size_px[0]
            assert all(0 <= c <= edge - side for c in fault.corner_px)
            if part == 1 / 32:
                corners.append(fault.corner_px)
    x, y = np.array(corners).T / (edge * 31 / 32)
    for place in (x, y):  # anywhere, not in a corner
        assert place.min() < 0.1
        assert place.max() > 0.9
        assert abs(np.mean(place) - 0.5) < 0.12


@pytest.mark.parametrize("name", ["beam centre", "tilt", "distance, no readback"])
def test_what_was_injected_is_recovered(name):
    bright = Scene(geometry="small", counts=1e8)
    amplitude = CASES[name].amplitudes[-2]
    found = measure_recall(name, amplitude, bright, trials=4, seed=5, directions=4)
    assert found["recovered_median"] == pytest.approx(1.0, abs=0.05)
    assert found["worst_trials"] * found["directions"] == 4


def test_no_fault_is_no_fault():
    for name, case in CASES.items():
        if case.no_fault is not None:
            faults = {case.made(case.no_fault, turn, 512) for turn in (0.0, 0.3, 0.6)}
            stage = Stage(SMALL, seed=3)
            sound = stage.experiment.conditions()
            for fault in faults:
                moved = stage.experiment.conditions((fault,))
                assert moved.geometry == sound.geometry, name
                assert (moved.beam, moved.i0_gain) == (sound.beam, sound.i0_gain)
    pieces = [p for p in recall_pieces("slow") if p.group == "no fault"]
    tried = {(p.case, p.amplitude) for p in pieces}
    assert tried == {
        (n, c.no_fault) for n, c in CASES.items() if c.no_fault is not None
    }


def test_a_dark_is_what_it_is_the_mean_of():
    scene = Scene(geometry="small", counts=1e6)
    for pixels in (False, True):
        stage = Stage(scene, 3, pixels=pixels, dark_rate=100.0)
        dark = stage.take_dark(10)
        used = stage.binning.masked
        due = 5.0 * (512 * 512 - used)  # 100 a second, 0.05 s
        assert dark.total.sum() == pytest.approx(due, rel=0.02)
        cake, frame = stage.take(stage.light(), dark=dark)
        assert (frame is not None) == pixels
        assert (cake.dark == dark.total).all()
        facts = stage.facts(cake, 0, {}, dark=dark, frame=frame)
        assert facts.dark_frames == 10
        net = facts.cake.total.sum() - facts.cake.dark.sum()
        assert net == pytest.approx(0.97e6, rel=0.05)


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
