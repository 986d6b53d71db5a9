"""Frames that are read and labelled beside the worker: the same verdicts, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import pytest
from bluesky import RunEngine

from ringwatch.agent import Agent
from ringwatch.agent.agent import Agent as RealAgent
from ringwatch.agent.cli.compare import differences
from ringwatch.agent.errors import FrameReadError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.models.inputs import PatternError
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .derived_documents import wait_until

FRAMES = 12
Documents: TypeAlias = list[tuple[str, dict[str, Any]]]


class Watched:
    """A classifier that takes its time, and notes in which thread it was asked."""

    identity = "watched"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.threads: list[str] = []

    def predict(self, *_: Any) -> Any:
        self.threads.append(threading.current_thread().name)
        time.sleep(self.seconds)
        raise PatternError("it never knows")


@pytest.fixture(scope="module", params=["stream", "inline"])
def scan(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Documents]:
    """Settings, and the documents of a scan with darks of its own."""
    folder = tmp_path_factory.mktemp("relay")
    beamline = powder_beamline(folder, detector=256, style=request.param)
    documents: Documents = []
    engine = RunEngine({})
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    plan: Callable[..., Any] = beamline.step_scan
    engine(plan(FRAMES, darks=2))
    settings = {"poni": beamline.poni_path, "mask": beamline.mask_path}
    return settings | {"detector": "detector_image"}, documents


def say(documents: Documents, *, one_by_one: bool, **settings: Any) -> MemorySink:
    sink = MemorySink()
    with Agent(sinks=(sink,), **settings) as agent:
        assert agent.wait_idle(120)
        for name, doc in documents:
            agent.feed(name, doc)
            if one_by_one and name == "event":
                assert agent.wait_idle(60)
        assert agent.wait_idle(60)
    return sink


def test_at_once_and_one_by_one_are_the_same_to_the_last_bit(
    scan: tuple[dict[str, Any], Documents],
) -> None:
    settings, documents = scan
    at_once = say(documents, one_by_one=False, **settings)
    slowly = say(documents, one_by_one=True, **settings)
    assert differences(at_once.documents, slowly.documents) == []
    for sink in (at_once, slowly):
        assert [e["raw_index"] for e in sink.events("primary")] == [*range(FRAMES)]
        assert all(e["label"] for e in sink.events("primary"))


def test_helpers_work_where_several_wait_and_the_worker_else(
    scan: tuple[dict[str, Any], Documents],
) -> None:
    settings, documents = scan
    many, few = Watched(0.01), Watched()
    say(documents, one_by_one=False, **settings, classifier=many)
    say(documents, one_by_one=True, **settings, classifier=few)
    assert many.threads[1:].count("ringwatch-labeller") >= FRAMES - 2
    assert set(few.threads) == {"ringwatch-worker"}


def test_a_label_that_fails_and_a_frame_that_cannot_be_read_fail_alone(
    scan: tuple[dict[str, Any], Documents], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, documents = scan
    read, asked = FrameReader.read, Watched()

    def gone(self: FrameReader, ref: FrameRef) -> Any:
        if ref.stream == "primary" and ref.index in (3, 7):
            raise FrameReadError("gone") if ref.index == 3 else KeyError("a defect")
        return read(self, ref)

    def fail(*_: Any) -> Any:
        asked.threads.append("")
        if len(asked.threads) == 6:  # the first was to warm up
            raise ZeroDivisionError("it knows nothing")
        raise PatternError("it never knows")

    monkeypatch.setattr(FrameReader, "read", gone)
    monkeypatch.setattr(asked, "predict", fail)
    events = say(documents, one_by_one=False, **settings, classifier=asked).events(
        "primary"
    )
    unknown = {e["raw_index"]: e["reason"] for e in events if e["verdict"] == "unknown"}
    assert list(unknown) == [3, 5, 7]
    assert unknown[3] == "gone"
    assert "ZeroDivisionError" in unknown[5]
    assert "KeyError" in unknown[7]
    assert [e["raw_index"] for e in events] == [*range(FRAMES)]


@pytest.mark.parametrize("scan", ["stream"], indirect=True)
def test_a_file_that_is_late_holds_up_no_earlier_verdict(
    scan: tuple[dict[str, Any], Documents], tmp_path: Path
) -> None:
    settings, documents = scan
    late_s = 4.0
    redirected: Documents = []
    for name, doc in documents:
        if name == "stream_resource" and "image" in doc["data_key"]:
            short = cut_short(doc, tmp_path / f"{doc['uid']}.h5", frames=5)
            redirected.append((name, doc | {"uri": f"file://localhost{short}"}))
        else:
            redirected.append((name, doc))
    sink = MemorySink()
    agent: RealAgent = Agent(
        sinks=(sink,), **settings, classifier=Watched(0.05), read_timeout_s=late_s
    )
    assert agent.wait_idle(120)
    began = time.monotonic()
    for name, doc in redirected:
        agent(name, doc)
    assert wait_until(lambda: len(sink.events("primary")) >= 5)
    assert time.monotonic() - began < 0.75 * late_s
    assert agent.close()
    words = {e["raw_index"]: e["verdict"] for e in sink.events("primary")}
    assert list(words.values()) == ["good"] * 5 + ["unknown"] * (FRAMES - 5)


def cut_short(resource: dict[str, Any], short: Path, frames: int) -> Path:
    """A copy of a resource's file that holds its first frames only."""
    path = str(resource["uri"]).removeprefix("file://localhost")
    dataset = resource["parameters"]["dataset"]
    with h5py.File(path, "r", locking=False) as whole, h5py.File(short, "w") as file:
        file[dataset] = whole[dataset][:frames]
    return short
