"""A lesson is of the stream and data key that it names."""

from __future__ import annotations

from typing import Any

import numpy as np

from ringwatch.agent.learned.lessons import Lesson, learn
from ringwatch.agent.learned.stored_frames import StoredFrames

from .taught_heads import CEO2, Q, rings

RNG = np.random.default_rng(5)


def stored(uid: str, series: dict[str, list[Any]]) -> StoredFrames:
    """Patterns drawn from their means, by stream."""
    keys = [
        (s, "det_image", i) for s, means in series.items() for i in range(len(means))
    ]
    means = np.array([20.0 + mean for each in series.values() for mean in each])
    return StoredFrames(
        raw_uid=uid,
        start={},
        q=Q,
        keys=keys,
        said=[{} for _ in keys],
        intensity=RNG.poisson(means).astype(float),
        embedding=np.full((len(keys), 64), np.nan),
    )


def test_frames_of_the_same_index_in_another_stream_are_not_taught() -> None:
    plain, shown = 300 * rings([1.5, 2.9, 4.8]), 300 * rings([1.5, 2.9, 4.8, *CEO2])
    taught = stored(
        "taught", {"again": [plain] * 20, "primary": [plain] * 10 + [shown] * 10}
    )
    others = [
        stored(f"run {i}", {"primary": [300 * rings(RNG.uniform(1.0, 6.0, 7))] * 6})
        for i in range(8)
    ]
    frames = {"taught": taught.keys_of(range(10, 20), "primary")}
    lesson = Lesson(name="ceria", by="ada", frames=frames, without={})
    flag, card = learn(lesson, [taught, *others])
    assert card["taught"] == {
        "taught": [["primary", "det_image", i] for i in range(10, 20)]
    }
    assert card["recall_taught"] == 1.0
    assert flag.alarms.frames == 8 * 6 + 10  # those before it, of its stream alone
