"""The page while a scan runs: what it shows, and what people do with it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.agent.learned.registry import Registry
from ringwatch.simulated_beamline.faults import DetectorShift
from ringwatch.simulated_beamline.scenarios import powder_beamline

from ..learned.taught_heads import ceo2_flag  # noqa: TID252 - tests are no package
from .browsing import FRAMES, LOST, MOVED, READS, Look, Recorded

Make = Callable[..., Agent]
Open = Callable[..., Look]

COLOURS = """([id, x, y]) => {
    const canvas = document.querySelector(`[data-testid=${id}]`);
    const place = [x * canvas.width, y * canvas.height].map(Math.floor);
    return [...canvas.getContext('2d').getImageData(...place, 1, 1).data];
}"""


def test_a_scan_is_seen_while_it_runs(
    look: Open, run_engine: RunEngine, tmp_path: Path
) -> None:
    beamline = powder_beamline(
        tmp_path, detector=512, faults=[DetectorShift(first=8, dx_px=0.8)]
    )
    agent = Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        detector="detector_image",
        page="127.0.0.1:0",
    )
    with agent:
        assert agent.wait_idle(120)
        seen = look(agent.page_url)
        seen.until_word("waiting")
        run_engine.subscribe(agent)
        run_engine(beamline.step_scan(16))
        seen.until_drawn(15)
        seen.until_word("misaligned")
        assert "beam centre moved" in seen("reason").inner_text()
        assert "beam_center" in seen("raised").inner_text()
        assert "analysed 16 of 16" in seen("counts").inner_text()
        assert "cF" in seen("classes").inner_text()
        seen.until_said("picture-title", "frame 15")
        seen.until(
            "() => document.querySelector('#lines-said').innerText.includes('a = 5.41')"
        )
        assert "rings of the predicted class" in str(
            seen("image").get_attribute("aria-label")
        )


def test_a_click_shows_an_earlier_frame_and_escape_goes_back(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    seen = look(agent.page_url, expected=READS)
    recorded.feed(agent)
    seen.until_drawn(FRAMES - 1)
    bright = seen.page.evaluate(COLOURS, ["image", 0.7, 0.5])
    seen.choose(LOST[1])
    seen.until_said("picture-title", f"frame {LOST[1]}")
    assert "no_beam" in seen("raised").inner_text()
    assert seen.page.evaluate(COLOURS, ["image", 0.7, 0.5]) != bright
    seen("live").click()
    seen.until_said("detail-title", "newest")
    seen.choose(3)
    seen.page.keyboard.press("Escape")
    seen.until_said("detail-title", "newest")
    assert not seen("live").is_visible()


def test_the_tape_has_a_row_for_each_flag_that_was_raised(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    recorded.feed(agent)
    seen = look(agent.page_url, expected=READS)  # late: all of it is told at once
    seen.until_drawn(FRAMES - 1)
    seen.until_said("strip-said", "no_beam")
    names = seen.page.locator("#tape-names span").all_inner_texts()
    assert names[0] == "no_beam"
    assert "beam_center" in names

    def inked(flag: str, index: int) -> bool:
        place = [(index + 0.5) / 40, (names.index(flag) + 0.4) / len(names)]
        return bool(seen.page.evaluate(COLOURS, ["tape", *place])[3])

    assert [inked("no_beam", i) for i in (5, *LOST, 20)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert [inked("beam_center", i) for i in (5, MOVED, FRAMES - 1)] == [
        False,
        True,
        True,
    ]


def test_what_was_taught_is_told_beside_the_flags(
    agent_of: Make, look: Open, recorded: Recorded, tmp_path: Path
) -> None:
    head, card = ceo2_flag()
    registry = Registry(tmp_path / "heads")
    registry.shadow("ceria", replace(head, threshold=-1e3), card, "ada")
    registry.promote("ceria", "ada", although_unsure=True)
    agent = agent_of(heads=registry.folder)
    recorded.feed(agent)
    seen = look(agent.page_url)
    seen.until_drawn(FRAMES - 1)
    seen.until_said("raised", "ceria (taught)")
    assert "beam_center" in seen("raised").inner_text()


def test_all_of_it_works_without_a_mouse(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    recorded.feed(agent)
    seen = look(agent.page_url)
    seen.until_drawn(FRAMES - 1)
    seen.page.keyboard.press("Tab")
    assert (
        seen.page.evaluate("document.activeElement.textContent") == "Skip to the frames"
    )
    seen.page.keyboard.press("Enter")
    seen.page.keyboard.press("Tab")
    strip = seen("strip")
    strip.focus()
    for key, expected in (("Home", 0), ("ArrowRight", 1), ("PageUp", 11), ("End", 29)):
        seen.page.keyboard.press(key)
        seen.until_said("detail-title", f"Frame {expected} (chosen)")
        assert strip.get_attribute("aria-valuenow") == str(expected)
    seen.page.keyboard.press("ArrowLeft")
    seen.until_said("detail-title", "Frame 28 (chosen)")
    assert "beam_center" in str(strip.get_attribute("aria-valuetext"))
    outline = strip.evaluate("e => getComputedStyle(e).outlineStyle")
    assert outline != "none"


def test_a_change_is_told_to_who_listens(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    agent = agent_of()
    seen = look(agent.page_url)
    recorded.feed(agent)
    seen.until_drawn(FRAMES - 1)
    announce = seen.page.locator("#announce")
    seen.until(
        "() => document.getElementById('announce').textContent.includes('misaligned')"
    )
    assert announce.get_attribute("aria-live") == "polite"


def test_silence_turns_the_lamp_grey_and_it_comes_back(
    agent_of: Make, look: Open, recorded: Recorded
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    agent = agent_of(page=f"127.0.0.1:{port}")
    lost = ("WebSocket", "ERR_CONNECTION_REFUSED", "Failed to load")
    seen = look(agent.page_url, expected=lost)
    recorded.feed(agent, stop=False)
    seen.until_word("misaligned")
    seen.until_word("stale")  # nothing new for five seconds
    assert "The run has not ended" in seen("reason").inner_text()
    agent.close()
    seen.until_said("link", "reconnecting")
    seen.until_said("reason", "cannot be reached")
    again = agent_of(page=f"127.0.0.1:{port}")
    recorded.feed(again)
    seen.until_said("link", "live")
    seen.until_word("misaligned")
