"""What leaves the agent, to other processes and into Tiled, while the scan goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from bluesky import RunEngine
from event_model import DocumentNames, schema_validators
from tiled.queries import Key

from ringwatch.agent import Agent
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

LISTENER = """
import json, sys, threading, msgpack
from bluesky.callbacks.zmq import RemoteDispatcher
dispatcher = RemoteDispatcher(sys.argv[1], deserializer=msgpack.unpackb)
documents = []
def take(name, doc):
    documents.append((name, doc))
    if name == "stop":
        with open(sys.argv[2], "w") as file:
            json.dump(documents, file)
        sys.exit(0)
dispatcher.subscribe(take)
print("listening", flush=True)
dispatcher.start()
"""


def test_other_processes_see_the_run_while_it_goes_on(
    server: EmbeddedTiled,
    run_engine: RunEngine,
    ring_source: ListedFrames,
    poni: Path,
    tmp_path: Path,
) -> None:
    frames = 30
    agent = Agent(
        poni=poni,
        classifier="none",
        publish="tcp://127.0.0.1:*",
        tiled=server.uri,
        api_key=server.api_key,
    )
    heard = tmp_path / "heard.json"
    listener = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            LISTENER,
            str(agent.address),
            str(heard),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert listener.stdout is not None
    assert listener.stdout.readline().strip() == "listening"
    time.sleep(0.5)  # a PUB socket does not know its subscribers at once
    uids: list[str] = []
    stopped = threading.Event()
    found_before_the_stop: list[int] = []

    def note(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            uids.append(doc["uid"])
        if name == "stop":
            stopped.set()

    def look() -> None:
        """Search Tiled as a reader would, until the raw run is over."""
        while not stopped.wait(0.2):
            try:
                runs = server.catalog("analysis").search(Key("raw_uid") == uids[0])
                for run in runs.values():
                    found_before_the_stop.append(len(run["primary"]["verdict"].read()))
            except (KeyError, IndexError, httpx.HTTPStatusError):
                continue  # not there yet; Tiled answers 500 for a table without rows

    detector = StreamDetector(
        name="det", source=ring_source, folder=tmp_path, exposure_time=0.25
    )
    run_engine.subscribe(note)
    run_engine.subscribe(agent)
    reader = threading.Thread(target=look)
    reader.start()
    run_engine(step_scan(detector, frames))
    reader.join()
    assert agent.wait_idle(30)
    assert agent.close()
    assert found_before_the_stop
    assert max(found_before_the_stop) >= 1
    assert listener.wait(20) == 0
    listener.stdout.close()
    documents = json.loads(heard.read_text())
    names = [name for name, _ in documents]
    assert names == ["start", "descriptor"] + ["event"] * frames + ["stop"]
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    assert documents[0][1]["raw_uid"] == uids[0]
    (stored,) = server.catalog("analysis").search(Key("raw_uid") == uids[0]).values()
    assert len(stored["primary"]["verdict"].read()) == frames
    sent = [doc["data"]["verdict"] for name, doc in documents if name == "event"]
    assert list(stored["primary"]["verdict"].read()) == sent == ["good"] * frames
