"""Hexagonal ice beside a sample, and samples that only resemble it."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.pattern.ice import ice_lines, judge_ice

from .drawn_profiles import Drawn

SETTINGS = QualitySettings()
# Relative counts of the lines by the structure of Goto et al.: m |F|^2 d.
ICE = (100.0, 59.8, 67.1, 42.2, 98.3, 92.3, 12.0, 52.4, 14.1, 6.1, 31.9)
FCC = 2 * np.pi / 4.157 * np.sqrt([1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13])  # LaB6


def judged(drawn, mean, rng, **readbacks):
    seen = drawn.seen(mean, rng)
    return judge_ice(
        drawn.facts(**(readbacks or {"cryo_temperature": 100.0})), seen, SETTINGS
    )


def powder(drawn, counts, share, *, kelvin=100.0, off=1.0):
    """Sample and glass with so large a share of ice in the rings."""
    sample = drawn.rings(FCC, np.ones(FCC.size))
    ice = drawn.rings(off * 2 * np.pi / ice_lines(kelvin), ICE)
    return counts * (0.5 * drawn.halo() + 0.5 * ((1 - share) * sample + share * ice))


def test_the_lines_are_those_of_hexagonal_ice():
    known = [3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92, 1.88, 1.72, 1.52]
    assert ice_lines(150.0) == pytest.approx(known, abs=0.008)
    assert ice_lines(250.0)[0] == pytest.approx(4.5181 * 3**0.5 / 2, abs=1e-6)
    assert ice_lines(250.0)[1] == pytest.approx(7.3560 / 2, abs=1e-6)


@pytest.mark.parametrize("bins", [724, 1450])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_ice_is_found_and_measured(bins, share, rng):
    drawn = Drawn(bins=bins)
    for kelvin, said in ((100.0, 100.0), (250.0, 100.0), (100.0, -150.0)):
        mean = powder(drawn, 1e6, share, kelvin=kelvin)
        finding = judged(drawn, mean, rng, cryo_temperature=said)
        assert finding.state is FlagState.RAISED
        assert finding.value == pytest.approx(share, rel=0.25)
        assert "hexagonal ice" in finding.sentence


def test_a_clean_cold_sample_is_clear(rng):
    drawn = Drawn()
    for counts in (1e4, 1e6, 1e8):
        for _ in range(50):
            finding = judged(drawn, powder(drawn, counts, 0.0), rng)
            assert finding.state is FlagState.CLEAR


def test_glass_with_a_halo_where_ice_is_strong_is_clear(rng):
    drawn = Drawn()
    for _ in range(50):
        assert judged(drawn, 1e8 * drawn.halo(), rng).state is FlagState.CLEAR


@pytest.mark.parametrize("kept", [(0, 1), (0, 2), (1, 2), (2,), (0, 1, 2)])
def test_own_rings_at_some_lines_are_not_ice(kept, rng):
    drawn = Drawn()
    at = 2 * np.pi / ice_lines(100.0)[list(kept)]
    own = drawn.rings([*FCC, *at], [1.0] * (FCC.size + len(kept)))
    for _ in range(20):
        finding = judged(drawn, 1e7 * (0.5 * drawn.halo() + 0.5 * own), rng)
        assert finding.state is FlagState.CLEAR


def test_crowded_patterns_are_not_ice(rng):
    drawn = Drawn()
    for _ in range(600):
        n = int(rng.integers(3, 100))
        own = drawn.rings(rng.uniform(0.8, 5.9, n), rng.lognormal(0, 1.2, n))
        finding = judged(drawn, 1e7 * (0.5 * drawn.halo() + 0.5 * own), rng)
        assert finding.state is not FlagState.RAISED


def test_a_warm_sample_is_not_evaluated(rng):
    drawn = Drawn()
    mean = powder(drawn, 1e6, 0.3)
    warm = judged(drawn, mean, rng, cryo_temperature=295.0)
    assert warm.state is FlagState.NOT_EVALUATED
    assert "too warm" in warm.sentence
    silent = judged(drawn, mean, rng, sample_x=1.0)
    assert "no temperature readback" in silent.sentence
    lost = judged(drawn, mean, rng, cryo_temperature=float("nan"))
    assert lost.state is FlagState.NOT_EVALUATED


@pytest.mark.parametrize(
    ("unit", "said", "kelvin"),
    [("K", 25.0, 25), ("degC", 25.0, 298), ("degC", -120.0, 153), ("K", -120.0, 153)],
)
def test_the_unit_says_how_cold_it_is(unit, said, kelvin, rng):
    """A furnace at 25 degree C is no cryostat at 25 K."""
    drawn = Drawn()
    seen = drawn.seen(powder(drawn, 1e6, 0.3), rng)
    settings = QualitySettings(temperature_unit=unit)
    finding = judge_ice(drawn.facts(furnace_temperature=said), seen, settings)
    cold = kelvin < 273
    assert finding.state is (FlagState.RAISED if cold else FlagState.NOT_EVALUATED)
    assert f"{kelvin} K" in finding.sentence
    with pytest.raises(ValueError, match="give K or degC"):
        QualitySettings(temperature_unit="C")


@pytest.mark.parametrize("said", [0.0, -400.0])
def test_a_sensor_that_reads_nothing_makes_no_cold_sample(said, rng):
    drawn = Drawn()
    mean = powder(drawn, 1e6, 0.3)
    finding = judged(drawn, mean, rng, cryo_temperature=said)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "nothing is so cold" in finding.sentence


def test_lines_that_run_into_each_other_are_not_evaluated(rng):
    drawn = Drawn(q_max=25.0)
    finding = judged(drawn, powder(drawn, 1e7, 0.3), rng)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "too broad" in finding.sentence


def test_ice_whose_strong_line_a_ring_of_the_sample_hides_is_not_evaluated(rng):
    """Found clear, it would be a lie: all other lines are there."""
    drawn = Drawn()
    width = drawn.fwhm * (drawn.q[1] - drawn.q[0])
    for line in range(3):
        at = 2 * np.pi / ice_lines(100.0)[line] + 0.8 * width
        for share in (0.1, 0.3):
            own = drawn.rings([*FCC, at], [1.0] * FCC.size + [2.0])
            ice = drawn.rings(2 * np.pi / ice_lines(100.0), ICE)
            mean = 0.5 * drawn.halo() + 0.5 * ((1 - share) * own + share * ice)
            finding = judged(drawn, 1e6 * mean, rng)
            if finding.state is FlagState.RAISED:
                continue
            assert finding.state is FlagState.NOT_EVALUATED
            assert np.isnan(finding.value)
            assert "may be ice" in finding.sentence


def test_too_few_counts_say_how_much_ice_would_not_be_seen(rng):
    drawn = Drawn()
    finding = judged(drawn, powder(drawn, 1e3, 0.0), rng)
    assert finding.state is FlagState.NOT_EVALUATED
    assert "may be ice unseen" in finding.sentence
