"""Flags that need light, counts and the frames before; and the fold as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.geometry import Binning
from ringwatch.agent.nouns import Flag, FlagState, Severity, Word
from ringwatch.agent.quality import QualityFold, QualitySettings


@pytest.fixture
def run(binning, facts, rng):
    """Judge a run given expected images and their readbacks."""

    def judged(means, readbacks=None, settings=None, dark=None, **more):
        fold = QualityFold(settings or QualitySettings(), binning)
        found = []
        for index, mean in enumerate(means):
            frame = np.minimum(rng.poisson(mean), 65534).astype(np.uint16)
            now = readbacks[index] if readbacks else {}
            found.append(
                fold.judge(facts(frame, binning, index=index, dark=dark, **now, **more))
            )
        return found

    return judged


def test_sound_frames_are_good_and_say_what_was_checked(run, rings):
    readbacks = [{"detector_frame_number": float(i)} for i in range(5)]
    found = run([rings.mean()] * 5, readbacks)
    assert [q.word for q in found] == [Word.GOOD] * 5
    assert "no reference" in found[0].why_not[Flag.RADIAL_SCALE]
    assert found[0].reason.endswith("more")
    assert found[0].reason.startswith(f"{32 - len(found[0].why_not)} of 32 checks ")
    for flag in (Flag.RADIAL_SCALE, Flag.NO_SAMPLE, Flag.SHADOW, Flag.BEAMSTOP_LEAK):
        assert found[4].states[flag] is FlagState.CLEAR
    assert found[4].values["beam_fraction"] == pytest.approx(1.0, abs=0.01)


def test_lost_beam_mutes_what_follows_from_it(run, rings):
    mean = rings.mean()
    lit = [{"i0": 100.0}] * 4
    found = run(
        [mean] * 4 + [0.0 * mean, 0.02 * mean, 0.02 * mean, 0.3 * mean],
        [*lit, {"i0": 0.1}, {"i0": 0.1}, {"i0": 99.0}, {"i0": 100.0}],
    )
    words = [q.word for q in found]
    assert words == [Word.GOOD] * 4 + [Word.BAD] * 3 + [Word.SUSPECT]
    assert found[7].primary is Flag.BEAM_DROP
    for quality in found[4:7]:
        assert quality.raised == (Flag.NO_BEAM,)
        assert quality.states[Flag.LOW_COUNTS] is FlagState.NOT_EVALUATED
    assert "before the sample" in found[5].reason
    assert "shutter" in found[6].reason
    assert found[6].values["beam_fraction"] == pytest.approx(0.02, abs=0.002)


def test_a_run_misaligned_from_the_start_still_notices_a_lost_beam(run, rings):
    mean = rings.mean(dx=1.0)
    found = run([mean] * 4 + [0.01 * mean])
    assert [q.word for q in found] == [Word.MISALIGNED] * 4 + [Word.BAD]
    assert "off the geometry" not in found[3].reason
    assert found[3].states[Flag.RADIAL_SCALE] is FlagState.CLEAR
    assert found[4].values["beam_fraction"] == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("monitored", [True, False])
@pytest.mark.parametrize("clipped", [(0,), (2,), (2, 3, 4)])
def test_a_clipped_frame_among_the_first_is_no_part_of_the_reference(
    run, rings, clipped, monitored
):
    """Frames are compared with what most of the first ones hold."""
    lit = [0.4 if i in (*clipped, 7) else 1.0 for i in range(9)]
    readbacks = [{"i0": 100.0}] * len(lit) if monitored else None
    found = run([light * rings.mean() for light in lit], readbacks)
    assert found[7].values["beam_fraction"] == pytest.approx(0.4, abs=0.01)
    assert found[6].values["beam_fraction"] == pytest.approx(1.0, abs=0.01)
    if monitored:
        assert found[7].primary is Flag.BEAM_DROP
        assert found[7].values["intensity_over_i0"] == pytest.approx(0.4, abs=0.01)
    assert found[6].word is found[8].word is Word.GOOD


def test_a_shutter_that_clips_from_the_third_frame_on_is_measured(run, rings):
    lit = [1.0] * 2 + [0.4] * 5
    found = run([light * rings.mean() for light in lit], [{"i0": 100.0}] * len(lit))
    for quality in found[4:]:
        assert quality.primary is Flag.BEAM_DROP
        assert quality.values["intensity_over_i0"] == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("fault", ["saturated", "half read", "off centre"])
def test_the_frame_after_a_fault_is_compared_with_the_one_before(run, rings, fault):
    spoilt = {
        "saturated": 2000 * rings.mean(),
        "half read": rings.mean() * (np.arange(512)[:, None] < 200),
        "off centre": rings.mean(dx=1.0),
    }[fault]
    means = [rings.mean()] * 8 + [spoilt] * 2 + [rings.mean()] * 3
    wrong = Word.MISALIGNED if fault == "off centre" else Word.BAD
    settings = QualitySettings(saturation=6e4)
    means.append(rings.mean(lines=(1, 2, 3, 9, 13)))
    found = run(means, settings=settings, saturation=6e4)
    assert [q.word for q in found[8:10]] == [wrong] * 2
    assert Flag.CHANGE_POINT in found[8].raised
    for quality in found[10:13]:
        assert quality.states[Flag.CHANGE_POINT] is FlagState.CLEAR
    assert Flag.CHANGE_POINT in found[13].raised


@pytest.mark.parametrize("off", [3, 6])
def test_a_run_that_begins_off_centre_shows_no_other_sample_when_mended(
    run, rings, off
):
    found = run([rings.mean(dx=1.0)] * off + [rings.mean()] * 7)
    assert [q.word for q in found[:off]] == [Word.MISALIGNED] * off
    assert all(Flag.CHANGE_POINT not in q.raised for q in found)
    assert (
        "no sound frame before to compare with" in found[off].why_not[Flag.CHANGE_POINT]
    )
    assert found[-1].states[Flag.CHANGE_POINT] is FlagState.CLEAR


def test_a_dark_tells_light_from_its_own_level(run, rings, rng):
    level = np.full((512, 512), 40.0)
    darks = [rng.poisson(level).astype(np.uint16) for _ in range(5)]
    mean = rings.mean(counts=2e6)
    found = run([level, level + mean, level + 0.001 * mean], dark=darks)
    assert [q.word for q in found] == [Word.BAD, Word.GOOD, Word.BAD]
    assert found[0].primary is Flag.NO_BEAM


def test_a_pedestal_does_not_hide_a_lost_beam(run, rings):
    """No dark given: the total falls by a third only, but the rings are gone."""
    mean, pedestal = rings.mean(counts=1e7), np.full((512, 512), 80.0)
    found = run([mean + pedestal] * 4 + [pedestal])
    assert [q.word for q in found] == [Word.GOOD] * 4 + [Word.BAD]
    assert found[4].primary is Flag.NO_BEAM


def test_nothing_to_tell_light_from_dark_is_unknown_never_good(run, judge, rng):
    level = np.full((512, 512), 50.0)
    (flat,) = run([level])
    assert flat.word is Word.UNKNOWN
    assert "no_beam" in flat.reason
    tiles = Binning.without_geometry((512, 512))
    assert judge(rng.poisson(level).astype(np.uint16), binning=tiles).word is (
        Word.UNKNOWN
    )


def test_scattering_without_rings_is_light(run, rings):
    (quality,) = run([rings.mean(lines=(), counts=2e7)])
    assert quality.states[Flag.NO_BEAM] is FlagState.CLEAR
    assert quality.states[Flag.BEAM_CENTER] is FlagState.NOT_EVALUATED
    assert quality.word is Word.GOOD


def test_time_to_target_is_right(run, rings):
    """A tenth of the counts needs ten times the exposure."""
    bright, dim = run(
        [rings.mean(counts=3e5), rings.mean(counts=3e4)],
        [{"detector_exposure_time": 0.1}] * 2,
    )
    assert Flag.LOW_COUNTS in dim.raised
    assert "expose" in dim.reason
    ratio = dim.values["time_to_target_s"] / bright.values["time_to_target_s"]
    assert ratio == pytest.approx(10.0, rel=0.25)
    unknown = run([rings.mean(counts=3e4)])[0]
    assert "time_to_target_s" not in unknown.values


def test_longer_exposures_are_not_more_beam(run, rings):
    readbacks = [{"detector_exposure_time": t} for t in (1.0, 1.0, 1.0, 0.02)]
    found = run([rings.mean()] * 3 + [0.02 * rings.mean()], readbacks)
    assert Flag.NO_BEAM not in found[3].raised
    assert found[3].values["beam_fraction"] == pytest.approx(1.0, abs=0.05)


def test_heating_is_science_not_misalignment(run, rings):
    steps = [0, 0, 0, 0, 2e-4, 5e-4, 1e-3, 4e-3, 1e-2]
    readbacks = [{"furnace_temperature": 300 + 1e5 * e} for e in steps]
    found = run([rings.mean(expansion=e) for e in steps], readbacks)
    assert {q.word for q in found} == {Word.GOOD}
    for step, quality in zip(steps[4:], found[4:], strict=True):
        assert quality.severities[Flag.RADIAL_SCALE] is Severity.INFORMATION
        # at angle 2 theta the radius D tan(2 theta) shrinks a little more than d grows
        ppm = -quality.values["radial_scale_ppm"]
        assert 0.95 < ppm / (1e6 * step) < 1.25
        assert "furnace_temperature" in quality.reason


def test_same_move_means_what_the_readbacks_say(run, rings):
    means = [rings.mean()] * 4 + [rings.mean(expansion=-1e-3)]
    (*_, alone) = run(means)
    assert alone.word is Word.SUSPECT
    assert "no readback explains it" in alone.reason
    settings = QualitySettings(geometry_keys=("detector_distance",))
    readbacks = [{"detector_distance": 200.0}] * 4 + [{"detector_distance": 200.2}]
    (*_, moved) = run(means, readbacks, settings)
    assert moved.word is Word.MISALIGNED
    assert moved.primary is Flag.RADIAL_SCALE


def test_a_transition_moves_no_center(run, rings):
    before = {"lines": (3, 4, 8, 11, 12, 16)}
    after = {"lines": (1, 2, 3, 4, 5, 6, 9, 13), "expansion": 2e-3}
    steps = [before] * 4 + [after] * 2
    found = run([rings.mean(**s) for s in steps])
    assert not [q for q in found if Flag.BEAM_CENTER in q.raised]
    assert not [q for q in found if q.word in (Word.BAD, Word.MISALIGNED)]


def test_repeated_bytes_are_named_with_their_first_index(facts, binning, rings, rng):
    fold = QualityFold(QualitySettings(), binning)
    frames = [rng.poisson(rings.mean()).astype(np.uint16) for _ in range(3)]
    dark = np.zeros((512, 512), np.uint16)
    order = [frames[0], frames[1], frames[0], frames[2], frames[2], dark, dark]
    found = [
        fold.judge(facts(frame, binning, index=index))
        for index, frame in enumerate(order)
    ]
    raised = {
        i: q.values["duplicate_of_index"]
        for i, q in enumerate(found)
        if Flag.DUPLICATE in q.raised
    }
    assert raised == {2: 0.0, 4: 3.0}
    assert found[2].word is Word.BAD


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2, 3], {}),
        ([0, 1, 4, 5], {2: 2.0}),
        ([10, 12, 11, 13], {1: 1.0, 2: -2.0, 3: 1.0}),
        ([5, 6, 0, 1], {}),  # staged again
        ([0, None, 2, 3], {}),  # announced without a number
    ],
)
def test_frame_numbers(run, rings, numbers, expected):
    readbacks = [
        {} if n is None else {"other_frame_number": 9.0, "detector_frame_number": n}
        for n in numbers
    ]
    found = run([rings.mean()] * len(numbers), readbacks)
    raised = {
        i: q.values["missing_frames"]
        for i, q in enumerate(found)
        if Flag.SEQUENCE in q.raised
    }
    assert raised == expected


def test_a_rewind_is_not_a_gap_and_a_clock_that_goes_back_is_one(
    facts, binning, rings, rng
):
    fold = QualityFold(QualitySettings(), binning)
    rows = [(1, 0, 10.0), (2, 1, 11.0), (2, 3, 12.0), (3, 4, 9.0)]
    found = []
    for index, (seq_num, number, time) in enumerate(rows):
        frame = rng.poisson(rings.mean()).astype(np.uint16)
        written = {"detector_frame_number": number, "detector_timestamp": time}
        found.append(
            fold.judge(facts(frame, binning, index=index, seq_num=seq_num, **written))
        )
    raised = [Flag.SEQUENCE in q.raised for q in found]
    assert raised == [False, False, False, True]
    assert "clock" in found[3].reason


def test_replay_gives_the_same_bits(facts, binning, rings, rng):
    means = [rings.mean()] * 4 + [0 * rings.mean(), rings.mean(dx=1.0, counts=3e6)]
    frames = [rng.poisson(mean).astype(np.uint16) for mean in means]
    every = [facts(frame, binning, index=i) for i, frame in enumerate(frames)]
    runs = []
    for _ in range(2):
        fold = QualityFold(QualitySettings(), binning)
        runs.append([repr(fold.judge(each)) for each in every])
    assert runs[0] == runs[1]
