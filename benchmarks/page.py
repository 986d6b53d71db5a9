"""The page in a real Chromium: `python benchmarks/page.py`.

How soon it is there, how fast it follows, and what it costs verdicts, on one recorded
scan; ``--screenshots DIR`` makes the pictures of the documentation anew instead.
"""

from __future__ import annotations

import os

from ringwatch.benchmarks.command import COUNT, Parser, await_ready, end_in_one_line

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if __name__ == "__main__":
    end_in_one_line()

# After the environment is set, which numpy reads once.
import io
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky.utils import MsgGenerator
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from ringwatch.agent import Agent
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import FurnaceRamp, powder_beamline

__all__ = [
    "Document",
    "NoBrowserError",
    "chromium",
    "feed",
    "measure",
    "recorded",
    "renamed",
    "screenshots",
]

RATE_HZ = 30.0
FRAMES = 240
_LOOKS: dict[str, Any] = {
    "page-light": {
        "viewport": {"width": 1440, "height": 1000},
        "color_scheme": "light",
    },
    "page-dark": {"viewport": {"width": 1440, "height": 1000}, "color_scheme": "dark"},
    "page-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
_QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]
Document = tuple[str, dict[str, Any]]


class NoBrowserError(Exception):
    """There is no Chromium on this machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless.

    Raises
    ------
    NoBrowserError
        If it is not on this machine.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise NoBrowserError("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_QUIET)
        yield browser
        browser.close()


def measure(
    folder: Path, frames: int = FRAMES, rate_hz: float = RATE_HZ
) -> dict[str, Any]:
    """Figures of the page, on one recorded scan of 512 x 512 pixels.

    Returns
    -------
    dict
        ``live_within_s``: from the navigation to the first verdict drawn;
        ``feed_to_screen_p50_ms`` and ``p90``: from a verdict handed to the page until
        it is drawn; ``drawn_hz``: verdicts drawn a second; ``newest_drawn``: whether
        the last one was; ``latency_ms`` and ``latency_open_ms``: medians from document
        to verdict without and with the page open; ``ratio`` of the two.
    """
    beamline = powder_beamline(folder, detector=512, pace=0.0)
    documents = recorded(beamline, beamline.step_scan(frames))
    files: dict[str, Any] = {"poni": beamline.poni_path, "mask": beamline.mask_path}
    found: dict[str, Any] = {"frames": frames, "rate_hz": rate_hz}
    with (
        chromium() as browser,
        Agent(**files, detector="detector_image", page="127.0.0.1:0") as agent,
    ):
        await_ready(agent)
        closed = feed(agent, renamed(documents, "a"), rate_hz)
        page, found["live_within_s"] = opened(browser, agent)
        before = page.evaluate("() => window.ringwatch.ways.length")
        began = time.monotonic()
        opens = feed(agent, renamed(documents, "b"), rate_hz)
        seconds = time.monotonic() - began
        page.wait_for_timeout(500)
        ways = page.evaluate("() => window.ringwatch.ways")[before:]
        found["newest_drawn"] = ways[-1][0] == frames - 1
        page.context.close()
        closed += feed(agent, renamed(documents, "c"), rate_hz)
        page, _ = opened(browser, agent)
        opens += feed(agent, renamed(documents, "d"), rate_hz)
        page.context.close()
    times = sorted(way for _, way in ways)
    found["feed_to_screen_p50_ms"] = statistics.median(times)
    found["feed_to_screen_p90_ms"] = times[int(0.9 * len(times))]
    found["drawn_hz"] = len(ways) / seconds
    found["latency_ms"] = statistics.median(closed)
    found["latency_open_ms"] = statistics.median(opens)
    found["ratio"] = found["latency_open_ms"] / found["latency_ms"]
    return found


def recorded(beamline: Beamline, plan: MsgGenerator[Any]) -> list[Document]:
    """Documents of a real scan."""
    documents: list[Document] = []
    engine = quiet_engine()
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(plan)
    return documents


def quiet_engine() -> Any:
    """A RunEngine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bluesky's own, about the event loop
        return RunEngine({}, call_returns_result=False)


def feed(agent: Agent, documents: list[Document], rate_hz: float) -> list[float]:
    """Let an agent have so many frames a second; latencies of its verdicts, ms."""
    agent.counters.recent.clear()
    began, fed = time.monotonic(), 0
    for name, doc in documents:
        if name == "stream_datum":
            fed += 1
            time.sleep(max(0.0, began + fed / rate_hz - time.monotonic()))
        agent(name, doc)
    agent.wait_idle(60)
    return [timings["latency_ms"] for timings in agent.counters.recent]


def opened(browser: Browser, agent: Agent) -> tuple[Page, float]:
    """The page in a fresh profile; from the navigation to a verdict drawn, seconds."""
    page = browser.new_context(**_LOOKS["page-light"]).new_page()
    page.goto(str(agent.page_url))
    page.wait_for_function("() => window.ringwatch && window.ringwatch.drawn > 0")
    return page, page.evaluate("() => window.ringwatch.first") / 1000


def renamed(documents: list[Document], mark: str) -> list[Document]:
    """The same run under another uid, which begins with the mark, repeated."""

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: other(each) for key, each in value.items()}
        if isinstance(value, str) and len(value) >= 36 and value[8] == "-":
            return mark * 8 + value[8:]
        return value

    return [(name, other(doc)) for name, doc in documents]


def screenshots(folder: Path, out: Path, rate_hz: float = 5.0) -> None:
    """Take the pictures of the documentation, while a furnace ramp is watched."""
    scenario = FurnaceRamp(frames=60, side=1024)
    beamline = scenario.beamline(folder)
    files: dict[str, Any] = {"poni": beamline.poni_path, "mask": beamline.mask_path}
    documents = recorded(beamline, scenario.plan(beamline))
    with (
        chromium() as browser,
        Agent(**files, detector="detector_image", page="127.0.0.1:0") as agent,
    ):
        await_ready(agent)
        for name, options in _LOOKS.items():
            page = browser.new_context(**options).new_page()
            page.goto(str(agent.page_url))
            told = renamed(documents, name[-1])
            watched = threading.Thread(target=feed, args=(agent, told, rate_hz))
            watched.start()
            wanted = [name[-1] * 8, scenario.frames - 8]
            shoot(page, wanted, out / f"{name}.png")
            watched.join()
            page.context.close()


def shoot(page: Page, wanted: list[Any], path: Path) -> None:
    """Take a picture once a frame of a run is drawn, small enough for a README."""
    page.wait_for_function(
        "([run, index]) => window.ringwatch.run.startsWith(run)"
        " && window.ringwatch.newest >= index",
        arg=wanted,
        timeout=120_000,
    )
    page.wait_for_timeout(1000)  # for picture and lines of that frame
    whole = "phone" not in path.name
    image: Any = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    if whole:
        image = image.resize((1152, round(1152 * image.height / image.width)))
    image.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def main() -> None:
    """Run from the command line."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--screenshots", type=Path, metavar="DIR", help="where pictures are made"
    )
    parser.option("--frames", COUNT, FRAMES, "of the scan")
    arguments = parser.parse_args()
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="ringwatch-page-") as scratch:
            if arguments.screenshots:
                screenshots(Path(scratch), arguments.screenshots)
            else:
                found = measure(Path(scratch), arguments.frames)
                sys.stdout.write(json.dumps(found, indent=2) + "\n")
    except NoBrowserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
