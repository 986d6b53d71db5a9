"""Tiled away, hanging, and answering errors: results go on, and none is lost."""

from __future__ import annotations

import http.server
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from bluesky.callbacks.zmq import RemoteDispatcher
from event_model import compose_run

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .conftest import FULL
from .service import finals, free_port

AWAY_S = 60.0 if FULL else 10.0
SOUND_S = AWAY_S / 2
"""How long Tiled is well, before, between and after."""
RATE_HZ = 20.0 if FULL else 30.0


class Errors(http.server.BaseHTTPRequestHandler):
    """Answers everything with 500."""

    def _answer(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = _answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def sound(_: EmbeddedTiled) -> Iterator[None]:
    yield


@contextmanager
def stopped(tiled: EmbeddedTiled) -> Iterator[None]:
    tiled.close()
    try:
        yield
    finally:
        tiled.start()


@contextmanager
def hanging(tiled: EmbeddedTiled) -> Iterator[None]:
    process = tiled._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def failing(tiled: EmbeddedTiled) -> Iterator[None]:
    tiled.close()
    port = int(tiled.uri.rpartition(":")[2])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Errors)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        tiled.start()


class Latencies:
    """From a document to the published verdict, as a listener on 0MQ sees it."""

    def __init__(self, address: str) -> None:
        self.fed: dict[int, float] = {}
        self.took: dict[int, float] = {}
        self._heard = RemoteDispatcher(
            address.removeprefix("tcp://"), deserializer=msgpack.unpackb
        )
        self._heard.subscribe(self._hear, "event")
        threading.Thread(target=self._heard.start, daemon=True).start()

    def _hear(self, _: str, doc: dict[str, Any]) -> None:
        index = doc["data"]["raw_index"]
        self.took[index] = time.monotonic() - self.fed[index]

    def of(self, frames: list[int]) -> tuple[float, float]:
        """Median and 99th percentile, seconds."""
        took = [self.took[i] for i in frames]
        return float(np.median(took)), float(np.quantile(took, 0.99))


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_outages_cost_no_verdict_and_no_time(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    beamline = powder_beamline(tmp_path, detector=256)
    frames = [beamline.experiment.read_out(0.02).pixels for _ in range(16)]
    run = compose_run()
    key = {"source": "t", "dtype": "array", "shape": list(frames[0].shape)}
    stream = run.compose_descriptor(name="primary", data_keys={"image": key})
    phases: list[tuple[str, list[int]]] = []
    with EmbeddedTiled(tmp_path / "tiled", port=free_port()) as tiled:
        agent = Agent(
            poni=beamline.poni_path,
            mask=beamline.mask_path,
            classifier="none",
            publish=f"tcp://127.0.0.1:{free_port()}",
            tiled=tiled.uri,
            api_key=tiled.api_key,
            state=tmp_path / "state",
        )
        assert agent.wait_idle(120)
        assert agent.address is not None
        latencies = Latencies(agent.address)
        time.sleep(1.0)
        agent("start", run.start_doc)
        agent("descriptor", stream.descriptor_doc)
        index = 0
        for state in (sound, stopped, sound, hanging, sound, failing, sound):
            first, lasts = index, SOUND_S if state is sound else AWAY_S
            with state(tiled):
                until = time.monotonic() + lasts
                while time.monotonic() < until:
                    frame = frames[index % len(frames)].copy()
                    frame.reshape(-1)[0] = index  # no two are the same bytes
                    event = stream.compose_event(
                        data={"image": frame}, timestamps={"image": 0.0}, validate=False
                    )
                    latencies.fed[index] = time.monotonic()
                    agent("event", event)
                    index += 1
                    time.sleep(1.0 / RATE_HZ)
            phases.append((state.__name__, list(range(first, index))))
        agent("stop", run.compose_stop())
        assert agent.wait_idle(300)
        assert agent.close(60)
        final = finals(tiled, "analysis", run.start_doc["uid"])
    assert final == dict.fromkeys(range(index), 1)
    assert sorted(latencies.took) == list(range(index))
    ratios = {}
    # Each with the times just before and after it: the machine may have other work.
    for (_, before), (state, during), (_, after) in zip(
        phases[0::2], phases[1::2], phases[2::2], strict=False
    ):
        usual, worst = latencies.of(before + after)
        median, late = latencies.of(during)
        ratios[state] = median / usual, late / worst
        what = f"Tiled {state} for {AWAY_S:.0f} s: latency"
        figure(f"{what}, median, over {usual * 1e3:.0f} ms", median / usual, "< 1.2")
        figure(f"{what}, p99, over {worst * 1e3:.0f} ms", late / worst, "< 2")
    assert list(ratios) == ["stopped", "hanging", "failing"]
    for state, (median, late) in ratios.items():
        assert median < 1.2, state
        assert late < 2.0, state
