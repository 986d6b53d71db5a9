"""Counting noise against scipy's Poisson distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from ringwatch.simulated_beamline.counting import (
    expose_pixels,
    frame_key,
    poisson_quantile,
)


@pytest.mark.parametrize("mean", [0.2, 3.0, 5.9])
def test_small_means_are_exact(mean: float) -> None:
    quantiles = np.random.default_rng(1).random(2000)
    ours = [poisson_quantile(mean, p) for p in quantiles]
    np.testing.assert_array_equal(ours, poisson.ppf(quantiles, mean))


@pytest.mark.parametrize("mean", [6.1, 12.0, 40.0, 1000.0])
def test_large_means_are_off_by_one_at_most_and_seldom(mean: float) -> None:
    quantiles = np.random.default_rng(2).random(4000)
    ours = np.array([poisson_quantile(mean, p) for p in quantiles])
    difference = ours - poisson.ppf(quantiles, mean)
    assert np.abs(difference).max() <= 1
    assert np.mean(difference != 0) < 0.005


def test_tails_reach_as_far_as_poissons_do() -> None:
    for p in (1e-12, 1e-9, 1e-6, 1e-3, 1 - 1e-3, 1 - 1e-6, 1 - 1e-9):
        for mean in (10.0, 300.0):
            ours = poisson_quantile(mean, p)
            assert ours == pytest.approx(poisson.ppf(p, mean), abs=1.0)


def test_very_large_means_are_right_within_a_thousandth_of_sigma() -> None:
    quantiles = np.random.default_rng(4).random(2000)
    ours = np.array([poisson_quantile(60000.0, p) for p in quantiles])
    assert np.abs(ours - poisson.ppf(quantiles, 60000.0)).max() <= 1


def exposed(mean: float, key: int, side: int = 400) -> np.ndarray:
    shape = (side, side)
    return expose_pixels(
        np.zeros(shape, np.float32),
        np.ones(shape, np.float32),
        np.full(2, mean, np.float32),
        np.zeros(shape, np.float32),
        key=key,
        full=65534,
        invalid=65535,
        dtype=np.dtype(np.uint16),
    )


@pytest.mark.parametrize("mean", [0.5, 7.0, 30.0, 900.0])
def test_mean_variance_and_independence(mean: float) -> None:
    frame = exposed(mean, frame_key(3, 0)).astype(float)
    n = frame.size
    assert frame.mean() == pytest.approx(mean, abs=4 * (mean / n) ** 0.5)
    # Variance of the sample variance of a Poisson distribution: (2 m^2 + m) / n.
    spread = ((2 * mean**2 + mean) / n) ** 0.5
    assert frame.var() == pytest.approx(mean, abs=4 * spread)
    centred = frame - frame.mean()
    for neighbour in (centred[:, 1:] * centred[:, :-1], centred[1:] * centred[:-1]):
        assert abs(neighbour.mean() / mean) < 4 / n**0.5
    other = exposed(mean, frame_key(3, 1)) - mean
    assert abs((centred * other).mean() / mean) < 4 / n**0.5


def test_a_frame_depends_on_its_key_alone() -> None:
    first = exposed(20.0, frame_key(5, 7), side=64)
    np.testing.assert_array_equal(first, exposed(20.0, frame_key(5, 7), side=64))
    assert (first != exposed(20.0, frame_key(5, 8), side=64)).any()
    assert (first != exposed(20.0, frame_key(6, 7), side=64)).any()
    # Pixels do not depend on how many there are.
    np.testing.assert_array_equal(
        exposed(20.0, frame_key(5, 7), side=32).ravel(), first.ravel()[: 32 * 32]
    )


def test_full_scale_and_pixels_without_a_sensor() -> None:
    gain = np.array([[1.0, 0.0, -1.0]], np.float32)
    frame = expose_pixels(
        np.zeros((1, 3), np.float32),
        gain,
        np.full(2, 1e6, np.float32),
        np.zeros((1, 3), np.float32),
        key=1,
        full=65534,
        invalid=65535,
        dtype=np.dtype(np.uint16),
    )
    assert frame.tolist() == [[65534, 0, 65535]]


def test_a_profile_that_ends_too_early_is_refused() -> None:
    with pytest.raises(ValueError, match="make the profile longer"):
        expose_pixels(
            np.full((1, 1), 5.0, np.float32),
            np.ones((1, 1), np.float32),
            np.ones(4, np.float32),
            np.zeros((1, 1), np.float32),
            key=1,
            full=10,
            invalid=0,
            dtype=np.dtype(np.uint16),
        )
