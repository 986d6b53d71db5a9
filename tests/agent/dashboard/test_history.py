"""Earlier runs come from Tiled; without Tiled the page says so, and goes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled

from .browsing import FRAMES, Look, Recorded, await_until

Make = Callable[..., Agent]
Open = Callable[..., Look]


@pytest.fixture(scope="module")
def analysed(tiled: EmbeddedTiled, recorded: Recorded) -> str:
    """A run, raw and analysed, in Tiled; its uid."""
    writer = TiledWriter(tiled.catalog("raw"), batch_size=1000)
    for name, doc in recorded.documents:
        writer(name, dict(doc))
    agent = Agent(
        **recorded.files, classifier="none", tiled=tiled.uri, api_key=tiled.api_key
    )
    with agent:
        recorded.feed(agent)
    return recorded.uid


@pytest.mark.usefixtures("analysed")
def test_a_fresh_agent_shows_the_newest_stored_run(
    agent_of: Make, look: Open, tiled: EmbeddedTiled
) -> None:
    agent = agent_of(tiled=tiled.uri, api_key=tiled.api_key)
    seen = look(agent.page_url)
    seen.until_word("waiting")
    seen.until_said("title", "Earlier run: Scan 1, ceria")
    seen.until_said("detail-title", f"Frame {FRAMES - 1} (chosen)")
    seen.until_said("strip-said", "no_beam")
    seen.until_said("picture-title", f"frame {FRAMES - 1}")  # pixels by Tiled's word
    seen.choose(13)
    seen.until_said("raised", "no_beam")
    seen.until_said("picture-title", "frame 13")


def test_an_earlier_run_is_chosen_while_another_goes_on(
    agent_of: Make,
    look: Open,
    tiled: EmbeddedTiled,
    analysed: str,
    recorded: Recorded,
) -> None:
    agent = agent_of(tiled=tiled.uri, api_key=tiled.api_key)
    other = [
        (name, _renamed(doc, analysed, "c0ffee00")) for name, doc in recorded.documents
    ]
    Recorded(recorded.poni, recorded.mask, other).feed(agent, stop=False)
    seen = look(agent.page_url)
    seen.until_drawn(FRAMES - 1)
    seen("runs-button").click()
    runs = seen("run")
    runs.nth(1).wait_for()
    runs.last.click()
    seen.until_said("title", "Earlier run: Scan 1")
    seen.until_said("detail-title", "(chosen)")
    seen("live").click()
    seen.until_said("detail-title", "(newest)")
    assert "Earlier" not in seen("title").inner_text()


def test_without_tiled_the_page_says_so_and_goes_on(
    agent_of: Make, look: Open, recorded: Recorded, tmp_path: Path
) -> None:
    with EmbeddedTiled(tmp_path / "away") as server:
        gone = {"tiled": server.uri, "api_key": server.api_key}
    agent = agent_of(**gone, state=tmp_path / "state")
    seen = look(agent.page_url)
    seen.until_said("title", "does not answer")
    assert agent.wait_idle(120)
    for name, doc in recorded.documents:
        agent(name, doc)
    seen.until_drawn(FRAMES - 1)
    seen.until_word("misaligned")
    seen("runs-button").click()
    seen.until_said("runs-said", "does not answer")
    assert seen("run").count() == 1  # the one in memory
    seen.choose(5)
    seen.until_said("picture-title", "frame 5")  # its file is still there


def test_a_tiled_that_says_nothing_holds_up_only_who_asks_it(
    agent_of: Make, recorded: Recorded, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # its kernel takes the calls
        place = f"http://127.0.0.1:{mute.getsockname()[1]}"
        agent = agent_of(tiled=place, api_key="secret", state=tmp_path / "state")
        assert agent.wait_idle(120)
        for name, doc in recorded.documents:
            agent(name, doc)
        seen = agent.analysis.frames_seen
        assert seen is not None
        place = recorded.uid, "primary", "detector_image"
        await_until(
            lambda: seen.find((*place, FRAMES - 2)) is not None, "frames did not pass"
        )
        del seen._locators[*place, 3]  # as after many others
        frame = f"{agent.page_url}api/frame?uid={recorded.uid}&index="

        def ask() -> None:
            with suppress(OSError):
                urlopen(f"{frame}3", timeout=60).read()

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1)
        assert b'"picture"' in urlopen(f"{frame}5", timeout=5).read()
        assert asking.is_alive()
        agent.close(1)
    asking.join(30)
    assert not asking.is_alive()


def test_pixels_that_are_gone_are_told_of(
    agent_of: Make, look: Open, recorded: Recorded, tmp_path: Path
) -> None:
    agent = agent_of()
    recorded.feed(agent)
    kept = agent.analysis.frames_seen
    assert kept is not None
    locator = kept.find((recorded.uid, "primary", "detector_image", 7))
    assert locator is not None
    away = tmp_path / "moved.h5"
    locator.path.rename(away)
    try:
        seen = look(agent.page_url)
        seen.until_drawn(FRAMES - 1)
        seen.choose(7)
        seen.until_said("no-picture", "No picture")
        assert str(locator.path.name) in seen("no-picture").inner_text()
        assert "Pattern of" in str(seen("plot").get_attribute("aria-label"))
    finally:
        away.rename(locator.path)


def test_files_outside_the_allowed_folders_are_not_shown(
    agent_of: Make, recorded: Recorded, tmp_path: Path
) -> None:
    agent = agent_of(data_roots=[tmp_path])
    recorded.feed(agent)
    answer = urlopen(f"{agent.page_url}api/frame?uid={recorded.uid}&index=3")
    told = answer.read()
    assert b'"no_picture"' in told
    assert b'"picture"' not in told


def _renamed(doc: dict[str, Any], uid: str, other: str) -> Any:
    """The same documents under other uids."""
    if isinstance(doc, dict):
        return {key: _renamed(value, uid, other) for key, value in doc.items()}
    if isinstance(doc, list):
        return [_renamed(value, uid, other) for value in doc]
    if isinstance(doc, str) and len(doc) >= 36 and doc[8] == "-":
        return other + doc[8:]
    return doc
