"""Alarms call people once per cause, and neither at the first blink nor all night."""

from __future__ import annotations

import math

import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality import Alarms, unread
from ringwatch.agent.quality.findings import clear, raised
from ringwatch.agent.quality.words import quality_of

THRESHOLD = 5.3


def sound(z: float = 0.0):
    return quality_of([*(clear(f) for f in Flag if f is not Flag.BEAM_CENTER), off(z)])


def off(z: float):
    if z > THRESHOLD:
        return raised(Flag.BEAM_CENTER, 1.0, "the centre moved", z=z)
    return clear(Flag.BEAM_CENTER, 0.0, z=z)


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
