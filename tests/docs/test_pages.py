"""Every block of the tutorial and the how-tos is run as it stands, page by page.

Blocks of ``python`` share the names of their page, ``bash`` its folder and environment,
``toml`` becomes the file that its first line names. ``console`` is for what needs root,
a database, hours or an installed service; ``ringwatch demo`` has a test of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from shutil import copy
from socket import create_server
from typing import Any, NamedTuple

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count

from ringwatch.agent import Agent
from ringwatch.agent.agent import Agent as RealAgent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.simulated_beamline.scenarios import powder_beamline

# isort: split
# After embedded_tiled, which sets Tiled's retries before Tiled is imported.
from bluesky_tiled_plugins import TiledWriter

# Who follows a page closes neither clients nor listeners before Python ends.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DOCS = Path(__file__).parents[2] / "docs"
PORTS = ("5577", "5578", "8000", "9578")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOW_TOS = sorted(
    page.name
    for page in (DOCS / "how-to").glob("*.md")
    if page.name not in ("index.md", "examples.md")
)


def free_ports() -> dict[str, str]:
    """Ports of the pages, and free ones in their place."""
    with ExitStack() as stack:
        opened = [stack.enter_context(create_server(("127.0.0.1", 0))) for _ in PORTS]
        numbers = [str(each.getsockname()[1]) for each in opened]
    return dict(zip(PORTS, numbers, strict=True))


class Reader:
    """Somebody who types in what a page says, in a folder."""

    def __init__(self, folder: Path, ports: dict[str, str], key: str) -> None:
        self.folder, self.ports = folder, ports
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TILED_API_KEY": key,
        }
        self.printed = ""

    def follow(self, page: Path) -> int:
        """Run the blocks of a page; how many."""
        done = 0
        for kind, text in BLOCK.findall(page.read_text()):
            for port, mine in self.ports.items():
                text = re.sub(rf"(?<=[:=]){port}\b", mine, text)  # noqa: PLW2901
            if kind == "python":
                exec(compile(text, f"{page.name}:{done}", "exec"), self.names)
            elif kind == "bash" and text != "ringwatch demo\n":
                self._run(text)
            elif kind == "toml" and (named := re.match(r"# (\S+\.toml)\n", text)):
                (self.folder / named[1]).write_text(text)
            done += kind in ("python", "bash", "toml")
        return done

    def _run(self, text: str) -> None:
        run = {"RUN": str(self.names["uid"])} if "uid" in self.names else {}
        done = subprocess.run(
            ["bash", "-euc", text],
            env=self.environment | run,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        self.printed += done.stdout


class Beamline(NamedTuple):
    """Where the pages begin: a geometry, a detector, Tiled with a run and verdicts."""

    folder: Path
    devices: Any
    tiled: EmbeddedTiled
    uid: str


def engine() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bluesky's own, about the event loop
        return RunEngine({})


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    folder = tmp_path_factory.mktemp("profile")
    devices = powder_beamline(folder / "data", detector=256)
    copy(devices.poni_path, folder / "detector.poni")
    copy(devices.mask_path, folder / "mask.npy")
    with EmbeddedTiled(folder / "tiled", readable_storage=[folder]) as tiled:
        run_engine = engine()
        with Agent(
            poni=devices.poni_path,
            mask=devices.mask_path,
            detector="detector_image",
            tiled=tiled.uri,
            api_key=tiled.api_key,
        ) as agent:
            assert agent.wait_idle(240)
            run_engine.subscribe(agent)
            run_engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1))
            (uid,) = run_engine(devices.step_scan(5))
            assert agent.wait_idle(60)
        yield Beamline(folder, devices, tiled, str(uid))


def tidy(names: dict[str, Any]) -> None:
    """Close what a page that failed has left open."""
    for made in names.values():
        if isinstance(made, RealAgent | EmbeddedTiled):
            with suppress(Exception):
                made.close()


@pytest.mark.parametrize("name", HOW_TOS)
def test_a_how_to_works_as_it_stands(
    beamline: Beamline, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, devices, tiled, uid = beamline
    ports = free_ports() | {"8000": tiled.uri.rpartition(":")[2]}
    reader = Reader(folder, ports, tiled.api_key)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TILED_API_KEY", tiled.api_key)
    reader.names |= {"RE": engine(), "det": devices.detector, "count": count}
    reader.names |= {"shutter": devices.shutter, "uid": uid}
    try:
        assert reader.follow(DOCS / "how-to" / name) > 0
        EXPECTED.get(name, lambda _: None)(reader)
    finally:
        tidy(reader.names)


def attached(reader: Reader) -> None:
    assert reader.names["agent"].counters.announced == 3
    assert reader.names["agent"].counters.analysed == 3
    assert reader.names["agent"].report.ready


def darkened(reader: Reader) -> None:
    words = reader.names["agent"].counters.words
    assert words["unknown"] == 2  # the darks
    assert sum(words.values()) == 5


def heard(reader: Reader) -> None:
    assert len(reader.names["heard"]) == 3


def read(reader: Reader) -> None:
    assert reader.names["index"].tolist() == [0, 1, 2, 3, 4]
    assert set(reader.names["words"]) == {"good"}
    assert reader.names["patterns"].shape == (5, len(reader.names["q"]))


def retuned(reader: Reader) -> None:
    before, after = (
        (reader.folder / f"{when}.json").read_text() for when in ("before", "after")
    )
    assert '"reason"' in before
    assert before != after  # another analysis id


def monitored(reader: Reader) -> None:
    assert '"ok": true, "state": "idle"' in reader.printed
    assert '"threshold_sigma": 5.2' in reader.printed
    assert "ringwatch_worker_ready 1.0" in (reader.folder / "metrics.txt").read_text()


EXPECTED = {
    "attach.md": attached,
    "darks.md": darkened,
    "listen.md": heard,
    "results.md": read,
    "false-alarms.md": retuned,
    "monitor.md": monitored,
}


def test_the_tutorial_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(tmp_path, free_ports(), "")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bluesky's own, about the event loop
        try:
            assert reader.follow(DOCS / "tutorial" / "first-night.md") == 9
        finally:
            tidy(reader.names)
    assert list(reader.names["verdicts"]) == ["good"] * 8 + ["misaligned"] * 8
    assert np.allclose(reader.names["shift"][8:], 0.5, atol=0.05)
    assert "px" in reader.names["reasons"][8]


def test_the_classes_are_those_that_the_page_tells() -> None:
    page = (DOCS / "explanation" / "classes.md").read_text()
    names: dict[str, Any] = {}
    (block,) = (text for kind, text in BLOCK.findall(page) if kind == "python")
    exec(compile(block, "classes.md", "exec"), names)
    assert f"prints {len(names['POWDER_CLASSES'])} and `{names['alike']}`" in page
