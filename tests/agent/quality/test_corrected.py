"""The corrected pattern is the one that the right geometry gives."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality import QualityFold, QualitySettings


def examine(frame, binning, facts):
    return QualityFold(QualitySettings(), binning).examine(facts(frame, binning))


def test_it_has_the_rings_of_the_right_geometry(rings, binning, facts, rng):
    sound = rng.poisson(rings.mean()).astype(np.uint32)
    moved = rng.poisson(rings.mean(dx=1.2, dy=-0.7)).astype(np.uint32)
    true = facts(sound, binning).pattern
    quality, corrected = examine(moved, binning, facts)
    plain = facts(moved, binning).pattern
    assert Flag.BEAM_CENTER in quality.raised
    inner = slice(15, 240)  # whole circles

    def off(pattern):
        return np.abs(pattern.intensity - true.intensity)[inner].sum()

    assert off(corrected) < 0.3 * off(plain)
    peak = int(np.argmax(true.intensity[inner])) + 15
    assert corrected.intensity[peak] > plain.intensity[peak]
    # counts are moved, none made: intensity times normalisation sums to the same
    weight = facts(moved, binning).cake.norm.sum(axis=1)
    ratio = (corrected.intensity * weight)[inner].sum()
    ratio /= (plain.intensity * weight)[inner].sum()
    assert ratio == pytest.approx(1.0, abs=0.01)
    assert np.isfinite(corrected.sigma).all()


def test_a_sound_frame_and_one_too_far_off_have_none(rings, binning, facts, rng):
    for dx in (0.0, 20.0):
        frame = rng.poisson(rings.mean(dx=dx)).astype(np.uint32)
        quality, corrected = examine(frame, binning, facts)
        assert (Flag.BEAM_CENTER in quality.raised) == (dx > 0)
        assert corrected is None
