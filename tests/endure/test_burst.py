"""A burst of references into a slow agent that came late, the proxy restarted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky_tiled_plugins import TiledWriter
from event_model import compose_run
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.models.inputs import PatternError

from .conftest import FULL
from .service import free_port, publisher

FRAMES = 60_000 if FULL else 2_000
JOINED_AT = 100
SIDE = 64
PATTERNS = 64  # different frames; they come again and again


class Slow:
    """A classifier that takes a millisecond."""

    identity = "slow"

    def predict(self, *_: Any) -> Any:
        time.sleep(1e-3)
        raise PatternError("it never knows")


def rings(rng: np.random.Generator) -> Any:
    y, x = np.indices((SIDE, SIDE)) + 0.5 - SIDE / 2
    r = np.hypot(x, y)
    mean = 5.0 + sum(200.0 * np.exp(-0.5 * ((r - a) / 1.2) ** 2) for a in (9, 17, 25))
    return rng.poisson(mean, (PATTERNS, SIDE, SIDE)).astype(np.uint16)


def fly(folder: Path) -> tuple[list[NamedDocument], list[NamedDocument]]:
    """Documents of a fly scan: frame by frame, and as they are stored."""
    path = folder / "frames.h5"
    with h5py.File(path, "w") as file:
        frames = file.create_dataset(
            "data", (FRAMES, SIDE, SIDE), "u2", chunks=(PATTERNS, SIDE, SIDE)
        )
        drawn = rings(np.random.default_rng(7))
        for first in range(0, FRAMES, PATTERNS):
            frames[first : first + PATTERNS] = drawn[: FRAMES - first]
    run = compose_run()
    key = {
        "source": "test",
        "dtype": "array",
        "dtype_numpy": "<u2",
        "shape": [1, SIDE, SIDE],
        "external": "STREAM:",
    }
    stream = run.compose_descriptor(name="primary", data_keys={"det_image": key})
    resource, compose_datum = run.compose_stream_resource(
        mimetype="application/x-hdf5",
        uri=f"file://localhost{path}",
        data_key="det_image",
        parameters={"dataset": "data", "chunk_shape": (PATTERNS, SIDE, SIDE)},
    )
    head = [
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
        ("stream_resource", resource),
    ]

    def datum(start: int, stop: int) -> NamedDocument:
        doc = compose_datum(
            indices={"start": start, "stop": stop},
            seq_nums={"start": start + 1, "stop": stop + 1},
            descriptor=stream.descriptor_doc,
            validate=False,
        )
        return "stream_datum", doc

    stop = ("stop", run.compose_stop() | {"num_events": {"primary": FRAMES}})
    live = [*head, *(datum(i, i + 1) for i in range(FRAMES)), stop]
    return live, [*head, datum(0, FRAMES), stop]


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


@pytest.mark.timeout(1500)
def test_every_frame_has_its_final_verdict_in_the_end(
    tmp_path: Path, proxy: Proxy
) -> None:
    live, stored = fly(tmp_path)
    poni = tmp_path / "small.poni"
    AzimuthalIntegrator(
        dist=0.1,
        poni1=SIDE / 2 * 2e-4,
        poni2=SIDE / 2 * 2e-4,
        wavelength=2e-11,
        detector=Detector(2e-4, 2e-4, max_shape=(SIDE, SIDE)),
    ).save(str(poni))
    final: Counter[int] = Counter()
    words: Counter[str] = Counter()

    def listen(name: str, doc: dict[str, Any]) -> None:
        if name == "event" and doc["data"]["final"]:
            final[doc["data"]["raw_index"]] += 1
            words[doc["data"]["verdict"]] += 1

    uid = live[0][1]["uid"]
    with EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path]) as tiled:
        writer = TiledWriter(tiled.catalog("raw"), batch_size=1000)
        for name, doc in stored:
            writer(name, doc)
        agent = Agent(
            poni=poni,
            classifier=Slow(),
            tiled=tiled.uri,
            api_key=tiled.api_key,
            tiled_container="unused",
            sinks=(MemorySink(limit=1, listener=listen),),
        )
        assert agent.wait_idle(120)

        def gap(run: str, why: str) -> None:
            agent.documents_lost(run or uid, why)

        source = ZmqSource(f"tcp://127.0.0.1:{proxy.out}", agent, gap=gap)
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
        deadline = time.monotonic() + 1200
        while len(final) < FRAMES and time.monotonic() < deadline:
            agent.wait_idle(5)
        assert source.close(60)
        assert agent.close(120)
    assert set(final) == set(range(FRAMES))
    assert set(final.values()) == {1}
    assert words.total() == FRAMES
    counters = agent.counters
    assert counters.analysed + counters.unknown == counters.announced == FRAMES
