"""Light that did not depart by one factor, and frames brighter than I0 lets expect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringwatch.agent.nouns import SECTORS, FlagState, Severity
from ringwatch.agent.quality.light.comparison import measure_unevenness

from .light_frames import Bench, judged

RAISED, CLEAR = FlagState.RAISED, FlagState.CLEAR
Frame = NDArray[Any]


def by_radius(binning: Any, shape: tuple[int, int], outermost: float) -> Frame:
    """Factor of each pixel: 1 in the middle, falling or growing with the radius."""
    bins = (binning.cell.astype(np.int64) // SECTORS).reshape(shape)
    return 1.0 + (outermost - 1.0) * np.minimum(bins / binning.q.size, 1.0)


@pytest.mark.parametrize(
    ("outermost", "i0"), [(0.85, 1.0), (0.7, 1.0), (1.3, 1.0), (1.0, 0.9)]
)
def test_what_changes_the_outer_rings_most_is_no_lost_beam(
    bench: Bench, parts: tuple[Frame, Frame], outermost: float, i0: float
) -> None:
    # Heat and transitions: rings and the scattering between them fall off together,
    # by nothing in the middle. The same by a beam that fell is a beam that fell.
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    uneven = whole * by_radius(bench.binning, whole.shape, outermost)
    drop, suspect = judged(bench, reference, uneven, i0=i0 * 2e5)
    assert abs(drop.value - 1.0) > 2 * bench.settings.beam_tolerance
    assert abs(drop.z) > 2 * bench.settings.threshold
    states = (CLEAR, CLEAR) if outermost != 1.0 else (CLEAR, RAISED)
    assert (drop.state, suspect.state) == states


def test_a_frame_too_bright_is_told_by_how_much(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    drop, suspect = judged(bench, reference, 1.4 * whole, i0=2e5)
    assert (drop.state, suspect.state) == (CLEAR, RAISED)
    assert suspect.value == pytest.approx(1 / 1.4, rel=0.01)
    assert suspect.severity is Severity.SUSPECT
    assert "1.4 times the light that i0 lets expect" in suspect.sentence
    assert "filter" in suspect.sentence
    # A beam that is brighter before the monitor, too, is none of it.
    drop, suspect = judged(bench, reference, 1.4 * whole, i0=2.8e5)
    assert (drop.state, suspect.state) == (CLEAR, CLEAR)


def test_light_that_came_from_elsewhere_is_no_lie_of_the_monitor(
    bench: Bench, parts: tuple[Frame, Frame]
) -> None:
    sharp, between = parts
    whole = sharp + between
    reference = bench.reference(whole, i0=2e5)
    pedestal = np.full_like(whole, 0.5 * whole.mean())
    for expected in (whole + pedestal, whole + sharp, whole + 2 * between):
        drop, suspect = judged(bench, reference, expected, i0=2e5)
        assert drop.value > 1.1
        assert (drop.state, suspect.state) == (CLEAR, CLEAR)


@pytest.mark.parametrize("slope", [0.0, -0.2, 0.4])
def test_unevenness_is_the_injected_one(
    bench: Bench, parts: tuple[Frame, Frame], slope: float
) -> None:
    whole = parts[0] + parts[1]
    reference = bench.reference(whole, i0=2e5)
    bins = (bench.binning.cell.astype(np.int64) // SECTORS).reshape(whole.shape)
    light = np.bincount(bins.ravel(), whole.ravel())[: bench.binning.q.size]
    within = (np.cumsum(light) - light / 2) / light.sum()
    factor = 1.0 + slope * (within[np.minimum(bins, light.size - 1)] - 0.5)
    for scale in (1.0, 0.5):
        _, seen = bench.look(scale * whole * factor, 3)
        assert seen.profiles is not None
        found = measure_unevenness(seen.profiles, reference)
        assert found is not None
        assert found.trend == pytest.approx(slope, abs=0.03)
        # A straight line from -1/2 to 1/2 has a standard deviation of 1/sqrt(12).
        assert found.scatter == pytest.approx(abs(slope) / math.sqrt(12), abs=0.01)
