"""A burst of references into a slow agent that came late, the proxy restarted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.models.inputs import PatternError

from .conftest import FULL
from .flights import FrameStore, small_geometry
from .service import free_port, publisher

FRAMES = 60_000 if FULL else 2_000
JOINED_AT = 100
SIDE = 64
PATIENCE_S = 1800.0


class Slow:
    """A classifier that takes a millisecond."""

    identity = "slow"

    def predict(self, *_: Any) -> Any:
        time.sleep(1e-3)
        raise PatternError("it never knows")


class Proxy:
    """Bluesky's own proxy in a process of its own."""

    def __init__(self) -> None:
        self.into, self.out = free_port(), free_port()
        self.begin()

    def begin(self) -> None:
        code = "from bluesky.callbacks.zmq import Proxy; Proxy({}, {}).start()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code.format(self.into, self.out)]
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.kill()


class Finals:
    """Final verdicts, by frame and by word."""

    def __init__(self) -> None:
        self.frames: Counter[int] = Counter()
        self.words: Counter[str] = Counter()

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "event" and doc["data"]["final"]:
            self.frames[doc["data"]["raw_index"]] += 1
            self.words[doc["data"]["verdict"]] += 1


def send(live: list[NamedDocument], proxy: Proxy, source: ZmqSource) -> None:
    """All documents as fast as they go; the agent joins late, the proxy restarts."""
    with publisher(proxy.into) as publish:
        for number, (name, doc) in enumerate(live):
            if number == JOINED_AT:
                source.begin()
                assert source.wait_connected(30)
            if number == len(live) // 2:
                proxy.kill()
                proxy.begin()
                time.sleep(1.0)
            publish(name, doc)
        time.sleep(2.0)


@pytest.mark.timeout(2400)
def test_every_frame_has_its_final_verdict_in_the_end(
    tmp_path: Path, proxy: Proxy, figure: Callable[..., None]
) -> None:
    scan = FrameStore.make(tmp_path / "frames.h5", FRAMES, SIDE, distinct=64)
    live, stored = scan.fly()
    uid, final = live[0][1]["uid"], Finals()
    with EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path]) as tiled:
        writer = TiledWriter(tiled.catalog("raw"), batch_size=1000)
        for name, doc in stored:
            writer(name, doc)
        agent = Agent(
            poni=small_geometry(tmp_path / "small.poni", SIDE),
            classifier=Slow(),
            tiled=tiled.uri,
            api_key=tiled.api_key,
            tiled_container="unused",
            sinks=(MemorySink(limit=1, listener=final),),
        )
        assert agent.wait_idle(120)

        def gap(run: str, why: str) -> None:
            agent.documents_lost(run or uid, why)

        source = ZmqSource(f"tcp://127.0.0.1:{proxy.out}", agent, gap=gap)
        began = time.monotonic()
        send(live, proxy, source)
        while len(final.frames) < FRAMES and time.monotonic() < began + PATIENCE_S:
            agent.wait_idle(5)
        took = time.monotonic() - began
        assert source.close(60)
        assert agent.close(120)
    missing = FRAMES - len(final.frames)
    doubled = final.frames.total() - len(final.frames)
    what = f"burst of {FRAMES:,} references"
    figure(f"{what}: frames without a final verdict", missing, "0")
    figure(f"{what}: frames with two", doubled, "0")
    figure(f"{what}: seconds until all were final", took)
    assert set(final.frames) == set(range(FRAMES))
    assert set(final.frames.values()) == {1}
    assert "unknown" not in final.words  # none was given up
    counters = agent.counters
    assert counters.analysed + counters.unknown == counters.announced == FRAMES
