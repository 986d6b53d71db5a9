"""Which story the page tells, and how many it keeps."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

from ringwatch.agent.dashboard.stories import MOST_STORIES, Stories

from .test_story import data


def opened(stories: Stories, run: str, stream: str = "primary") -> str:
    """Begin a run, or a further stream of it; uid of the descriptor."""
    stories.take("start", {"uid": f"of {run}", "raw_uid": run}, 0.0)
    descriptor = {"uid": f"{run} {stream}", "run_start": f"of {run}", "name": stream}
    stories.take("descriptor", descriptor, 0.0)
    return str(descriptor["uid"])


def event(stories: Stories, descriptor: str, index: int, at: float, **told: Any) -> str:
    """Give one verdict; what is shown then."""
    doc = {"descriptor": descriptor, "data": data(index, **told)}
    stories.take("event", doc, at)
    assert stories.current is not None
    return f"{stories.current.uid} {stories.current.stream}"


def test_the_page_stays_with_a_story_until_it_ends_or_is_quiet() -> None:
    stories = Stories()
    first, second = opened(stories, "a"), opened(stories, "a", "monitor")
    other = opened(stories, "b")
    assert event(stories, first, 0, 10.0) == first
    for index in range(4):  # all three go on at the same time
        at = 10.1 + index
        assert event(stories, second, index, at) == first
        assert event(stories, other, index, at) == first
        assert event(stories, first, 1 + index, at) == first
    assert event(stories, other, 4, 20.0) == other  # the first one was quiet
    assert event(stories, first, 5, 20.1) == other
    stories.take("stop", {"run_start": "of b", "exit_status": "success"}, 20.2)
    assert event(stories, first, 6, 20.3) == first


def test_two_data_keys_of_a_stream_are_two_stories() -> None:
    stories = Stories()
    descriptor = opened(stories, "a")
    for index in range(3):
        for key in ("left", "right"):
            word = "good" if key == "left" else "bad"
            event(stories, descriptor, index, 1.0, raw_data_key=key, word=word)
    for key, word in (("left", "good"), ("right", "bad")):
        story = stories.find("a", "primary", key)
        assert story is not None
        card = story.card(1)
        assert card is not None
        assert (card["raw_data_key"], card["verdict"]) == (key, word)


@pytest.mark.parametrize("streams", [False, True])
def test_no_more_than_a_few_stories_are_kept_though_none_ended(streams: bool) -> None:
    stories = Stories()
    kept = []
    for number in range(3 * MOST_STORIES):
        run, stream = ("a", f"s{number}") if streams else (f"r{number}", "primary")
        event(stories, opened(stories, run, stream), 0, 100.0 * number)
        assert stories.current is not None
        kept.append(weakref.ref(stories.current))
    assert len(stories.every) == MOST_STORIES
    assert sum(each() is not None for each in kept) == MOST_STORIES
