"""The n-th smallest of a list: as sorting gives it, and an end amid NaN as well."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringwatch.agent.quality.geometry.profile_kernels import median_of, nth_smallest


def test_the_nth_smallest_is_that_of_the_sorted_list(rng):
    for size in (1, 2, 3, 10, 101):
        for values in (
            rng.normal(size=size),
            rng.integers(0, 4, size).astype(float),
            np.where(rng.random(size) < 0.3, math.inf, rng.normal(size=size)),
        ):
            for n in range(size):
                assert nth_smallest(values.copy(), size, n) == np.sort(values)[n]


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
@pytest.mark.timeout(60)
def test_the_selection_ends_amid_nan(rng, share):
    for size in (2, 3, 10, 101):
        for _ in range(50):
            values = np.where(rng.random(size) < share, math.nan, rng.normal(size=size))
            numbers = np.sort(values[~np.isnan(values)])
            for n in range(size):
                found = nth_smallest(values.copy(), size, n)
                assert math.isnan(found) or found == numbers[n]
            median_of(values.copy(), size)
