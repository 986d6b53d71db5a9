"""The run's first frames: which of them make its reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.quality.light.first_frames import choose_frames

from .drawn_profiles import Drawn

SETTINGS = QualitySettings()


@pytest.fixture
def looked(rng):
    """Frames of so much light, each with its readbacks."""
    drawn = Drawn()

    def look(light):
        seen = drawn.seen(light * drawn.halo(), rng)
        counts = float(seen.profiles.mean @ seen.profiles.whole)
        profiles = replace(seen.profiles, counts=counts, dark_counts=0.0)
        return replace(seen, profiles=profiles)

    def looks(lights, readbacks=None, counts=1e6):
        every = readbacks or [{}] * len(lights)
        return [
            (drawn.facts(i, **now), look(light * counts))
            for i, (light, now) in enumerate(zip(lights, every, strict=True))
        ]

    return looks


@pytest.mark.parametrize(
    ("lights", "chosen"),
    [
        ([1, 1], []),
        ([1, 1.02, 0.99], [0, 1, 2]),
        ([1, 1, 0.4], []),
        ([1, 1, 0.4, 1], [0, 1, 3]),
        ([0.4, 1, 1, 1], [1, 2, 3]),
        ([1, 1, 0.4, 0.4], [0, 1]),  # it has come to stay
        ([1, 0.4, 0.4, 1], [1, 2]),
        ([1, 0.7, 0.4], [0, 1, 2]),  # none agree
    ],
)
def test_frames_that_agree_are_chosen(looked, lights, chosen):
    frames = looked(lights)
    assert choose_frames(frames, SETTINGS) == [frames[i] for i in chosen]


def test_light_is_compared_over_the_monitor(looked):
    decay = [{"i0": 100.0 * light} for light in (1.0, 0.8, 0.6)]
    frames = looked([1.0, 0.8, 0.6], decay)
    assert choose_frames(frames, SETTINGS) == frames
    lying = [{"i0": 100.0}, {"i0": 50.0}, {"i0": 100.0}, {"i0": 100.0}]
    frames = looked([1.0] * 4, lying)
    assert choose_frames(frames[:3], SETTINGS) == []
    assert choose_frames(frames, SETTINGS) == [frames[i] for i in (0, 2, 3)]


@pytest.mark.parametrize("gone", [0.0, -3.0, np.nan])
def test_a_monitor_that_is_not_there_in_all_frames_is_not_asked(looked, gone):
    frames = looked([1.0] * 3, [{"i0": 100.0}, {"i0": gone}, {"i0": 100.0}])
    assert choose_frames(frames, SETTINGS) == frames


@pytest.mark.parametrize("i0", [None, (100.0, 50.0, 100.0), (100.0, 100.0, 100.0)])
def test_half_the_exposure_is_half_the_light(looked, i0):
    """Without a monitor, with one that counts, and with one that gives a rate."""
    times = (1.0, 0.5, 1.0)
    readbacks = [{"exposure_time": time} for time in times]
    if i0 is not None:
        for now, value in zip(readbacks, i0, strict=True):
            now["i0"] = value
    frames = looked(times, readbacks)
    assert choose_frames(frames, SETTINGS) == frames


def test_counting_noise_alone_leaves_no_frame_out(looked):
    """Of 400 counts: 5 %, more than the tolerance."""
    for _ in range(50):
        frames = looked([1.0] * 3, counts=400)
        assert choose_frames(frames, SETTINGS) == frames


def test_as_many_are_taken_as_settings_say(looked):
    five = QualitySettings(reference_frames=5)
    frames = looked([1, 0.4, 1, 0.4, 1, 1, 1])
    assert choose_frames(frames[:6], five) == []
    assert choose_frames(frames, five) == [frames[i] for i in (0, 2, 4, 5, 6)]


def test_one_frame_is_a_reference_where_settings_say_so(looked):
    frames = looked([1.0])
    assert choose_frames(frames, QualitySettings(reference_frames=1)) == frames
