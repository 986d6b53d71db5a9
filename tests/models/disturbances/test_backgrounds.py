"""Backgrounds: smooth, positive, and with their maxima where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.disturbances.backgrounds import (
    HALOS,
    compton,
    halo,
    smooth_backgrounds,
)

Q = np.linspace(0.3, 6.0, 1000)


def test_backgrounds_are_smooth_and_positive():
    y = smooth_backgrounds(np.random.default_rng(0), Q, 200)
    assert y.min() >= 0
    np.testing.assert_allclose(y.max(axis=1), 1.0, rtol=0.02)
    # The steepest is the side of Kapton's maximum at 0.4, which the container's share
    # scales down, or the rise that decays over 0.2 1/A.
    slope = np.abs(np.diff(y, axis=1)).max() / (Q[1] - Q[0])
    assert slope < 1 / 0.2 + 0.1


def test_backgrounds_are_of_many_kinds():
    y = smooth_backgrounds(np.random.default_rng(1), Q, 300)
    highest = Q[y.argmax(axis=1)]
    assert 0.1 < (highest < 0.4).mean() < 0.6
    assert 0.1 < ((highest > 1.2) & (highest < 3.5)).mean() < 0.8
    assert (highest > 5.5).mean() > 0.05
    even = y.min(axis=1) > 0.8  # fluorescence
    assert 0.02 < even.mean() < 0.4


def test_the_same_state_gives_the_same_backgrounds():
    first, second = (
        smooth_backgrounds(np.random.default_rng(3), Q, 4) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_any_grid_ends_where_it_ends():
    """Nodes are sparse: the last bins must belong to the last node."""
    for n in (17, 31, 33, 2048):
        q = np.linspace(0.3, 6.0, n)
        y = smooth_backgrounds(np.random.default_rng(5), q, 6)
        assert y.shape == (6, n)
        assert np.isfinite(y).all()
        assert np.abs(np.diff(y, axis=1))[:, -2:].max() < 6 * (q[1] - q[0])


@pytest.mark.parametrize(
    ("name", "place"), [("silica glass", 1.53), ("Kapton", 1.25), ("water", 2.0)]
)
def test_containers_have_their_maximum(name, place):
    assert Q[halo(Q, HALOS[name]).argmax()] == pytest.approx(place, abs=0.08)


def test_compton_rises_from_nothing_to_all_electrons():
    values = compton(np.array([0.0, 2.0, 1e3]), np.array(2.0))
    np.testing.assert_allclose(values, [0.0, 1 - 1 / 16, 1.0])
