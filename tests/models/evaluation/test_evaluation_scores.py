"""Scores, intervals and breakdowns against numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ringwatch.models.calibration import sum_over
from ringwatch.models.evaluation.breakdown import breakdown
from ringwatch.models.evaluation.datasets import Facts
from ringwatch.models.evaluation.scores import Answers, Rate, Resampling, score
from ringwatch.models.symmetry import CLASS_INDEX


def sure(*groups):
    """Probabilities (B, 230) that are nearly all on one group each."""
    p = np.full((len(groups), 230), 1e-6)
    p[np.arange(len(groups)), np.array(groups) - 1] = 1.0
    return p / p.sum(axis=1, keepdims=True)


def test_scores_by_hand():
    p = np.full((4, 230), 1e-6)
    # Fm-3m right; F-43m: same class, other group; P2_1/c for C2/c; 62 second.
    p[0, 224] = p[1, 215] = p[2, 13] = 1.0
    p[3, 18], p[3, 61] = 0.7, 0.3
    p /= p.sum(axis=1, keepdims=True)
    s = score(p, np.array([225, 225, 15, 62]), threshold=0.9, skipped=2)
    assert s.class_top1.percent == 50
    assert s.class_top3.percent == 75
    assert s.space_group.percent == 25
    assert s.system.percent == 100
    assert s.space_group_top5.percent >= 50
    assert s.class_top5.percent >= 75
    assert s.coverage.percent == 75
    assert s.majority == 50
    assert s.majority_top5 == 100
    assert s.majority_system == 50
    assert s.surest_half.percent in (50.0, 100.0)
    assert s.surest_half.n == 2
    assert s.class_top1.n == s.class_top1.clusters == 4
    assert s.skipped == 2
    assert s.nll == pytest.approx(
        (-np.log(0.3) - np.log(2e-6)) / 4, rel=0.01
    )  # 9 and 15
    with pytest.raises(ValueError, match="nothing to score"):
        score(p[:0], np.array([], int), threshold=0.9)
    assert sum_over(p, CLASS_INDEX[1:], 97).sum() == pytest.approx(4)


def test_the_calibration_error_beyond_chance_of_honest_answers_is_none():
    rng = np.random.default_rng(3)
    z = 2.5 * rng.normal(size=(2000, 230))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    group = 1 + (p.cumsum(axis=1) > rng.random((2000, 1))).argmax(axis=1)
    honest = score(p, group, threshold=0.9)
    assert abs(honest.ece_excess) < 1.5
    assert honest.ece > honest.ece_excess
    flat = p**0.5 / (p**0.5).sum(axis=1, keepdims=True)
    assert score(flat, group, threshold=0.9).ece_excess > 5


def test_intervals_of_single_patterns_are_those_of_a_binomial():
    hits = np.arange(400) % 4 == 0
    rate = Rate.of(hits)
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert rate.percent == 25
    assert rate.low == pytest.approx(25 - 100 * half, abs=0.7)
    assert rate.high == pytest.approx(25 + 100 * half, abs=0.7)
    assert rate == Rate.of(hits)  # the same draws each time


def test_patterns_of_one_type_count_as_one():
    clusters = [f"type {k}" for k in range(40) for _ in range(10)]
    hits = np.repeat(np.arange(40) % 4 == 0, 10)  # all or none of a type
    rate = Rate.of(hits, Resampling(clusters, 400))
    half = 1.96 * np.sqrt(0.25 * 0.75 / 40)
    assert rate.percent == 25
    assert rate.high - rate.low == pytest.approx(200 * half, rel=0.15)
    assert (rate.n, rate.clusters) == (400, 40)
    part = Rate.of(hits, Resampling(clusters, 400), np.arange(400) < 100)
    assert (part.n, part.clusters) == (100, 10)


def test_no_interval_has_no_width():
    rate = Rate.of(np.ones(20, bool), Resampling(["a"] * 10 + ["b"] * 10, 20))
    assert rate.percent == 100
    assert rate.low == pytest.approx(34.2, abs=0.1)  # Wilson: 2 of 2
    nothing = Rate.of(np.zeros(3, bool), None, np.zeros(3, bool))
    assert (nothing.low, nothing.high, nothing.n) == (0, 100, 0)
    with pytest.raises(ValueError, match="clusters for"):
        Resampling(["a"], 2)


def table():
    """Four cubic patterns, two of them of one type, and two triclinic ones."""
    truth = np.array([225, 225, 227, 221, 1, 2])
    p = sure(225, 227, 227, 221, 2, 14)
    facts = tuple(
        Facts(cluster=cluster, part=part, volume=volume, q_min=0.4, q_max=5.0)
        for cluster, part, volume in (
            ("a", "seen", 10.0),
            ("a", "seen", 20.0),
            ("b", "test", 30.0),
            ("c", "test", 40.0),
            ("d", "test", 50.0),
            ("e", "test", 60.0),
        )
    )
    return Answers.of(p, truth), truth, facts


def test_breakdowns_by_hand():
    found = breakdown(*table())
    systems = {e["name"]: e["class_top1"] for e in found["systems"]}
    assert set(systems) == {"triclinic", "cubic"}
    assert (systems["cubic"]["percent"], systems["cubic"]["n"]) == (75, 4)
    assert systems["cubic"]["clusters"] == 3
    assert systems["triclinic"]["percent"] == 50
    classes = {e["number"]: e for e in found["classes"]}
    assert set(classes) == {1, 195, 196, 203}
    assert classes[196]["class_top1"]["percent"] == 50
    assert classes[1]["class_top1"]["n"] == 2
    parts = {e["name"].split(":")[0]: e["class_top1"] for e in found["parts"]}
    assert parts["seen types"]["n"] == 2
    assert parts["unseen types"]["percent"] == 75
    assert sum(e["class_top1"]["n"] for e in found["volumes"]) == 6
    assert found["q_range"] == [0.4, 5.0]


def test_parts_of_measured_patterns_are_not_called_structure_types():
    answers, truth, facts = table()
    measured = [dataclasses.replace(fact, volume=math.nan) for fact in facts]
    names = [e["name"] for e in breakdown(answers, truth, measured)["parts"]]
    assert names == ["unseen groups: groups of measurements that no choice was made on"]


def test_errors_are_sorted_by_kind():
    found = breakdown(*table())
    assert sum(found["errors"].values()) == pytest.approx(100 * 2 / 6, abs=0.1)
    assert found["errors"]["neighbour (12 lines or fewer apart)"] == pytest.approx(
        100 / 6, abs=0.1
    )  # F--- and Fd-- are five lines apart
    assert found["errors"]["other crystal system"] == pytest.approx(100 / 6, abs=0.1)
    (pair,) = found["neighbours"]
    assert (pair["one"], pair["other"]) == ("cF F---", "cF Fd--")
    assert (pair["n"], pair["right"], pair["confused"]) == (3, 2, 1)
    pairs = {(e["truth"], e["answer"]): e["n"] for e in found["confusions"]}
    assert pairs == {("cF F---", "cF Fd--"): 1, ("aP P-", "mP P121/c1"): 1}
    assert np.sum(found["lattices"]) == 6
    assert np.trace(found["lattices"]) == 5


def test_selectivity_answers_the_surest_first():
    rng = np.random.default_rng(5)
    confidence = np.linspace(0.2, 0.99, 100)
    right = rng.random(100) < confidence
    p = np.zeros((100, 230))
    p[:, 224] = confidence  # Fm-3m
    p[:, 0] = 1 - confidence
    p[confidence < 0.5, 0] = 0.1  # it stays the first answer
    truth = np.where(right, 225, 62)
    found = breakdown(Answers.of(p, truth), truth, ())
    points = found["selectivity"]
    assert [point["n"] for point in points] == list(range(10, 101, 10))
    expected = right[::-1][:30].mean() * 100
    assert points[2]["percent"] == pytest.approx(expected, abs=0.01)
    assert points[2]["confidence"] == pytest.approx(confidence[70], abs=0.001)
    bins = found["reliability"]
    assert sum(b["n"] for b in bins) == 100
    assert all(b["confidence"] <= 100 for b in bins)
    assert not found["parts"]
    assert not found["volumes"]
