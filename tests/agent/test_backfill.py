"""What was left out under overload gets its final verdict, that of a replay."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent import Agent
from ringwatch.agent.cli.compare import BOOKKEEPING
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.runs.backfill import StoredFrames
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.models.inputs import PatternError
from ringwatch.simulated_beamline.scenarios import powder_beamline

FRAMES = 12
OVERLOAD = {"shed_labels_after_s": 0.05, "shed_frames_after_s": 0.2}
ARRAYS = ("intensity", "sigma", "intensity_corrected", "sigma_corrected", "embedding")


class Slow:
    """A classifier that takes its time and never knows."""

    identity = "slow"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def predict(self, *_: Any) -> Any:
        time.sleep(self.seconds)
        raise PatternError("it never knows")


def told(sink: MemorySink) -> dict[int, list[dict[str, Any]]]:
    """Revisions of each frame."""
    found: dict[int, list[dict[str, Any]]] = {}
    for event in sink.events("primary"):
        found.setdefault(event["raw_index"], []).append(event)
    return found


def final(sink: MemorySink) -> list[dict[str, Any]]:
    """The final verdict of each frame, in their order, times left out."""
    found = told(sink)
    every = []
    for index in sorted(found):
        (one,) = [event for event in found[index] if event["final"]]
        every.append({k: v for k, v in one.items() if k not in BOOKKEEPING})
    return every


def same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x[key], y[key], equal_nan=isinstance(x[key], float | np.ndarray))
        for x, y in zip(a, b, strict=True)
        for key in x
    )


@pytest.mark.parametrize("style", ["stream", "inline"])
def test_what_was_left_out_is_filled_in(
    run_engine: RunEngine, tmp_path: Path, style: str
) -> None:
    beamline = powder_beamline(tmp_path, detector=256, style=style)
    given = {"poni": beamline.poni_path, "mask": beamline.mask_path}
    with EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path]) as tiled:
        run_engine.subscribe(TiledWriter(tiled.catalog("raw"), batch_size=1))
        sink, calm = MemorySink(), MemorySink()
        hurried = Agent(
            **given,
            **OVERLOAD,
            tiled=tiled.uri,
            api_key=tiled.api_key,
            classifier=Slow(0.8),
            sinks=(sink,),
            max_pending_bytes=1 << 18,
        )
        quiet = Agent(**given, classifier=Slow(0.0), sinks=(calm,))
        for agent in (hurried, quiet):
            assert agent.wait_idle(120)
            run_engine.subscribe(agent)
        run_engine(beamline.step_scan(FRAMES))
        assert hurried.wait_idle(60)
        assert hurried.close()
        assert quiet.close()
    revisions = told(sink)
    assert sorted(revisions) == list(range(FRAMES))
    assert any(len(each) > 1 for each in revisions.values())
    assert same(final(sink), final(calm))
    counters = hurried.counters
    assert counters.analysed + counters.unknown == counters.announced == FRAMES
    assert counters.shed > 0
    assert counters.backfilled > 0


def test_what_nobody_has_keeps_its_last_word(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    """Tiled is there, but nobody writes the raw run into it."""
    beamline = powder_beamline(tmp_path, detector=256, style="inline")
    with EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path]) as tiled:
        sink = MemorySink()
        agent = Agent(
            poni=beamline.poni_path,
            tiled=tiled.uri,
            api_key=tiled.api_key,
            classifier=Slow(0.8),
            sinks=(sink,),
            max_pending_bytes=1 << 18,
            backfill_patience_s=0.5,
        )
        assert agent.wait_idle(120)
        run_engine.subscribe(agent)
        run_engine(beamline.step_scan(FRAMES))
        assert agent.wait_idle(60)
        assert agent.close()
    revisions = told(sink)
    assert sorted(revisions) == list(range(FRAMES))
    assert all(sum(e["final"] for e in each) == 1 for each in revisions.values())
    words = Counter(each[-1]["verdict"] for each in revisions.values())
    assert words["unknown"] > 0
    assert words["good"] > 0
    (stop,) = [doc for name, doc in sink.documents if name == "stop"]
    assert sum(stop["verdicts"].values()) == FRAMES


def test_a_file_that_comes_late_is_waited_for(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    """A disk of the network shows the file when the frames were shed long ago."""
    beamline = powder_beamline(tmp_path, detector=256)
    documents: list[tuple[str, Any]] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    run_engine(beamline.step_scan(FRAMES))
    (file,) = tmp_path.rglob("*.h5")
    hidden = file.rename(file.with_suffix(".hidden"))
    sink = MemorySink()
    agent = Agent(
        poni=beamline.poni_path,
        mask=beamline.mask_path,
        classifier="none",
        sinks=(sink,),
        read_timeout_s=20.0,
        shed_labels_after_s=0.0,
        shed_frames_after_s=1e-9,
    )
    assert agent.wait_idle(120)
    for name, doc in documents:
        agent(name, doc)
    time.sleep(1.0)
    hidden.rename(file)
    assert agent.wait_idle(60)
    assert agent.close()
    assert [event["verdict"] for event in final(sink)] == ["good"] * FRAMES


class Fetched:
    """A stored run that cannot be read at first."""

    def __init__(self, documents: list[tuple[str, Any]], *failures: Exception) -> None:
        self.documents, self.failures = documents, list(failures)

    def __call__(self, uid: str, *, whole: bool = True) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        yield from self.documents


def fetched(frames: StoredFrames) -> list[int]:
    indices = []
    until = time.monotonic() + 30
    while not frames.finished and time.monotonic() < until:
        frames.begin()
        ref = frames.poll()
        if ref is not None:
            indices.append(ref.index)
        time.sleep(0.01)
    return indices


def test_what_goes_wrong_in_a_stored_run_costs_little(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    beamline = powder_beamline(tmp_path, detector=64, style="inline")
    documents: list[tuple[str, Any]] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    run_engine(beamline.step_scan(5))
    events = [n for n, (name, _) in enumerate(documents) if name == "event"]
    del documents[events[2]][1]["time"]
    fetch = Fetched(documents, ValueError("no JSON"), KeyError("data_keys"))
    frames = StoredFrames("uid", fetch, None, patience_s=60.0)
    assert fetched(frames) == [0, 1, 2, 3]  # one event is malformed
    assert frames.failure == ""
    vain = StoredFrames(
        "uid", Fetched([], *[ValueError("no JSON")] * 9), None, patience_s=0
    )
    assert fetched(vain) == []
    assert vain.failure == "no JSON"
