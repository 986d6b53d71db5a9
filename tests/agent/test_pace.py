"""Stored documents come when their time has come."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.documents import Announcer
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.sources.pace import Pace, paced
from ringwatch.agent.sources.tiled import replay
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    folder = tmp_path_factory.mktemp("paced")
    return powder_beamline(folder, detector=128, exposure_time=0.05)


def stored(server: EmbeddedTiled, plan: Any) -> Any:
    engine: Any = RunEngine({}, call_returns_result=False)
    raw = server.catalog("raw-paced")
    engine.subscribe(TiledWriter(raw, batch_size=100))
    (uid,) = engine(plan)
    return raw[uid]


class Clock:
    """Listens to frames and notes when they come."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.refs: list[FrameRef] = []

    def run_started(self, start: dict[str, Any]) -> None:
        pass

    def frame_announced(self, ref: FrameRef) -> None:
        self.came.append(time.monotonic())
        self.refs.append(ref)

    def run_stopped(self, stop: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "factor"), [("real", 1.0), ("burst", math.inf), ("x10", 10), ("x.5", 0.5)]
)
def test_a_pace_is_read(text: str, factor: float) -> None:
    assert Pace.parse(text).factor == factor
    assert Pace.parse(str(Pace.parse(text))) == Pace.parse(text)


@pytest.mark.parametrize("text", ["", "x", "x0", "10", "x-1", "xinf", "x1e9", "fast"])
def test_what_is_no_pace_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="x10"):
        Pace.parse(text)


def test_a_step_scan_comes_as_it_was_recorded(
    server: EmbeddedTiled, beamline: Beamline
) -> None:
    run = stored(server, beamline.step_scan(8))
    documents = list(replay(run))
    start = documents[0][1]["time"]
    clock = Clock()
    announcer = Announcer(clock)
    began = time.monotonic()
    for name, doc in paced(iter(documents), Pace(2.0)):
        announcer.feed(name, doc)
    assert len(clock.refs) == 8
    late = [
        came - began - (ref.time - start) / 2
        for came, ref in zip(clock.came, clock.refs, strict=True)
    ]
    assert all(each > -0.01 for each in late)  # never early
    assert sorted(late)[4] < 0.05  # and in time, as far as this machine is
    assert (clock.refs[-1].time - start) / 2 > 0.2  # or there was nothing to wait for


def test_a_flight_is_spread_over_its_time(
    server: EmbeddedTiled, beamline: Beamline
) -> None:
    """Its frames are one range without a time; they come one by one."""
    documents = list(replay(stored(server, beamline.fly(12))))
    assert sum(name == "stream_datum" for name, _ in documents) == 1
    stop = documents[-1][1]["time"] - documents[0][1]["time"]
    clock = Clock()
    announcer = Announcer(clock)
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    for name, doc in paced(iter(documents), Pace(1.0), wait=wait):
        announcer.feed(name, doc)
    assert [ref.index for ref in clock.refs] == list(range(12))
    seq_nums = [ref.seq_num for ref in clock.refs]
    assert seq_nums == list(range(1, 13))
    # Nothing really waited: each frame's wait is its time since the start.
    steps = [b - a for a, b in pairwise(waited[2:13])]
    assert min(steps) > 0.5 * max(steps)
    assert max(waited) == pytest.approx(stop, abs=0.1)


def test_each_run_has_a_clock_of_its_own() -> None:
    """An old dark run ahead of its light run is not waited for."""
    waited: list[float] = []
    documents = [
        ("start", {"uid": "dark", "time": 100.0}),
        ("stop", {"run_start": "dark", "time": 101.0}),
        ("start", {"uid": "light", "time": 90_000.0}),
        ("stop", {"run_start": "light", "time": 90_002.0}),
    ]

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    assert list(paced(documents, Pace(10.0), wait=wait)) == documents
    assert waited == pytest.approx([0.1, 0.2], abs=0.01)


def test_a_wait_can_be_ended() -> None:
    documents = [("start", {"time": 0.0}), ("stop", {"time": 1e6})]
    told = list(paced(documents, Pace(1.0), wait=lambda seconds: True))
    assert [name for name, _ in told] == ["start"]


def test_clocks_that_run_backwards_are_not_waited_for() -> None:
    documents = [
        ("start", {"time": 10.0}),
        ("event", {"time": 9.0, "descriptor": "d"}),
        ("stop", {"time": 8.0}),
    ]
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    assert len(list(paced(documents, Pace(1.0), wait=wait))) == 3
    assert waited == []
