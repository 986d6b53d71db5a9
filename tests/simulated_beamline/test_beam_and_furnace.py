"""Source, monitor and furnace against their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringwatch.simulated_beamline.beam import Clock, StorageRing, ion_chamber_counts
from ringwatch.simulated_beamline.furnace import Furnace


def test_top_up_is_a_saw_tooth() -> None:
    ring = StorageRing(current_ma=200.0, lifetime_s=1000.0, top_up_s=100.0)
    assert ring.current(0.0) == ring.current(300.0) == 200.0
    assert ring.current(350.0) == pytest.approx(200.0 * math.exp(-0.05))
    assert ring.current(399.9) < ring.current(400.0)


def test_monitor_counts_the_beam() -> None:
    rng = np.random.default_rng(0)
    counts = [ion_chamber_counts(0.5, 0.1, rng) for _ in range(400)]
    assert np.mean(counts) == pytest.approx(1e6, rel=5e-4)
    assert 1e-4 < np.std(counts) / 1e6 < 2e-3
    assert ion_chamber_counts(0.0, 0.1, rng) < 30


def test_furnace_follows_its_closed_form() -> None:
    clock = Clock()
    furnace = Furnace(clock, temperature=300.0, rate=2.0, lag_s=5.0)
    assert furnace.ramp_to(340.0) == 20.0
    clock.advance(10.0)
    assert furnace.thermocouple == pytest.approx(320.0)
    assert furnace.sample == pytest.approx(320.0 - 10.0 * (1 - math.exp(-2.0)))
    clock.advance(10.0)
    behind = 10.0 * (1 - math.exp(-4.0))
    assert furnace.sample == pytest.approx(340.0 - behind)
    clock.advance(15.0)
    assert furnace.thermocouple == 340.0
    assert furnace.sample == pytest.approx(340.0 - behind * math.exp(-3.0))


def test_asking_often_changes_nothing() -> None:
    clocks = Clock(), Clock()
    once, often = (Furnace(clock, rate=1.0, lag_s=3.0) for clock in clocks)
    for furnace in (once, often):
        furnace.ramp_to(310.0)
    clocks[0].advance(17.0)
    for _ in range(170):
        clocks[1].advance(0.1)
        assert often.sample <= often.thermocouple
    assert often.sample == pytest.approx(once.sample, abs=1e-9)


def test_cooling() -> None:
    clock = Clock()
    furnace = Furnace(clock, temperature=400.0, rate=4.0)
    clock.advance(furnace.ramp_to(300.0))
    assert furnace.thermocouple == pytest.approx(300.0)
    assert furnace.sample > 300.0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        Clock().advance(-1.0)
    with pytest.raises(ValueError, match="both must exceed 0"):
        Furnace(Clock(), rate=0.0)


def test_asking_twice_at_a_time_changes_not_even_the_last_bit() -> None:
    """An IOC asks more often than the soft devices, and must give the same frames."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        start, goal = rng.uniform(200.0, 900.0, 2).tolist()
        clocks = Clock(), Clock()
        rate, lag_s = rng.uniform(0.5, 5.0, 2).tolist()
        once, often = (
            Furnace(clock, temperature=start, rate=rate, lag_s=lag_s)
            for clock in clocks
        )
        for furnace in (once, often):
            furnace.ramp_to(goal)
        for seconds in rng.uniform(0.0, 5.0, 30).tolist():
            for clock in clocks:
                clock.advance(seconds)
            assert {often.sample, often.sample, often.sample} == {once.sample}
