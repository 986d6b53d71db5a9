"""axe-core's rules for accessible pages (vendored beside this, MPL-2.0)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from ringwatch.agent import Agent
from ringwatch.agent.dashboard.page import KEY

from .browsing import FRAMES, Look, Recorded

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}


def faults(page: Page) -> list[str]:
    """What axe finds serious or critical; it is let in past the page's own policy."""
    page.evaluate(AXE)
    found: Any = page.evaluate("() => axe.run(document)")
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE], ids=["screen", "phone"])
def test_axe_finds_nothing_serious(
    agent_of: Callable[..., Agent],
    look: Callable[..., Look],
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    device: dict[str, Any],
) -> None:
    monkeypatch.setenv(KEY, "a key")
    agent = agent_of(state=tmp_path, classifier="auto")
    seen = look(agent.page_url, color_scheme=scheme, bypass_csp=True, **device)
    assert seen.page.evaluate("document.documentElement.dataset.theme") == scheme
    assert faults(seen.page) == []  # before there is anything
    recorded.feed(agent)
    seen.until_drawn(FRAMES - 1)
    for frame in (3, 13):
        seen.choose(frame)
        assert faults(seen.page) == []
    seen("key").fill("a key")
    seen.page.keyboard.press("Enter")
    seen("label-form").wait_for()
    assert faults(seen.page) == []
    seen("runs-button").click()
    seen("run").wait_for()
    assert faults(seen.page) == []


def test_the_theme_may_be_chosen(agent_of: Callable[..., Agent], look: Any) -> None:
    seen = look(agent_of().page_url, color_scheme="dark")
    theme = "document.documentElement.dataset.theme"
    assert seen.page.evaluate(theme) == "dark"
    seen("theme").click()
    assert seen.page.evaluate(theme) == "light"
    seen.page.reload()
    assert seen.page.evaluate(theme) == "light"


def test_a_phone_needs_no_sideways_scrolling(
    agent_of: Callable[..., Agent], look: Callable[..., Look], recorded: Recorded
) -> None:
    agent = agent_of()
    recorded.feed(agent)
    seen = look(agent.page_url, **PHONE)
    seen.until_drawn(FRAMES - 1)
    wide = seen.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["viewport"]["width"]  # type: ignore[index]
    size = seen("word").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert size > 40  # pixels: read from afar
