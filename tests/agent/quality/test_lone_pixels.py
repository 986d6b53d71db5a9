"""Lone bright pixels: what they move, and whose light they are."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag, FlagState, Word
from ringwatch.agent.quality import QualityFold, QualitySettings
from ringwatch.agent.quality.look import look_at
from ringwatch.agent.quality.readout.outliers import without_lone

from .light_frames import split_light


def bright_pixels(mean, rng, count, value):
    frame = rng.poisson(mean).astype(np.uint32)
    places = rng.choice(frame.size, count, replace=False)
    frame.reshape(-1)[places] += value
    return frame


@pytest.mark.parametrize(("count", "value"), [(100, 30), (150, 10), (100, 100)])
def test_zingers_do_not_move_the_rings_of_a_dim_frame(judge, rings, rng, count, value):
    """Rings of 10,000 counts, and as many in zingers: the cause is the zingers."""
    mean = rings.mean(counts=1e4)
    for _ in range(6):
        assert judge(bright_pixels(mean, rng, count, value)).primary is Flag.ZINGERS


def in_place(mean, rng, places, value):
    frame = rng.poisson(mean).astype(np.uint32)
    frame.reshape(-1)[places] += np.uint32(value)
    return frame


@pytest.fixture
def run(facts, binning):
    """Judge the frames of one run, and give what was said of the last."""

    def judged(frames, **more):
        fold = QualityFold(QualitySettings(), binning)
        return [
            fold.judge(facts(frame, binning, index=index, i0=1e5, **more))
            for index, frame in enumerate(frames)
        ][-1]

    return judged


@pytest.mark.parametrize(("number", "value"), [(1, 1_000_000), (20, 20_000)])
def test_hot_pixels_that_stay_take_no_light(run, rings, rng, number, value):
    """They are in the reference as well as in the frame."""
    mean = rings.mean(counts=1e4)
    places = rng.choice(mean.size, number, replace=False)
    quality = run(in_place(mean, rng, places, value) for _ in range(6))
    assert quality.word is Word.SUSPECT
    assert quality.values["beam_fraction"] == pytest.approx(1.0, abs=0.1)


def test_a_cosmic_ray_in_a_first_frame_is_no_light_that_can_be_lost(run, rings, rng):
    mean = rings.mean(counts=1e4)
    frames = [in_place(mean, rng, [300 * 512 + 100], 1_000_000)]
    quality = run(frames + [rng.poisson(mean).astype(np.uint32) for _ in range(5)])
    assert quality.word is not Word.BAD
    assert quality.values["beam_fraction"] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("spots", [30, 300])
def test_grains_of_one_pixel_are_light_of_the_sample(run, rings, rng, spots):
    """They grow, all light of the rings goes into few pixels, the air's stays."""
    sharp, between = split_light(rings, 1e6)
    where = (sharp / sharp.sum()).ravel()
    frames = [rng.poisson(sharp + between).astype(np.uint32) for _ in range(4)]
    for _ in range(2):
        places = rng.choice(sharp.size, spots, replace=False, p=where)
        frames.append(in_place(between, rng, places, sharp.sum() / spots))
    quality = run(frames)
    assert quality.word is not Word.BAD
    assert quality.states[Flag.NO_SAMPLE] is not FlagState.RAISED


def test_spots_over_a_dark_are_light(run, rings, rng):
    mean = rings.mean(counts=1e5) + 5.0
    dark = [rng.poisson(np.full(mean.shape, 5.0)) for _ in range(10)]
    places = rng.choice(mean.size, 100, replace=False)
    assert run([in_place(mean, rng, places, 5000)], dark=dark).word is not Word.BAD


def test_lone_pixels_are_left_where_grains_are(facts, binning, rings, rng):
    """Among clusters, or gathered on rings, their counts are the rings' own."""
    mean = rings.mean(counts=1e5)
    clusters = rng.poisson(mean).astype(np.uint32)
    for y, x in rng.integers(20, 490, (400, 2)):
        clusters[y : y + 3, x : x + 3] += 60
    places = rng.choice(mean.size, 60, replace=False, p=(mean / mean.sum()).ravel())
    for frame in (clusters, in_place(mean, rng, places, 500)):
        found = facts(frame, binning)
        assert without_lone(found.cake, look_at(found, binning)) is found.cake


def test_zingers_are_taken_off(facts, binning, rings, rng):
    found = facts(bright_pixels(rings.mean(counts=1e5), rng, 40, 500), binning)
    cleaned = without_lone(found.cake, look_at(found, binning))
    assert cleaned.total.sum() == pytest.approx(
        found.cake.total.sum() - 40 * 500, rel=0.01
    )
    assert cleaned.maximum.max() < found.cake.maximum.max()
