"""invalid_values, misread, saturated: faults of the pixels themselves, by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag, FlagState, Severity, Word
from ringwatch.agent.quality import QualityFold, QualitySettings


@pytest.fixture
def frame(rings, rng):
    return rng.poisson(rings.mean()).astype(np.int32)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_pixels(judge, frame, bad):
    poisoned = frame.astype(np.float32)
    poisoned[200, 100:107] = bad
    quality = judge(poisoned)
    assert quality.word is Word.BAD
    assert quality.primary is Flag.INVALID_VALUES
    assert quality.values["invalid_pixels"] == 7


@pytest.mark.parametrize("bad", [1e160, -1e160, 1e300, np.nan])
@pytest.mark.parametrize("first", [0, 3])
def test_no_frame_of_doubles_hangs_the_agent(facts, binning, rings, rng, bad, first):
    """And it spoils no reference: the frames after it are judged as ever."""
    fold = QualityFold(QualitySettings(), binning)
    for index in range(5):
        frame = rng.poisson(rings.mean()).astype(np.float64)
        if index == first:
            frame[200, 100:107] = bad
        quality = fold.judge(facts(frame, binning, index=index))
        assert quality.word is (Word.BAD if index == first else Word.GOOD)
        if index == first:
            assert quality.primary is Flag.INVALID_VALUES
            assert "7 that are no number of counts" in quality.reason


def test_doubles_in_the_wrong_byte_order_are_judged(facts, binning, rings, rng):
    fold = QualityFold(QualitySettings(), binning)
    for index in range(5):
        frame = rng.poisson(rings.mean()) - rng.uniform(0.0, 1.0, (512, 512))
        if index == 3:
            frame = frame.byteswap()
        quality = fold.judge(facts(frame, binning, index=index))
        assert (Flag.INVALID_VALUES in quality.raised) == (index == 3)


def test_markers_are_valid_and_other_negative_counts_are_not(judge, frame):
    frame[10:14] = -1
    frame[50, 60] = -2
    assert judge(frame).word is Word.GOOD
    frame[300, 300:305] = -7
    quality = judge(frame)
    assert quality.primary is Flag.INVALID_VALUES
    assert quality.values["invalid_pixels"] == 5


def test_dark_subtracted_floats_may_be_negative(judge, rings, rng):
    frame = rng.poisson(rings.mean(counts=3e6) + 5.0) - 5.0
    assert frame.min() < 0
    assert judge(frame.astype(np.float32)).word is Word.GOOD


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_wrap_around_is_not_saturation(judge, rings, rng, dtype):
    light = rng.poisson(rings.mean(counts=3e6, background=0.5)).astype(dtype)
    wrapped = light - rng.poisson(4.0, light.shape).astype(dtype)
    top = np.iinfo(dtype).max  # a marker of Dectris: not known to be wrapped
    true = int(((wrapped > top // 2) & (wrapped < top)).sum())
    quality = judge(wrapped)
    assert quality.primary is Flag.INVALID_VALUES
    assert quality.values["invalid_pixels"] == pytest.approx(true, rel=0.02)
    assert quality.states[Flag.SATURATED] is FlagState.NOT_EVALUATED


@pytest.mark.parametrize(
    ("where", "value", "share"),
    [
        ((slice(256, None), slice(None)), 0, 0.5),
        ((slice(256, None), slice(None)), 9, 0.5),
        ((slice(None, 130), slice(None)), 0, 0.25),
        ((slice(100, 200), slice(300, 500)), 0, 0.076),
    ],
)
def test_half_read_frames_and_lost_modules(judge, frame, where, value, share):
    frame[where] = value
    quality = judge(frame)
    assert quality.word is Word.BAD
    assert quality.primary is Flag.MISREAD
    assert quality.values["misread_fraction"] == pytest.approx(share, abs=0.4 * share)


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("counts", [1e3, 4e3, 1e5, 1e7])
def test_half_a_frame_too_dim_to_be_missed(facts, binning, rings, rng, counts, before):
    """Half read is seen, or not evaluated; a sound frame of such counts no more."""
    seen = []
    for half in (False, True):
        fold = QualityFold(QualitySettings(), binning)
        for index in range(before + 1):
            frame = rng.poisson(rings.mean(counts=counts)).astype(np.uint32)
            if half and index == before:
                frame[256:] = 0
            quality = fold.judge(facts(frame, binning, index=index))
        seen.append(quality.states[Flag.MISREAD])
    dim = counts < 1e4
    if dim:
        assert "counts are too few" in quality.why_not[Flag.MISREAD]
        assert "are needed" in quality.why_not[Flag.MISREAD]
    assert seen[0] is (FlagState.NOT_EVALUATED if dim else FlagState.CLEAR)
    assert seen[1] is (FlagState.NOT_EVALUATED if dim else FlagState.RAISED)


def test_a_beamstop_and_faint_frames_are_not_misread(judge, rings, rng):
    y, x = np.indices((512, 512)) - 256
    mean = rings.mean()
    mean[np.hypot(x, y) < 12] = 0.0
    assert judge(rng.poisson(mean).astype(np.int32)).word is Word.GOOD
    faint = judge(rng.poisson(1e-3 * mean).astype(np.int32))
    assert Flag.MISREAD not in faint.raised


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda f: f[::-1], "upside down"),
        (lambda f: f[:, ::-1], "left to right"),
        (lambda f: f[::-1, ::-1], "by 180 degrees"),
    ],
)
def test_turned_images(rings, judge, rng, turn, words):
    off = dataclasses.replace(rings, beam=(248.0, 262.0))
    frame = turn(rng.poisson(off.mean()).astype(np.uint32))
    quality = judge(np.ascontiguousarray(frame), binning=off.binning())
    assert quality.primary is Flag.MISREAD
    assert words in quality.reason
    assert Flag.BEAM_CENTER in quality.raised


def test_a_module_that_turns_into_markers_within_a_run(facts, binning, rings, rng):
    fold = QualityFold(QualitySettings(), binning)
    for index in range(5):
        frame = rng.poisson(rings.mean()).astype(np.int32)
        frame[:, 250:254] = -1
        if index == 4:
            frame[300:400, :100] = -1
        quality = fold.judge(facts(frame, binning, index=index))
        assert (quality.primary is Flag.MISREAD) == (index == 4)


def test_a_flat_frame_without_geometry_is_misread(judge):
    tiles = Binning.without_geometry((512, 512))
    assert judge(np.full((512, 512), 7, np.uint16), binning=tiles).word is Word.BAD


@pytest.mark.parametrize("factor", [20, 60])
def test_clipped_rings(judge, rings, rng, factor):
    """Known scale: exact number of pixels. Few and weak: suspect; rings: bad."""
    frame = np.minimum(rng.poisson(rings.mean() * factor * 15), 65534)
    clipped = int((frame == 65534).sum())
    quality = judge(frame.astype(np.uint16))
    assert (Flag.SATURATED in quality.raised) == (clipped > 0)
    assert quality.values["saturated_pixels"] == clipped
    if factor == 60:
        assert quality.severities[Flag.SATURATED] is Severity.BAD


@pytest.mark.parametrize(("value", "least"), [(100, 1e-5), (10**7, 0.49)])
def test_a_pixel_far_above_the_level_holds_what_it_shows(judge, frame, value, least):
    frame = np.minimum(frame, 99)
    frame[100, 100] = value
    settings = QualitySettings(saturation=100.0)
    quality = judge(frame, settings, saturation=100.0)
    share = value / frame.sum()
    assert quality.values["saturated_share"] == pytest.approx(share, rel=1e-9)
    assert share > least
    sentence = quality.sentences[Flag.SATURATED]
    assert "1 pixel is saturated" in sentence
    assert f"holds at least {share:.2%}" in sentence


def test_one_saturated_pixel_makes_a_frame_suspect(judge, frame):
    frame = frame.astype(np.uint16)
    frame[100, 100] = 65534
    quality = judge(frame)
    assert quality.word is Word.SUSPECT
    assert quality.values["saturated_pixels"] == 1


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.uint32])
def test_a_plateau_tells_where_the_scale_is_unknown(judge, frame, dtype):
    assert judge(frame.astype(dtype)).word is Word.GOOD
    quality = judge(np.minimum(frame, 120).astype(dtype))
    assert Flag.SATURATED in quality.raised


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_gaps_marked_by_the_largest_value_are_not_saturated(judge, rings, rng, dtype):
    bright = rings.mean(counts=2e8 if dtype == np.uint16 else 1e7)
    frame = rng.poisson(bright).astype(dtype)
    frame[:, 200:207] = np.iinfo(dtype).max
    frame[rng.integers(0, 512, 30), rng.integers(0, 512, 30)] = np.iinfo(dtype).max
    assert judge(frame).states[Flag.SATURATED] is FlagState.CLEAR


def test_overflow_without_a_margin_is_saturated_all_the_same(judge, rings, rng):
    frame = np.minimum(rng.poisson(rings.mean(counts=4e9)), 65535).astype(np.uint16)
    assert (frame == 65535).mean() > 0.001
    quality = judge(frame)
    assert Flag.SATURATED in quality.raised


def test_a_setting_overrules_the_type(judge, frame):
    settings = QualitySettings(saturation=100.0)
    quality = judge(frame, settings, saturation=100.0)
    assert quality.values["saturated_pixels"] == (frame >= 100).sum()
