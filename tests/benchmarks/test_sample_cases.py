"""Cases of sample, counts and series: what is seen, and what is too small for it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.injections import SPOTS, Fading
from ringwatch.benchmarks.flags.plan import recall_pieces
from ringwatch.benchmarks.flags.recall import measure_recall
from ringwatch.benchmarks.flags.sample_cases import SAMPLE_CASES
from ringwatch.benchmarks.flags.stage import Scene, Stage

DIM, BRIGHT = (Scene(geometry="small", counts=counts) for counts in (1e6, 1e8))
CLEAR = {  # amplitude that is surely seen, one that is surely not, and where
    "invalid values": (1, 0.0, DIM),
    "count rate loss": (0.05, 0.007, DIM),
    "plate displaced": (0.2, 0.02, DIM),
    "spots of single crystals": (0.03, 0.003, Scene(geometry="cheap", counts=1e6)),
    "few grains": (0.03, 3.0, DIM),
    "texture": (10.0, 1.3, DIM),
    "strain": (1000.0, 50.0, DIM),
    "low counts": (1e4, 1e6, DIM),
    "ice": (0.3, 0.02, Scene(geometry="cheap", counts=1e8)),
    "no crystals": (0.0, 0.03, BRIGHT),
    "sudden change": (0.3, 0.01, DIM),
}


def test_all_cases_are_tried_here_and_belong_to_the_benchmark():
    assert {*CLEAR, "slow loss of light"} == set(SAMPLE_CASES)
    assert SAMPLE_CASES.items() <= CASES.items()
    for name, (strong, weak, _) in CLEAR.items():
        case = CASES[name]
        assert {strong, weak} <= {*case.amplitudes, case.no_fault}


@pytest.mark.parametrize("name", CLEAR)
def test_what_is_large_is_seen_and_named_and_what_is_small_is_not(name):
    strong, weak, scene = CLEAR[name]
    found = measure_recall(name, strong, scene, trials=2, seed=5, directions=2)
    assert (found["seen"], found["named_share"]) == (2, 1.0)
    if CASES[name].word:
        assert found["word_share"] == 1.0
    found = measure_recall(name, weak, scene, trials=2, seed=5, directions=2)
    assert found["seen"] == 0


@pytest.mark.parametrize(("name", "amplitude"), [("strain", 1e3), ("texture", 10.0)])
def test_a_sample_is_itself_again_after_a_fault(name, amplitude):
    scene = replace(DIM, sample="grainy")
    before = Stage(scene, 5).rates().mean
    measure_recall(name, amplitude, scene, trials=1, seed=5, directions=1)
    assert (Stage(scene, 5).rates().mean == before).all()


@pytest.mark.parametrize("name", ["plate displaced", "strain"])
def test_what_was_injected_is_recovered(name):
    amplitude = {"plate displaced": 0.2, "strain": 1000.0}[name]
    found = measure_recall(name, amplitude, BRIGHT, trials=4, seed=5, directions=4)
    assert found["recovered_median"] == pytest.approx(1.0, abs=0.05)


def test_a_slow_loss_is_seen_before_all_frames_are_over():
    found = measure_recall("slow loss of light", 10.0, DIM, trials=2, seed=5)
    assert found["seen"] == 2
    assert 5 < found["delay_median"] < CASES["slow loss of light"].patience
    fault = CASES["slow loss of light"].made(10.0, 0.0, 512)
    assert isinstance(fault, Fading)
    assert fault.left(100) == pytest.approx(0.9)
    assert Fading(first=0, per_frame=0.5).left(3) == 0.0


def test_amplitudes_are_what_their_units_say():
    fault = CASES["texture"].made(4.0, 0.0, 512)
    march = fault.sample.texture.march
    assert march**-3 / march**1.5 == pytest.approx(4.0)
    fault = CASES["spots of single crystals"].made(0.05, 0.3, 512)
    assert fault.sample.spots.number * fault.sample.spots.share == pytest.approx(0.05)
    assert fault.sample.spots.number == SPOTS
    fault = CASES["count rate loss"].made(0.02, 0.0, 512, 4e5)
    assert fault.dead_time_s * 4e5 == pytest.approx(0.02)
    found = measure_recall("count rate loss", 0.02, BRIGHT, trials=2, seed=5)
    assert found["value_median"] == pytest.approx(1.0 - math.exp(-0.02), rel=0.05)


def test_a_case_that_is_about_counts_has_one_curve():
    pieces = [p for p in recall_pieces("slow") if p.case == "low counts"]
    assert {p.scene.counts for p in pieces} == {1e8}
    found = measure_recall("low counts", 1e5, DIM, trials=1, seed=5)
    assert found["counts"] == 1e8
    stage = Stage(replace(DIM, counts=1e8), 5)
    fault = CASES["low counts"].made(1e5, 0.0, 512)
    image = stage.experiment.expected(stage.experiment.conditions((fault,)))
    assert np.maximum(image, 0.0).sum() == pytest.approx(1e5, rel=0.1)
