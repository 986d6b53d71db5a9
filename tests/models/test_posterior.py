"""From scores to probabilities, and to the smallest set that holds a share of them."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.calibration import posterior, smallest_set


def test_posterior_of_equal_priors_is_a_tempered_softmax():
    z = np.array([[1.0, 2.0, 4.0]])
    even = np.ones(3) / 3
    expected = np.exp(z / 2) / np.exp(z / 2).sum()
    np.testing.assert_allclose(posterior(z, 2.0, even, even), expected)
    weighted = posterior(z, 1.0, even, np.array([0.5, 0.25, 0.25]))
    assert weighted[0, 0] / weighted[0, 1] == pytest.approx(2 * np.exp(-1.0))


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.3, [1]), (0.5, [1]), (0.79, [1, 2]), (1.0, [1, 2, 0])],
)
def test_smallest_set(threshold, expected):
    assert smallest_set(np.array([0.2, 0.5, 0.3]), threshold).tolist() == expected
