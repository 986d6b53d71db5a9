"""Alarms call people once per cause, and neither at the first blink nor all night."""

from __future__ import annotations

import math

import pytest

from ringwatch.agent.nouns import Flag, Severity
from ringwatch.agent.quality import Alarms, unread
from ringwatch.agent.quality.findings import clear, not_evaluated, raised
from ringwatch.agent.quality.words import quality_of

THRESHOLD = 5.3


def sound(z: float = 0.0):
    return quality_of([*(clear(f) for f in Flag if f is not Flag.BEAM_CENTER), off(z)])


def off(z: float):
    if z > THRESHOLD:
        return raised(Flag.BEAM_CENTER, 1.0, "the centre moved", z=z)
    return clear(Flag.BEAM_CENTER, 0.0, z=z)


def frame(*findings):
    said = {finding.flag for finding in findings}
    return quality_of([*(clear(f) for f in Flag if f not in said), *findings])


def held(alarm, after):
    """Frames for which an alarm outlives its cause, of 200 that follow."""
    found = follow([alarm, alarm, *[after] * 200])
    assert found[1] is not None
    assert found[-1] is None
    return sum(a is not None for a in found[2:])


def exact():
    return quality_of([raised(Flag.DUPLICATE, 3.0, "a stuck buffer")])


def follow(qualities):
    alarms = Alarms(THRESHOLD)
    return [alarms.take(i, q) for i, q in enumerate(qualities)]


def test_one_frame_is_no_alarm_and_two_are():
    moved = sound(30.0)
    assert follow([sound(), moved, sound(), sound()]) == [None] * 4
    found = follow([sound(), moved, moved, moved])
    assert found[:2] == [None, None]
    assert found[2].flag is Flag.BEAM_CENTER
    assert (found[2].since, found[2].new) == (1, True)
    assert (found[3].since, found[3].new) == (1, False)


def test_an_exact_flag_does_not_wait():
    found = follow([sound(), exact()])
    assert found[1].flag is Flag.DUPLICATE
    assert found[1].new


def test_it_clears_only_well_below_the_threshold_and_for_several_frames():
    moved = sound(30.0)
    near = [sound(THRESHOLD * 0.6)] * 20  # clear, but no more than that
    assert all(follow([moved, moved, *near])[1:])
    found = follow([moved, moved, *[sound(0.5)] * 6])
    assert [a is not None for a in found] == [False] + [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    "after",
    [
        clear(
            Flag.BEAM_CENTER, 0.01, z=20.0
        ),  # bright frames, and nothing that matters
        not_evaluated(Flag.BEAM_CENTER, "too few rings"),
        raised(Flag.BEAM_CENTER, 1.0, "wanted", severity=Severity.INFORMATION),
    ],
    ids=lambda finding: finding.state.value,
)
def test_without_proof_of_its_end_it_stays_longer_but_not_for_ever(after):
    assert held(sound(30.0), frame(after)) == 49


def test_the_count_starts_over_with_each_frame_that_has_the_cause():
    moved, near, calm = sound(30.0), sound(20.0), sound()
    assert all(follow([moved, moved, *[near] * 49, moved, *[near] * 49])[1:])
    assert all(follow([moved, moved, *[calm] * 4, moved, *[calm] * 4])[1:])
    # the same where the cause is raised, but not the root of the frame
    both = frame(off(30.0), raised(Flag.DUPLICATE, 3.0, "a stuck buffer"))
    found = follow([both, both, *[sound(30.0)] * 2, *[calm] * 5])
    assert [a.flag if a else None for a in found] == [
        *[Flag.DUPLICATE] * 3,
        *[Flag.BEAM_CENTER] * 5,
        None,
    ]


def test_the_beam_is_back_where_it_is_a_little_weaker_than_before():
    dump = frame(raised(Flag.NO_BEAM, 0.0, "no beam", z=-900.0))
    refilled = frame(clear(Flag.NO_BEAM, 0.97, z=-30.0))
    assert held(dump, refilled) == 4


def test_two_frames_of_another_cause_do_not_count_where_the_first_cause_came_between():
    moved, tilted = sound(30.0), frame(raised(Flag.TILT, 1.0, "a tilt", z=30.0))
    found = follow([moved, moved, tilted, *[moved] * 50, tilted])
    assert {a.flag for a in found[1:]} == {Flag.BEAM_CENTER}
    assert follow([moved, moved, tilted, tilted])[3].flag is Flag.TILT


def test_it_is_told_once_per_cause_and_counted_afterwards():
    moved, calm = [sound(30.0)] * 2, [sound()] * 6
    found = follow([*moved, *calm, *moved, *calm, exact()])
    told = [(a.flag, a.episode) for a in found if a is not None and a.new]
    assert told == [(Flag.BEAM_CENTER, 1), (Flag.DUPLICATE, 1)]
    assert max(a.episode for a in found if a and a.flag is Flag.BEAM_CENTER) == 2


def test_a_graver_cause_takes_over():
    found = follow([sound(30.0), sound(30.0), exact()])
    assert found[2].flag is Flag.DUPLICATE


def test_frames_that_nobody_could_read_change_nothing():
    lost = unread("the file is gone")
    assert follow([lost] * 3) == [None] * 3
    moved = sound(30.0)
    found = follow([moved, lost, moved, *[lost] * 9])
    assert [a is not None for a in found] == [False, False] + [True] * 10


@pytest.mark.parametrize("flag", [Flag.LOW_COUNTS, Flag.TEXTURE])
def test_nobody_is_called_for_what_is_suspect_or_science(flag):
    mild = quality_of([raised(flag, math.nan, "mild")])
    assert follow([mild] * 5) == [None] * 5
