"""Attribution: weights are what the answer loses with a peak."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ringwatch.models.attribution import attribution
from ringwatch.models.classifier import Classifier
from ringwatch.models.inputs import PatternError, network_input

Q = np.arange(0.5, 5.8, 0.003)
LINES = {1.6: 100.0, 2.3: 40.0, 2.8: 70.0, 3.9: 20.0, 4.6: 30.0}


def pattern(leave_out=None):
    y = np.full(len(Q), 0.05)
    for at, height in LINES.items():
        if at != leave_out:
            y += height * np.exp(-4 * np.log(2) * ((Q - at) / 0.012) ** 2)
    return y


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load(backend="onnx")


def log_odds(prediction, number):
    p = next(c.probability for c in prediction.classes if c.number == number)
    return np.log(p / (1 - p))


def test_weights_lie_on_the_peaks_and_say_what_taking_them_away_does(classifier):
    weights = attribution(classifier, Q, pattern())
    q = classifier.grid.q
    assert weights.shape == q.shape
    nearest = np.min(np.abs(q[:, None] - np.array(list(LINES))[None]), axis=1)
    strong = np.abs(weights) > 0.02 * np.abs(weights).max()
    assert nearest[strong].max() < 0.09
    whole = classifier.predict(Q, pattern())
    number = whole.classes[0].number
    for at in (2.3, 2.8, 3.9):
        measured = weights[np.abs(q - at).argmin()]
        without = classifier.predict(Q, pattern(leave_out=at))
        expected = log_odds(whole, number) - log_odds(without, number)
        assert measured == pytest.approx(expected, abs=0.35 + 0.15 * abs(expected))


@pytest.mark.parametrize("fwhm", [0.03, 0.1])
def test_the_highest_point_of_a_window_is_the_top_of_a_peak(classifier, fwhm):
    """A peak on the flank of a higher one does not climb that."""
    rng = np.random.default_rng(0)
    at, heights = rng.uniform(1, 5.5, 25), 10 ** rng.uniform(0, 2, 25)
    y = 1 + np.exp(-2.77 * ((Q[:, None] - at) / fwhm) ** 2) @ heights
    y = rng.poisson(100 * y).astype(float)
    weights = attribution(classifier, Q, y)
    curve = network_input(Q, y, grid=classifier.grid)[0]
    ends = [0, *(np.flatnonzero(np.diff(weights)) + 1), len(weights)]
    tops = [a + curve[a:b].argmax() for a, b in pairwise(ends) if weights[a]]
    assert len(tops) > 20
    for top in tops:
        assert curve[top] >= max(curve[top - 1], curve[top + 1])


@pytest.mark.parametrize("gap", [(2.308, 2.5), (1.4, 1.597)])
def test_what_was_not_measured_has_no_weight(classifier, gap):
    """A peak at the rim of a gap ends there: what was not measured stays empty."""
    y = pattern()
    y[(gap[0] < Q) & (gap[1] > Q)] = np.nan
    covered = network_input(Q, y, grid=classifier.grid)[2] > 0
    inside = (classifier.grid.q > 0.51) & (classifier.grid.q < 5.7)
    assert (inside & ~covered).sum() > 50
    weights = attribution(classifier, Q, y)
    assert (weights[~covered] == 0).all()
    rim = np.abs(classifier.grid.q - gap[np.argmin(np.abs(np.array(gap) - 2))]) < 0.03
    assert (weights[rim & covered] != 0).any()


def test_another_class_and_the_same_bits_again(classifier):
    first = attribution(classifier, Q, pattern(), number=14)
    np.testing.assert_array_equal(
        first, attribution(classifier, Q, pattern(), number=14)
    )
    best = attribution(classifier, Q, pattern())
    assert not np.array_equal(first, best)
    few = attribution(classifier, Q, pattern(), peaks=2)
    inside = few != 0
    assert 0 < inside.sum() < (best != 0).sum()
    np.testing.assert_allclose(few[inside], best[inside], rtol=1e-3, atol=1e-4)


def test_what_cannot_be_weighed_is_refused(classifier):
    with pytest.raises(ValueError, match="choose one of"):
        attribution(classifier, Q, pattern(), number=2)
    with pytest.raises(ValueError, match="try one"):
        attribution(classifier, Q, pattern(), peaks=0)
    with pytest.raises(PatternError):
        attribution(classifier, Q[:3], pattern()[:3])
    flat = attribution(classifier, Q, np.ones(len(Q)))
    assert (flat == 0).all()
