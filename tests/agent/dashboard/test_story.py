"""What the page keeps of a run, and how it becomes pictures."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ringwatch.agent.dashboard import story as story_module
from ringwatch.agent.dashboard.film import FILM_BINS, film_column, film_zero
from ringwatch.agent.dashboard.message import pack
from ringwatch.agent.dashboard.preview import MASKED, preview
from ringwatch.agent.dashboard.rings import RingCurves
from ringwatch.agent.dashboard.stories import Stories
from ringwatch.agent.dashboard.story import Story
from ringwatch.agent.geometry import load_geometry

from .browsing import Recorded

Q = np.linspace(0.5, 9, 300)


def data(index: int, *, word: str = "good", **further: Any) -> dict[str, Any]:
    counts = np.full(Q.size, 100.0 + index)
    told = {
        "raw_index": index,
        "raw_seq_num": index + 1,
        "raw_time": 0.0,
        "verdict": word,
        "reason": "",
        "primary_flag": "",
        "also": "",
        "final": True,
        "dq": 0,
        "dq_evaluated": 0,
        "label": "",
        "label_prob": float("nan"),
        "unsure": True,
        "revision": 0,
        "not_evaluated": "",
        "intensity": counts,
        "sigma": np.sqrt(counts),
    }
    return told | further


def test_a_card_says_what_was_taught() -> None:
    story = Story("uid", "primary", "image", {}, Q)
    story.take(data(0, taught="onset", taught_class="hydrate"))
    card = story.card(0)
    assert card is not None
    assert (card["taught"], card["taught_class"]) == ("onset", "hydrate")


def test_the_reference_is_the_mean_of_the_first_sound_frames() -> None:
    story = Story("uid", "primary", "image", {}, Q)
    for index in range(9):
        story.take(data(index, word="bad" if index == 1 else "good"))
    assert story.reference_of == [0, 2, 3, 4, 5]
    mean = story.reference()["reference"]
    assert mean == pytest.approx(np.full(Q.size, 102.8), rel=1e-6)
    story.take(data(3, word="bad", revision=1))
    assert story.reference_of == [0, 2, 3, 4, 5]  # it stays what it was compared with


def test_a_browser_is_told_what_it_does_not_know() -> None:
    story = Story("uid", "primary", "image", {}, Q)
    for index in range(5):
        story.take(data(index))
    known = story.version
    story.take(data(5))
    story.take(data(2, word="suspect"))  # a later revision
    rows, parts = story.since(known)
    assert [row[0] for row in rows] == [2, 5]
    assert parts["film"].shape == (2, FILM_BINS)
    assert story.newest == 5
    assert story.since(story.version) == ([], {})
    assert len(story.since(0)[0]) == 6


def test_a_long_run_keeps_its_newest_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_module, "MOST_FRAMES", 50)
    monkeypatch.setattr(story_module, "MOST_PATTERNS", 10)
    story = Story("uid", "primary", "image", {}, Q)
    for index in range(120):
        story.take(data(index))
    assert story.indices == list(range(70, 120))
    assert story.card(69) is None
    assert story.card(70) is not None
    assert story.pattern(109) == {}
    assert story.pattern(110)["intensity"][0] == 210
    assert [row[0] for row in story.since(0)[0]] == story.indices


def test_another_attempt_goes_on_with_the_same_story() -> None:
    stories = Stories()
    for attempt in (1, 2):
        start = {"uid": f"derived-{attempt}", "raw_uid": "raw", "attempt": attempt}
        told = {"ringwatch": {"data": {"q": Q}}}
        descriptor = {"uid": f"d{attempt}", "run_start": start["uid"]}
        descriptor |= {"name": "primary", "configuration": told}
        stories.take("start", start, 0.0)
        stories.take("descriptor", descriptor, 0.0)
        event = {"descriptor": descriptor["uid"], "data": data(attempt)}
        stories.take("event", event, 0.0)
        stories.take("stop", {"run_start": start["uid"], "exit_status": "abort"}, 0.0)
    (story,) = stories.every
    assert story.indices == [1, 2]
    assert story.ended == "abort"


def test_levels_of_the_film_rise_with_the_logarithm() -> None:
    counts = np.full(1000, 100.0, np.float32)
    zero = film_zero(counts)
    level = [int(film_column(counts * 2**k, zero)[0]) for k in range(4)]
    assert np.diff(level).tolist() == [16, 16, 16]
    assert film_column(counts * 0, zero).max() == 0
    narrow = counts.copy()
    narrow[501] = 6400  # one point of four in a span is enough
    assert int(film_column(narrow, zero).max()) - level[0] == 96


def test_a_message_can_be_taken_apart() -> None:
    parts = {"a": np.arange(3, dtype=np.uint8), "b": np.array([[1.5, 2.5]])}
    message = pack({"kind": "x"}, parts)
    (length,) = struct.unpack("<I", message[:4])
    header = json.loads(message[4 : 4 + length])
    assert length % 4 == 0
    assert header["parts"] == [["a", "u1", [3]], ["b", "f4", [1, 2]]]
    body = message[4 + length :]
    assert list(body[:3]) == [0, 1, 2]
    assert np.frombuffer(body[4:], "<f4").tolist() == [1.5, 2.5]


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_the_preview_shows_spots_and_marks_what_is_masked(dtype: str) -> None:
    pixels = np.full((1500, 1300), 10, dtype)
    pixels[700, 600] = 9000  # one bright pixel of nine
    marker = {"uint16": 65535, "int32": -1, "float32": np.nan}[dtype]
    pixels[:60] = marker
    masked = np.zeros(pixels.shape, bool)
    masked[:, :90] = True
    small = preview(pixels, masked)
    assert small.block == 3
    assert small.levels.shape == (500, 433)
    assert (small.levels[:20] == MASKED).all()
    assert (small.levels[:, :30] == MASKED).all()
    assert small.levels[233, 200] == 254
    assert (small.levels[300:, 40:] == small.levels[400, 400]).all()
    assert small.levels[400, 400] < 100


def test_rings_lie_where_pyfai_puts_them(recorded: Recorded, tmp_path: Path) -> None:
    tilted = tmp_path / "tilted.poni"
    text = re.sub("Rot1: .*", "Rot1: 0.2", recorded.poni.read_text())
    tilted.write_text(re.sub("Rot2: .*", "Rot2: 0.1", text))
    for path in (recorded.poni, tilted):
        geometry = load_geometry(path)
        shape = tuple(geometry.detector.shape)
        (curves,) = RingCurves(geometry, shape).at([3.0])
        assert curves
        points = np.concatenate([np.reshape(curve, (-1, 2)) for curve in curves])
        q = geometry.qFunction(points[:, 1] - 0.5, points[:, 0] - 0.5) / 10
        assert np.abs(q - 3.0).max() < 0.01
