"""Labels on the page: who has the key may speak, others may read."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ringwatch.agent import Agent
from ringwatch.agent.dashboard.page import KEY
from ringwatch.agent.labels import LabelStore
from ringwatch.benchmarks.page import feed, renamed

from .browsing import FRAMES, Look, Recorded

Make = Callable[..., Agent]
Open = Callable[..., Look]
SECRET = "the rings are round"


def test_a_label_is_kept_for_who_has_the_key(
    agent_of: Make,
    look: Open,
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    agent = agent_of(state=tmp_path / "state")
    recorded.feed(agent)
    seen = look(agent.page_url, expected=("401",))
    seen.until_drawn(FRAMES - 1)
    assert not seen("label-form").is_visible()
    seen("key").fill("let me in")
    seen.page.keyboard.press("Enter")
    seen.until_said("teach-said", "wrong key")
    assert not seen("label-form").is_visible()
    seen("key").fill(SECRET)
    seen.page.keyboard.press("Enter")
    seen("label-form").wait_for()
    seen.choose(4)
    seen.page.get_by_label("Your name").fill("Ada")
    seen.page.get_by_role("button", name="Correct").click()
    seen.until_said("teach-said", "Kept: frame 4, correct")
    seen.page.get_by_label("Class").fill("my new phase")
    seen.page.get_by_label("Comment").fill("seen before")
    seen.page.get_by_role("button", name="New class").click()
    seen.until_said("labels", "Frame 4: class my new phase seen before – Ada")
    for button in ("Wrong", "Comment"):
        seen.page.get_by_label("Comment").fill(f"for {button}")
        seen.page.get_by_role("button", name=button).click()
        seen.until_said("labels", f"for {button}")
    agent.close()
    with LabelStore(tmp_path / "state" / "labels") as store:
        labels = store.of_run(recorded.uid)
    assert [label.says for label in labels] == ["correct", "class", "wrong", "comment"]
    first = labels[0]
    assert (first.index, first.by, first.verdict) == (4, "Ada", "good")
    assert first.data_key == "detector_image"
    assert first.analysis_id == agent.analysis.analysis_id


def test_a_label_is_of_the_frame_that_was_seen_while_frames_go_on(
    agent_of: Make,
    look: Open,
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    agent = agent_of(state=tmp_path / "state")
    recorded.feed(agent)
    seen = look(agent.page_url)
    seen.until_drawn(FRAMES - 1)
    seen("key").fill(SECRET)
    seen.page.keyboard.press("Enter")
    seen.until_said("label-frame", "Labelling the newest frame")

    def scan() -> None:
        for letter in "ab":
            feed(agent, renamed(recorded.documents, letter), 8.0)

    scanning = threading.Thread(target=scan)
    scanning.start()
    seen.until("() => ringwatch.run.startsWith('aaaa') && ringwatch.newest >= 3")
    seen.page.get_by_label("Your name").click()
    seen.until_said("label-frame", "Labelling frame")
    held = int(re.findall(r"\d+", seen("label-frame").inner_text())[0])
    assert held < FRAMES - 10
    seen.until_said("detail-title", f"Frame {held} (chosen)")
    seen.page.get_by_label("Your name").fill("Ada")
    seen.until("() => ringwatch.run.startsWith('bbbb') && ringwatch.newest >= 3")
    seen.page.get_by_role("button", name="Wrong").click()
    seen.until_said("teach-said", f"Kept: frame {held}, wrong")
    scanning.join()
    seen("live").click()
    seen.until_said("label-frame", "Labelling the newest frame")
    agent.close()
    with LabelStore(tmp_path / "state" / "labels") as store:
        labels = store.of_run("a" * 8 + recorded.uid[8:])
    assert [label.index for label in labels] == [held]


def test_what_the_server_cannot_answer_any_more_stays_said(
    agent_of: Make,
    look: Open,
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    agent = agent_of(state=tmp_path / "state")
    recorded.feed(agent)
    seen = look(agent.page_url, expected=("WebSocket", "ERR_", "Failed to load"))
    seen.until_drawn(FRAMES - 1)
    agent.close()
    seen("key").fill(SECRET)
    seen.page.keyboard.press("Enter")
    seen.until_said("teach-said", "cannot be reached")
    seen.page.locator("#strip").focus()
    seen.page.keyboard.press("Home")
    seen.until_said("pattern-said", "Frame 0 cannot be shown")
    seen.page.wait_for_timeout(1200)  # it was drawn again by now
    assert "Frame 0 cannot be shown" in seen("pattern-said").inner_text()


def test_a_label_without_a_name_is_refused_and_says_why(
    agent_of: Make,
    look: Open,
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    agent = agent_of(state=tmp_path / "state")
    recorded.feed(agent)
    seen = look(agent.page_url, expected=("422",))
    seen.until_drawn(FRAMES - 1)
    seen("key").fill(SECRET)
    seen.page.keyboard.press("Enter")
    seen("label-form").wait_for()
    seen.page.get_by_label("Your name").fill(" ")
    seen.page.get_by_role("button", name="New class").click()
    seen.until_said("teach-said", "by is empty")


def test_without_a_key_the_page_is_for_reading(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    recorded.feed(agent)
    seen = look(agent.page_url)
    seen.until_drawn(FRAMES - 1)
    seen.page.wait_for_load_state("networkidle")
    assert not seen("teach").is_visible()
    answer = seen.page.request.post(
        f"{agent.page_url}api/labels", headers={"X-Ringwatch-Key": ""}, data={}
    )
    assert answer.status == 403
    assert "RINGWATCH_PAGE_KEY" in answer.json()["detail"]
