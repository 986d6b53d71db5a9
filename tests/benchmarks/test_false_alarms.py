"""Runs without a fault: what they ask of the flags, and that they are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from ringwatch.benchmarks.flags import false_alarms
from ringwatch.benchmarks.flags.baselines import Baselines
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.false_alarms import (
    draw_runs,
    judge_run,
    read_geometry,
    settings_of,
)
from ringwatch.benchmarks.flags.ledger import Ledger
from ringwatch.benchmarks.flags.run import Task, work
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.benchmarks.flags.stories import STORIES
from ringwatch.benchmarks.flags.tally import Tally, summarize
from ringwatch.benchmarks.flags.whole_frames import draw_frame_runs, judge_frame_run

SMALL = Scene(geometry="small", counts=1e6)


def test_runs_are_the_same_however_many_are_drawn():
    few, more = list(draw_runs(3, 10, seed=1)), list(draw_runs(9, 10, seed=1))
    assert few == more[:3]
    assert list(draw_runs(3, 10, seed=2)) != few


@pytest.mark.parametrize("story", STORIES)
def test_each_story_tells_as_many_frames_as_asked(story):
    tell, share = STORIES[story]
    rng = np.random.default_rng(2)
    frames = sum(1 for _ in tell(SMALL, 4, 5, rng))
    assert frames == 5
    assert share > 0


def test_an_episode_is_counted_once_and_a_summary_adds_up(tmp_path):
    runs = [r for r in draw_runs(40, 8, seed=3) if r.scene.geometry == "small"][:2]
    ledger = Ledger(tmp_path / "a.jsonl", {})
    every = [Task("a", str(r.number), judge_run, (r,)) for r in runs]
    assert len(list(work(every, {"a": ledger}, processes=1))) == 2
    assert not list(work(every, {"a": ledger}, processes=1))
    found = summarize(ledger)
    assert found["frames"] == 16
    assert sum(row["frames"] for row in found["by"]["story"].values()) == 16
    assert found["upper_limit_per_hour"] > found["per_hour"]
    assert found["flags"]["saturated"]["of"] == 16
    assert found["flags"]["pipeline"]["evaluated"] == 16
    assert found["flags"]["duplicate"]["raises"] == 0
    json.dumps(found)


def test_whole_frames_ask_what_cakes_cannot():
    runs = list(draw_frame_runs(60, 6, seed=1))
    assert runs[:3] == list(draw_frame_runs(3, 6, seed=1))
    assert len({run.scene.geometry for run in runs}) == 4
    run = replace(
        next(r for r in runs if r.story == "darks"),
        scene=Scene(geometry="small", counts=1e7),
        margin_px=0,
        flat_plate=True,
    )
    found = judge_frame_run(run)
    assert found["frames"] == 6
    assert found["evaluated"]["stale_calibration"] == 6
    for flag in ("hot_pixels", "zingers", "spots", "mask_mismatch", "saturated"):
        assert found["evaluated"][flag] > 0, flag
    assert not found["episodes"]


def test_cakes_are_asked_for_readbacks_and_plates_as_well():
    every = list(draw_runs(400, 10, seed=1))
    assert 0.15 < sum(run.flat_plate for run in every) / 400 < 0.25
    scene = Scene(geometry="total_scattering", counts=1e7)
    run = replace(every[0], story="quiet", scene=scene)
    found = {flat: judge_run(replace(run, flat_plate=flat)) for flat in (False, True)}
    assert found[True]["evaluated"]["sample_displaced"] > 0
    assert found[False]["evaluated"].get("sample_displaced", 0) == 0
    # Nothing but a readback of distance or energy lets it be asked: no dark here.
    assert found[True]["evaluated"]["stale_calibration"] == 10
    assert not found[True]["episodes"]


def test_readbacks_of_the_geometry_shake_by_themselves():
    stage = Stage(SMALL, 3)
    jitters = []
    for seed in range(20):
        told = read_geometry(stage, seed)
        some = [next(told) for _ in range(50)]
        assert some[:2] == list(islice(read_geometry(stage, seed), 2))
        distance = np.array([each["detector_distance"] for each in some])
        energy = np.array([each["mono_energy"] for each in some])
        assert distance.mean() == pytest.approx(500.0, rel=1e-5)  # mm
        assert energy.mean() == pytest.approx(74.465, rel=1e-4)  # keV
        jitters.append(distance.std() / 500.0)
    assert 5e-8 < min(jitters) < 1e-6 < max(jitters) < 2e-5
    keys = settings_of(next(draw_runs(1, 1, seed=1)), stage).geometry_keys
    assert set(keys) == set(some[0])


def test_the_sigma_clip_is_asked_where_there_are_pixels(monkeypatch):
    asked = []

    class Asked(Baselines):
        def judge(self, facts, *, clip=True):
            asked.append(clip)
            return {"sigma clip"} if clip else set()

    monkeypatch.setattr(false_alarms, "Baselines", Asked)
    run = replace(next(draw_runs(1, 4, seed=1)), story="quiet", scene=SMALL)
    assert judge_run(run)["baselines"] == {}
    frames = replace(next(draw_frame_runs(1, 4, seed=1)), scene=SMALL)
    frames = replace(frames, story="quiet")
    assert judge_frame_run(frames)["baselines"] == {"sigma clip": 1}
    assert asked == [False] * 4 + [True] * 4


def test_a_raise_is_an_episode_and_more_than_information():
    stage = Stage(Scene(geometry="small", sample="textured", counts=1e7), 3)
    fold, tally = stage.fold(), Tally()
    sound = stage.light()
    shadow = CASES["shadow"].made(0.4, 0.1, 512)
    shaded = stage.light(stage.experiment.conditions((shadow,)))
    for index in range(12):
        light = shaded if index in (5, 6, 9) else sound
        cake, _ = stage.take(light)
        facts = stage.facts(cake, index, {"i0": 1e6})
        tally.add(fold.judge(facts), set())
    found = tally.result()
    assert found["raises"]["shadow"] == 2
    assert found["flags"]["shadow"] == 3
    assert found["flags"]["texture"] > 0
    assert "texture" not in found["raises"]
    assert found["evaluated"].get("mask_mismatch", 0) == 0
