"""no_beam: a lost beam leaves a flat pedestal, a sample gone amorphous a halo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.nouns import FlagState
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.facts import Reference
from ringwatch.agent.quality.light.counts import judge_no_beam
from ringwatch.agent.quality.look import look_at

SETTINGS = QualitySettings()


@pytest.fixture
def look(rings, binning, facts, rng):
    """Facts of a frame with noise, and what is seen of it."""

    def looked(mean):
        fact = facts(rng.poisson(mean).astype(np.uint32), binning)
        return fact, look_at(fact, binning)

    return looked


@pytest.mark.parametrize(
    ("halo", "state"), [(True, FlagState.CLEAR), (False, FlagState.RAISED)]
)
def test_a_flat_pedestal_is_no_beam_and_a_halo_is_one(rings, look, halo, state):
    """Both are ringless, and as bright as the run's first frames."""
    reference = Reference.from_frames([look(rings.mean())] * 3, SETTINGS)
    y, x = np.indices(rings.mean().shape) - 256.0
    r = np.hypot(x, y)
    # rising where the reference falls: nothing of its shape is left, and no maximum
    shape = 1.0 + (2.0 / (1.0 + np.exp((200.0 - r) / 20.0)) if halo else 0.0 * r)
    fact, seen = look(shape * (1e7 / shape.sum()))
    assert not seen.rings.bins.size
    finding = judge_no_beam(fact, seen, reference, SETTINGS)
    assert finding.state is state, finding.sentence
    without_rings = replace(seen, rings=None)
    assert judge_no_beam(fact, without_rings, reference, SETTINGS).state is state


@pytest.mark.parametrize(
    ("excess", "states"),
    [
        (0.0, {FlagState.RAISED}),
        (0.004, {FlagState.NOT_EVALUATED, FlagState.CLEAR}),
        (0.02, {FlagState.CLEAR}),
    ],
)
def test_a_little_above_a_bright_dark_is_not_called_darkness(
    excess, states, rings, binning, facts, rng
):
    """20 sigma of a halo, 0.4 % of the dark: a faint beam, or a warmer sensor."""
    y, x = np.indices(rings.mean().shape) - 256.0
    halo = np.exp(-0.5 * (np.hypot(x, y) / 100.0) ** 2)
    level, size = 200.0, halo.size
    halo *= excess * level * size / halo.sum()
    dark = [rng.poisson(level, halo.shape).astype(np.uint32) for _ in range(8)]
    fact = facts(rng.poisson(level + halo).astype(np.uint32), binning, dark=dark)
    finding = judge_no_beam(fact, look_at(fact, binning), None, SETTINGS)
    assert finding.state in states, finding.sentence
    flat = rng.poisson(level * (1 + excess), halo.shape).astype(np.uint32)
    fact = facts(flat, binning, dark=dark)
    finding = judge_no_beam(fact, look_at(fact, binning), None, SETTINGS)
    if excess == 0.004:
        assert finding.state is FlagState.NOT_EVALUATED
        assert "a faint beam or a warmer sensor" in finding.sentence


@pytest.mark.parametrize(
    ("light", "level", "state", "lost"),
    [
        (1e4, 120.0, FlagState.NOT_EVALUATED, FlagState.NOT_EVALUATED),
        (1e4, 1.0, FlagState.CLEAR, FlagState.RAISED),
        (1e6, 120.0, FlagState.CLEAR, FlagState.RAISED),
    ],
)
def test_light_that_the_dark_would_hide_is_not_called_lost(
    light, level, state, lost, rings, binning, facts, rng
):
    """1e4 counts are 1.7 sigma of the bright dark, whether the beam is there or not."""
    mean = rings.mean(counts=light)
    first = facts(rng.poisson(mean).astype(np.uint32), binning)
    reference = Reference.from_frames([(first, look_at(first, binning))] * 3, SETTINGS)
    dark = [rng.poisson(level, mean.shape).astype(np.uint32) for _ in range(8)]

    def judged(share):
        frame = rng.poisson(level + share * mean).astype(np.uint32)
        fact = facts(frame, binning, dark=dark)
        return judge_no_beam(fact, look_at(fact, binning), reference, SETTINGS)

    assert judged(1.0).state is state
    dump = judged(0.0)
    assert dump.state is lost
    if lost is FlagState.NOT_EVALUATED:
        assert "are needed" in dump.sentence
        fact = facts(rng.poisson(level + mean).astype(np.uint32), binning, dark=dark)
        # Without a reference nobody knows what light is due: no more than the dark.
        alone = judge_no_beam(fact, look_at(fact, binning), None, SETTINGS)
        assert alone.state is FlagState.RAISED
        assert "counts would be seen" in alone.sentence
