"""Calibration against numbers worked out by hand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from ringwatch.models.calibration import (
    Calibration,
    calibration_excess,
    coverage_threshold,
    expected_calibration_error,
    fit_calibration,
    smallest_set,
    wilson_interval,
)
from ringwatch.models.evaluation.datasets import Facts
from ringwatch.models.evaluation.recalibration import cross_fitted
from ringwatch.models.evaluation.scoring import LabelledLogits
from ringwatch.models.posteriors import flattened, posterior, sum_over, tempered


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_interval(hits, n, low, high):
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=1e-4)


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, True, False, True, False])
    expected = 4 / 6 * abs(0.75 - 0.95) + 2 / 6 * abs(0.5 - 0.55)
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)


def drawn(n, classes, rng):
    """Honest probabilities (n, classes) and truths drawn from them."""
    z = 3 * rng.normal(size=(n, classes))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p, (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


@pytest.mark.parametrize("true_temperature", [0.6, 1.0, 2.5])
def test_temperature_is_found_again(true_temperature):
    p, truth = drawn(6000, 97, np.random.default_rng(0))
    stated = p**true_temperature
    stated /= stated.sum(axis=1, keepdims=True)
    found = fit_calibration(stated, truth, 0.9)
    assert found.temperature == pytest.approx(true_temperature, rel=0.06)
    assert found.doubt < 0.004


def test_doubt_is_found_again_and_sets_allow_for_it():
    rng = np.random.default_rng(5)
    p, truth = drawn(20_000, 97, rng)
    strange = rng.random(len(truth)) < 0.05
    truth[strange] = rng.integers(0, 97, strange.sum())
    found = fit_calibration(p[:10_000], truth[:10_000], 0.9)
    assert found.temperature == pytest.approx(1.0, rel=0.05)
    assert found.doubt == pytest.approx(0.05, abs=0.01)
    flat = flattened(p[10_000:], found.temperature, found.doubt)
    held = [
        t in smallest_set(row, found.threshold)
        for row, t in zip(flat, truth[10_000:], strict=True)
    ]
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


def test_label_sets_reach_their_coverage_on_new_data():
    rng = np.random.default_rng(1)
    z = 2 * rng.normal(size=(8000, 20))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    # Overconfident by a factor two in the logits: sets must grow to make up for it.
    truth = ((z / 2 + rng.gumbel(size=z.shape)).argmax(axis=1)).astype(int)
    threshold = coverage_threshold(p[:4000], truth[:4000], 0.9)
    held = [
        t in smallest_set(row, threshold)
        for row, t in zip(p[4000:], truth[4000:], strict=True)
    ]
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)
    assert threshold > 0.9


def test_sets_weigh_alike_in_a_coverage_threshold():
    p = np.tile([0.6, 0.3, 0.1], (110, 1))
    truth = np.array([0] * 100 + [2] * 10)  # one large set, one small and hard
    weights = np.array([1 / 100] * 100 + [1 / 10] * 10)
    assert coverage_threshold(p, truth, 0.85) < 0.1
    assert coverage_threshold(p, truth, 0.85, weights=weights) > 0.85


class _Classifier:
    """What a fit asks of a classifier: two priors and a stated coverage."""

    training_prior = np.full(230, 1 / 230)
    space_group_prior = training_prior
    card: ClassVar = {"coverage": {"stated": 0.9}}


def test_cross_fitting_repairs_overconfidence():
    rng = np.random.default_rng(4)
    honest = 2.5 * rng.normal(size=(3000, 230))
    group = 1 + (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    sets = {"loud": LabelledLogits((2 * honest).astype(np.float32), group, 3)}
    found, scores = cross_fitted(_Classifier(), sets)
    assert found.temperature == pytest.approx(2.0, rel=0.06)
    loud = scores["loud"]
    assert loud.ece < 4
    assert loud.coverage.low < 90 < loud.coverage.high
    assert loud.skipped == 3
    assert loud.class_top1.n == 3000
    none = LabelledLogits(np.empty((0, 230), np.float32), np.empty(0, int), 1)
    with pytest.raises(ValueError, match="nothing to calibrate"):
        cross_fitted(_Classifier(), {"none": none})


@pytest.mark.parametrize(("too_sure", "low", "high"), [(0.0, -1, 1), (0.15, 6, 12)])
def test_what_is_left_of_the_calibration_error_without_chance(too_sure, low, high):
    rng = np.random.default_rng(2)
    excesses = []
    for _ in range(40):
        confidence = rng.uniform(0.25, 0.9, 250)
        correct = rng.random(250) < confidence - too_sure
        excesses.append(calibration_excess(confidence, correct, rng, draws=100))
    assert low / 100 < np.mean(excesses) < high / 100
    # The plain error of a perfect classifier is far from zero at this size.
    plain = expected_calibration_error(confidence, rng.random(250) < confidence)
    assert plain > 0.02


def test_tempering_keeps_the_order_of_classes_and_the_shares_within_them():
    rng = np.random.default_rng(3)
    index = np.array([0, 0, 1, 1, 1, 2])
    p = posterior(rng.normal(size=(50, 6)), 1.0, np.ones(6) / 6, np.ones(6) / 6)
    warm = tempered(p, index, 2.5)
    np.testing.assert_allclose(warm.sum(axis=1), 1)
    before, after = sum_over(p, index, 3), sum_over(warm, index, 3)
    assert (before.argsort(axis=1) == after.argsort(axis=1)).all()
    assert (after.max(axis=1) < before.max(axis=1)).all()
    ratio = (after[:, 0] / after[:, 1]) ** 2.5
    np.testing.assert_allclose(ratio, before[:, 0] / before[:, 1])
    np.testing.assert_allclose(warm[:, 0] / warm[:, 1], p[:, 0] / p[:, 1])
    np.testing.assert_allclose(tempered(p, index, 1.0), p)
    doubtful = tempered(p, index, 2.5, 0.3)
    classes = sum_over(doubtful, index, 3)
    np.testing.assert_allclose(classes, 0.7 * after + 0.1)
    np.testing.assert_allclose(doubtful[:, 0] / doubtful[:, 1], p[:, 0] / p[:, 1])


def test_a_calibration_survives_the_card():
    made = Calibration(1.5, 0.93, coverage=0.8, doubt=0.04)
    assert Calibration.of_card(made.to_card()) == made
    old = {"temperature": 1.2, "coverage": {"stated": 0.9, "threshold": 0.85}}
    assert Calibration.of_card(old) == Calibration(1.2, 0.85)


def test_a_heavy_pattern_more_is_allowed_for():
    """Five patterns weigh half: a sixth of their kind could be missed."""
    rng = np.random.default_rng(7)
    reached = []
    for _ in range(300):
        p, truth = drawn(1000, 10, rng)
        weights = np.r_[np.full(35, 1 / 35), np.full(5, 1 / 5)]
        threshold = coverage_threshold(p[:40], truth[:40], 0.9, weights=weights)
        before = np.where(p > p[np.arange(1000), truth][:, None], p, 0).sum(axis=1)
        reached.append((before[40:] < threshold).mean())
    assert np.mean(reached) >= 0.9


def test_near_duplicates_stay_on_one_side_of_a_cross_fit():
    """One group is always right, the other never: a fit to one fails on the other.

    Were they mixed, both folds would find that half of all answers are right.
    """
    logits = np.zeros((200, 230), np.float32)
    logits[:, 224] = 8.0
    group = np.where(np.arange(200) < 100, 225, 2)
    facts = [Facts(cluster="right" if g == 225 else "always wrong") for g in group]
    apart = LabelledLogits(logits, group, 0, tuple(facts))
    alone = LabelledLogits(logits, group, 0)
    assert cross_fitted(_Classifier(), {"x": apart})[1]["x"].ece > 60
    assert cross_fitted(_Classifier(), {"x": alone})[1]["x"].ece < 10
