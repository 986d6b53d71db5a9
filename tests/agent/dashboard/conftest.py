"""A real Chromium, a real run of the simulated beamline, and an agent with a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.benchmarks import page
from ringwatch.simulated_beamline.faults import BeamLost, DetectorShift
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .browsing import FRAMES, LOST, MOVED, Look, Recorded, look_at


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's own Chromium, headless.

    Of one module: Playwright keeps an event loop running in the tests' own thread, in
    which no later test could run one.
    """
    try:
        with page.chromium() as browser:
            yield browser
    except page.NoBrowserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Documents of a real scan: the beam is lost for a while, the detector slips."""
    folder = tmp_path_factory.mktemp("recorded")
    faults = [
        BeamLost(first=LOST[0], last=LOST[-1]),
        DetectorShift(first=MOVED, dx_px=0.8),
    ]
    beamline = powder_beamline(folder, detector=256, faults=faults, pace=0.0)
    scan = beamline.step_scan(FRAMES, md={"sample_name": "ceria"})
    documents = page.recorded(beamline, scan)
    return Recorded(beamline.poni_path, beamline.mask_path, documents)


@pytest.fixture
def agent_of(recorded: Recorded) -> Iterator[Callable[..., Agent]]:
    """Agents with a page, closed in the end; keywords are settings."""
    agents: list[Agent] = []

    def make(**settings: Any) -> Agent:
        told = {"page": "127.0.0.1:0", "classifier": "none"} | settings
        agents.append(Agent(**recorded.files, **told))
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture
def look(chromium: Browser) -> Iterator[Callable[..., Look]]:
    """Open a page; in the end nothing was said on its console, or asked outside."""
    looks: list[Look] = []

    def open_page(url: str | None, **options: Any) -> Look:
        assert url is not None
        looks.append(look_at(chromium, url, **options))
        return looks[-1]

    yield open_page
    for each in looks:
        each.check()
        each.page.context.close()


@pytest.fixture(scope="session")
def tiled(
    tmp_path_factory: pytest.TempPathFactory, recorded: Recorded
) -> Iterator[EmbeddedTiled]:
    """A Tiled server that may read the recorded files."""
    place = tmp_path_factory.mktemp("page-tiled")
    with EmbeddedTiled(place, readable_storage=[recorded.poni.parent]) as running:
        yield running
