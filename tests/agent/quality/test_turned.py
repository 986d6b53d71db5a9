"""Flipped images whose beam is far from the middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag, Word
from ringwatch.agent.quality import QualityFold, QualitySettings, turn_image
from ringwatch.agent.quality.readout.turned import Turn
from ringwatch.agent.reduction import Reduction

from .conftest import SIDE, Rings, make_facts

CORNER = Rings(beam=(SIDE * 0.3, SIDE * 0.22))


@pytest.fixture(scope="module")
def binning():
    return CORNER.binning()


@pytest.fixture
def judge(binning):
    fold = QualityFold(QualitySettings(), binning)
    reduction = Reduction(binning)

    def judged(frame, index=0, looks=None):
        def turned(turn):
            if looks is not None:
                looks.append(index)
            return reduction.cake(turn_image(frame, turn), look_again=False)

        facts = make_facts(frame, binning, index=index)
        return fold.judge(replace(facts, turned=turned))

    return judged


@pytest.mark.parametrize("turn", Turn)
def test_it_is_named_and_by_how(judge, rng, turn):
    frame = rng.poisson(CORNER.mean()).astype(np.uint32)
    quality = judge(turn_image(frame, turn))
    assert quality.primary is Flag.MISREAD
    assert quality.word is Word.BAD
    assert turn.value[0] in quality.reason


def test_a_sound_frame_and_a_wrong_geometry_are_not_flipped(judge, rng):
    sound = rng.poisson(CORNER.mean()).astype(np.uint32)
    assert judge(sound).word is Word.GOOD
    moved = rng.poisson(CORNER.mean(dx=150.0, dy=90.0)).astype(np.uint32)
    quality = judge(moved, index=1)
    assert quality.word is Word.MISALIGNED
    assert Flag.MISREAD not in quality.raised


def test_an_image_that_stays_turned_is_turned_back_now_and_then(judge, rng):
    looks = []
    frames = [rng.poisson(CORNER.mean()).astype(np.uint32) for _ in range(20)]
    for index, frame in enumerate(frames):
        quality = judge(turn_image(frame, Turn.UPSIDE_DOWN), index, looks)
        assert quality.primary is Flag.MISREAD, index
    assert looks == [0, 8, 16]
    assert Flag.MISREAD not in judge(frames[0] + 1, 20).raised
