"""The review queue looks at so many frames, and no more."""

from __future__ import annotations

import itertools

from ringwatch.agent.labels.queue import evenly


def test_of_more_frames_an_even_choice_is_compared() -> None:
    frames = [("run", "primary", "det_image", i) for i in range(1000)]
    assert evenly(frames, 1000) == frames
    assert [each[3] for each in evenly(frames, 4)] == [0, 250, 500, 750]
    chosen = [each[3] for each in evenly(frames, 300)]
    steps = {b - a for a, b in itertools.pairwise(chosen)}
    assert len(chosen) == 300
    assert steps == {3, 4}
