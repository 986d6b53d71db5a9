"""Dark runs from elsewhere: who is slow or away holds nobody up for long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from numpy.typing import NDArray

from ringwatch.agent import Agent, darks
from ringwatch.agent.analysis import Analysis
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.errors import (
    MissingDarkError,
    MissingFrameError,
    ReplayError,
    TiledAwayError,
)
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.reduction import Reduction
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.dark_runs import StoredDarkRuns
from ringwatch.agent.sources.stored_runs import StoredRuns
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .conftest import SHAPE
from .derived_documents import wait_until

Frames = Iterator[NDArray[np.generic]]


@pytest.fixture
def reduction(poni: Path) -> Reduction:
    settings = load_settings(poni=poni, classifier="none", npt=90)
    return Analysis(settings, None).reduction(SHAPE)


def is_there(book: DarkBook, reduction: Reduction) -> bool:
    try:
        dark = book.find("raw", "dark", reduction)
    except MissingFrameError:
        return False
    return dark is not None and dark.frames == 3


def test_slow_but_steady_dark_run_is_waited_for(
    reduction: Reduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darks, "HANGING_S", 1.0)

    def fetch(uid: str) -> Frames:
        for _ in range(3):
            time.sleep(0.5)  # altogether longer than one may hang
            yield np.ones(SHAPE)

    assert is_there(DarkBook(fetch), reduction)


def test_hanging_fetch_holds_up_one_frame_and_comes_later(
    reduction: Reduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darks, "HANGING_S", 0.5)
    hanging = threading.Event()

    def fetch(uid: str) -> Frames:
        hanging.wait(30)
        yield from [np.ones(SHAPE)] * 3

    book = DarkBook(fetch)
    begin = time.monotonic()
    with pytest.raises(MissingFrameError, match="dark run dark has not come yet"):
        book.find("raw", "dark", reduction)
    assert 0.4 < time.monotonic() - begin < 3
    begin = time.monotonic()
    for _ in range(100):
        assert not is_there(book, reduction)
    assert time.monotonic() - begin < 0.5
    hanging.set()
    assert wait_until(lambda: is_there(book, reduction), 5)


def test_failure_is_not_for_good(
    reduction: Reduction,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Half of a dark run is none; asked again later it is whole."""
    monkeypatch.setattr(darks, "RETRY_S", 0.5)
    asked: list[str] = []

    def fetch(uid: str) -> Frames:
        asked.append(uid)
        yield np.ones(SHAPE)
        if len(asked) == 1:
            raise ReplayError("Tiled is away")
        yield from [np.ones(SHAPE)] * 2

    book = DarkBook(fetch)
    for _ in range(3):
        with pytest.raises(MissingFrameError, match="Tiled is away"):
            book.find("raw", "dark", reduction)
    assert asked == ["dark"]
    assert wait_until(lambda: is_there(book, reduction), 5)
    assert is_there(book, reduction)
    assert asked == ["dark"] * 2
    assert caplog.text.count("cannot be fetched") == 1


