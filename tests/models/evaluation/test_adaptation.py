"""Adaptation to unlabelled patterns: it finds what is there, and does no harm."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.evaluation.adaptation import (
    adapt_prior,
    share_between_alike,
    similarity,
)
from ringwatch.models.posteriors import tempered
from ringwatch.models.symmetry import CLASS_INDEX, POWDER_CLASSES

EVEN = np.full(230, 1 / 230)


def beamtime(n, *, sharpness=2.0, seed=0):
    """Honest probabilities of n patterns, all of two classes, and their classes."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([62, 225], n, p=[0.8, 0.2])
    z = rng.normal(size=(n, 230))
    z[np.arange(n), truth - 1] += sharpness  # likelihood of a unit-variance signal
    z *= sharpness
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), truth


def right(p, truth):
    classes = np.zeros((len(p), len(POWDER_CLASSES)))
    np.add.at(classes.T, CLASS_INDEX[1:], p.T)
    return float((classes.argmax(axis=1) == CLASS_INDEX[truth]).mean())


def test_frequencies_are_found_where_nothing_holds_them():
    p, truth = beamtime(3000)
    found = adapt_prior(p, EVEN, strength=0.0)
    assert found.shares.sum() == pytest.approx(1)
    of_pnma, of_fm3m = found.shares[CLASS_INDEX[62]], found.shares[CLASS_INDEX[225]]
    assert of_pnma == pytest.approx(0.8, abs=0.05)
    assert of_fm3m == pytest.approx(0.2, abs=0.05)
    assert right(found.probabilities, truth) > right(p, truth) + 0.2
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


def test_strength_holds_the_known_frequencies():
    p, truth = beamtime(200)
    weak = adapt_prior(p, EVEN, strength=0.1)
    usual = adapt_prior(p, EVEN)
    held = adapt_prior(p, EVEN, strength=1e6)
    np.testing.assert_allclose(held.probabilities, p, rtol=1e-4)
    assert right(p, truth) <= right(usual.probabilities, truth)
    assert right(usual.probabilities, truth) <= right(weak.probabilities, truth)


def test_doubt_is_no_evidence_of_rare_classes():
    """Spread evenly it is all that speaks for a class of almost no frequency."""
    p, truth = beamtime(400)
    natural = np.full(230, 1.0)
    natural[[2, 5, 9]] = 1e-6  # the class of P 2 is hardly ever met
    natural /= natural.sum()
    p = p * natural
    p /= p.sum(axis=1, keepdims=True)
    doubted = tempered(p, CLASS_INDEX[1:], 1.0, 0.02)
    found = adapt_prior(doubted, natural, doubt=0.02)
    assert found.shares[CLASS_INDEX[3]] < 1e-4
    assert right(found.probabilities, truth) >= right(p, truth)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    misled = adapt_prior(doubted, natural, strength=0.0)
    assert misled.shares[CLASS_INDEX[3]] > 0.5


def test_groups_of_one_class_keep_their_odds():
    p, _ = beamtime(50)
    adapted = adapt_prior(p, EVEN).probabilities
    before = p[:, 224] / p[:, 215]
    np.testing.assert_allclose(adapted[:, 224] / adapted[:, 215], before, rtol=1e-9)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="at least one pattern"):
        adapt_prior(np.empty((0, 230)), EVEN)
    with pytest.raises(ValueError, match="strength of 0 or more"):
        adapt_prior(np.full((1, 230), 1 / 230), EVEN, strength=-1)


def inputs(lines, n_bins=512):
    """Network inputs with Gaussian lines at the given bins."""
    x = np.zeros((len(lines), 3, n_bins), np.float32)
    bins = np.arange(n_bins)
    for i, at in enumerate(lines):
        for centre in at:
            x[i, 0] += np.exp(-0.5 * ((bins - centre) / 3) ** 2)
    return x


def test_alike_patterns_share_and_others_do_not():
    x = inputs([(50, 200, 400), (51, 201, 401), (100, 300)])
    s = similarity(x)
    assert s[0, 1] > 0.9
    assert s[0, 2] < 0.5
    np.testing.assert_allclose(np.diag(s), 1)
    logits = np.zeros((3, 230), np.float32)
    logits[0, 10], logits[1, 20], logits[2, 30] = 4.0, 2.0, 3.0
    shared = share_between_alike(logits, x)
    p = np.exp(shared) / np.exp(shared).sum(axis=1, keepdims=True)
    before = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p[2], before[2], rtol=1e-5)
    assert p[0].argmax() == p[1].argmax() == 10
    assert p[1, 10] > before[1, 10]


def test_a_series_of_noisy_answers_becomes_one_better_one():
    rng = np.random.default_rng(2)
    x = inputs([(50, 200, 400)] * 30)
    logits = (2 * rng.normal(size=(30, 230))).astype(np.float32)
    logits[:, 61] += 2.0
    shared = share_between_alike(logits, x)
    assert (logits.argmax(axis=1) == 61).mean() < 0.5
    assert (shared.argmax(axis=1) == 61).all()


def test_a_constant_pattern_is_like_nothing():
    x = np.zeros((2, 3, 64), np.float32)
    logits = np.random.default_rng(0).normal(size=(2, 230)).astype(np.float32)
    shared = share_between_alike(logits, x)
    assert np.isfinite(shared).all()
    assert (shared.argmax(axis=1) == logits.argmax(axis=1)).all()