def test_dark_that_came_while_nobody_asked_is_kept(
    reduction: Reduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long after its fetch ended the next frame wants it."""
    monkeypatch.setattr(darks, "HANGING_S", 0.1)
    monkeypatch.setattr(darks, "RETRY_S", 0.0)
    hanging, asked = threading.Event(), 0

    def fetch(uid: str) -> Frames:
        nonlocal asked
        asked += 1
        hanging.wait(30)
        yield from [np.ones(SHAPE)] * 3

    book = DarkBook(fetch)
    assert not is_there(book, reduction)
    hanging.set()
    for thread in threading.enumerate():
        if thread.name == "dark run dark":
            thread.join(30)
    time.sleep(0.01)
    assert is_there(book, reduction)
    assert asked == 1


def test_run_without_frames_is_no_dark(reduction: Reduction) -> None:
    with pytest.raises(MissingFrameError, match="it has no frames"):
        DarkBook(lambda uid: []).find("raw", "dark", reduction)
    with pytest.raises(MissingFrameError, match="neither passed here nor"):
        DarkBook().find("raw", "dark", reduction)


def test_tiled_that_never_answers(
    reduction: Reduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darks, "HANGING_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        runs: Any = StoredRuns(address, "key", container="raw")
        book = DarkBook(StoredDarkRuns(runs))
        begin = time.monotonic()
        assert not is_there(book, reduction)
        assert not is_there(book, reduction)
        assert time.monotonic() - begin < 3


def test_it_may_come_until_it_should_have(
    reduction: Reduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not stored is given up; of a Tiled that is away nobody knows."""
    monkeypatch.setattr(darks, "COMES_S", 0.3)
    monkeypatch.setattr(darks, "RETRY_S", 0.1)
    failures: list[Exception] = [ReplayError("no such run")]

    def fetch(uid: str) -> Frames:
        yield np.ones(SHAPE)
        raise failures[0]

    book = DarkBook(fetch)
    assert book.awaits("raw", "dark")
    with pytest.raises(MissingDarkError):
        book.find("raw", "dark", reduction)
    assert wait_until(lambda: not book.awaits("raw", "dark"), 5)
    with pytest.raises(MissingFrameError) as gone:
        book.find("raw", "dark", reduction)
    assert not isinstance(gone.value, MissingDarkError)
    failures[0] = TiledAwayError("it is away")
    assert wait_until(lambda: book.awaits("raw", "dark"), 5)
    assert not book.awaits("raw", "")


@pytest.mark.parametrize("passes", [False, True])
def test_second_pass_has_the_dark(
    run_engine: RunEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    passes: bool,
) -> None:
    """A dark run that came too late, or one that passed and that nobody else has."""
    monkeypatch.setattr(darks, "RETRY_S", 0.2)
    beamline = powder_beamline(tmp_path, detector=256)
    documents: list[tuple[str, Any]] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    (dark,) = run_engine(beamline.dark_run(3))
    of_dark = len(documents)
    run_engine(beamline.step_scan(4, md={"sc_dk_field_uid": dark}))
    here = threading.Event()

    def fetch(uid: str) -> Frames:
        if not here.is_set():
            raise TiledAwayError("Tiled is away")
        yield from [np.zeros((256, 256), np.uint16)] * 3

    sink = MemorySink()
    agent = Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        classifier="none",
        fetch_dark=fetch,
        sinks=(sink,),
        shed_labels_after_s=0.0,
        shed_frames_after_s=1e-9 if passes else 60.0,
    )
    assert agent.wait_idle(120)
    for name, doc in documents[:of_dark] if passes else []:
        agent.feed(name, doc)
    for name, doc in documents[of_dark:]:
        agent(name, doc)
    assert wait_until(lambda: len(of_light(sink)) == 4, 30)
    assert {(v["verdict"], v["final"]) for v in of_light(sink)} == {("unknown", False)}
    if not passes:
        here.set()
    assert wait_until(lambda: len(of_light(sink)) == 8, 30)
    assert agent.close()
    assert {(v["verdict"], v["final"]) for v in of_light(sink)[4:]} == {("good", True)}


def of_light(sink: MemorySink) -> list[dict[str, Any]]:
    """Verdicts of what is no dark frame."""
    return [v for v in sink.events("primary") if "kept to be" not in v["reason"]]


@pytest.mark.parametrize("fetches", [False, True])
def test_second_pass_knows_how_old_the_dark_is(
    reduction: Reduction, fetches: bool
) -> None:
    """As the live fold and a replay do: a dark of another exposure is no right one."""
    ref = FrameRef.without_pixels("dark", 0, {"exposure_time": 5.0}, time=100.0)
    live = DarkBook()
    live.add(ref, np.ones(SHAPE), alone=True)
    live.close_run("dark")
    fetch = (lambda uid: [(ref, np.ones(SHAPE))]) if fetches else None
    book = DarkBook(fetch, passed=None if fetches else live)
    assert book.find("raw", "dark", reduction) is not None
    assert book.taken("raw", "dark") == live.taken("raw", "dark")
    assert live.taken("raw", "dark") == (100.0, {"exposure_time": 5.0})
