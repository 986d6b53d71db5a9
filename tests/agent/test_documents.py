"""Documents of real plans become frame references, whatever their style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from event_model import compose_run

from ringwatch.agent.documents import Announcer
from ringwatch.agent.errors import DocumentError
from ringwatch.agent.nouns import FileLocator, FrameRef, LostLocator, MemoryLocator
from ringwatch.simulated_beamline.area_detector import DatumDetector, InlineDetector
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import fly, step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

STYLES = {"inline": InlineDetector, "datum": DatumDetector, "stream": StreamDetector}


class Notes:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.frames: list[FrameRef] = []
        self.started: list[str] = []
        self.stopped: list[str] = []

    def run_started(self, start: dict[str, Any]) -> None:
        self.started.append(start["uid"])

    def frame_announced(self, ref: FrameRef) -> None:
        self.frames.append(ref)

    def run_stopped(self, stop: dict[str, Any]) -> None:
        self.stopped.append(stop["run_start"])


def detector_of(style: str, folder: Path) -> Any:
    source = ListedFrames.blank((8, 6))
    return STYLES[style](name="det", source=source, folder=folder, exposure_time=0.001)


@pytest.mark.parametrize("style", STYLES)
def test_each_style_announces_every_frame_once(
    style: str, tmp_path: Path, run_engine: RunEngine
) -> None:
    notes = Notes()
    announcer = Announcer(notes, detector="det_image")
    run_engine.subscribe(announcer.feed)
    run_engine(step_scan(detector_of(style, tmp_path), 5))
    assert [ref.index for ref in notes.frames] == [0, 1, 2, 3, 4]
    assert [ref.seq_num for ref in notes.frames] == [1, 2, 3, 4, 5]
    assert {ref.stream for ref in notes.frames} == {"primary"}
    assert {ref.shape for ref in notes.frames} == {(8, 6)}
    assert notes.started == notes.stopped
    kind = MemoryLocator if style == "inline" else FileLocator
    assert all(isinstance(ref.locator, kind) for ref in notes.frames)


def test_fly_scan_without_events(tmp_path: Path, run_engine: RunEngine) -> None:
    notes = Notes()
    announcer = Announcer(
        notes, detector="det_image"
    )  # kept: a RunEngine holds methods weakly
    run_engine.subscribe(announcer.feed)
    run_engine(fly(detector_of("stream", tmp_path), 7))
    starts = [ref.locator.start for ref in notes.frames]  # type: ignore[union-attr]
    assert starts == list(range(7))
    assert [ref.index for ref in notes.frames] == list(range(7))


def test_frame_waits_for_the_event_with_its_readbacks(
    tmp_path: Path, run_engine: RunEngine
) -> None:
    notes = Notes()
    announcer = Announcer(notes, detector="det_image")
    run_engine.subscribe(announcer.feed)
    run_engine(step_scan(detector_of("stream", tmp_path), 3))
    assert [ref.index for ref in notes.frames] == [0, 1, 2]
    for ref in notes.frames:
        assert ref.readbacks["det_exposure_time"] == pytest.approx(0.001)


def test_detector_may_be_named_by_its_device(
    tmp_path: Path, run_engine: RunEngine
) -> None:
    notes = Notes()
    announcer = Announcer(
        notes, detector="det"
    )  # kept: a RunEngine holds methods weakly
    run_engine.subscribe(announcer.feed)
    run_engine(step_scan(detector_of("inline", tmp_path), 2))
    assert len(notes.frames) == 2


def test_unknown_detector_is_reported_with_those_seen(
    tmp_path: Path, run_engine: RunEngine, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()
    announcer = Announcer(
        notes, detector="eiger_image"
    )  # kept: a RunEngine holds methods weakly
    run_engine.subscribe(announcer.feed)
    run_engine(step_scan(detector_of("inline", tmp_path), 2))
    assert not notes.frames
    assert "'eiger_image'" in caplog.text
    assert "det_image" in caplog.text


def test_interleaved_runs_keep_their_frames_apart(
    tmp_path: Path, run_engine: RunEngine
) -> None:
    first, second = [], []
    for store in (first, second):
        token = run_engine.subscribe(lambda n, d, s=store: s.append((n, d)))
        run_engine(step_scan(detector_of("datum", tmp_path), 3))
        run_engine.unsubscribe(token)
    notes = Notes()
    announcer = Announcer(notes)
    for pair in zip(first, second, strict=True):
        for name, doc in pair:
            announcer.feed(name, doc)
    by_run = {
        uid: [r.index for r in notes.frames if r.run_uid == uid]
        for uid in notes.started
    }
    assert list(by_run.values()) == [[0, 1, 2], [0, 1, 2]]


def make_run(value: Any, **data_key: Any) -> list[tuple[str, dict[str, Any]]]:
    """Documents of one event whose detector value is ``value``."""
    run = compose_run()
    key = {"source": "test", "dtype": "array", "shape": [4, 5], **data_key}
    stream = run.compose_descriptor(name="primary", data_keys={"det_image": key})
    event = stream.compose_event(
        data={"det_image": value}, timestamps={"det_image": 0.0}, validate=False
    )
    return [
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
        ("event", event),
        ("stop", run.compose_stop()),
    ]


@pytest.mark.parametrize(
    ("value", "frames"),
    [
        (np.zeros((4, 5)), 1),
        (np.zeros((1, 4, 5)), 1),
        (np.zeros((3, 1, 4, 5)), 3),
        ([[0] * 5] * 4, 1),
    ],
)
def test_leading_dimensions_are_frames(value: Any, frames: int) -> None:
    notes = Notes()
    announcer = Announcer(notes)
    for name, doc in make_run(value):
        announcer.feed(name, doc)
    assert len(notes.frames) == frames
    assert all(
        isinstance(r.locator, MemoryLocator) and r.locator.frame.shape == (4, 5)
        for r in notes.frames
    )


@pytest.mark.parametrize("value", [1.5, np.zeros(3), None, "lost/0", [[1], [1, 2]]])
def test_event_without_an_image_still_announces_its_frame(value: Any) -> None:
    notes = Notes()
    announcer = Announcer(notes)
    for name, doc in make_run(value):
        announcer.feed(name, doc)
    (ref,) = notes.frames
    assert isinstance(ref.locator, LostLocator)
    assert ref.locator.reason


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        ("event", {}),
        ("event", {"descriptor": "never seen"}),
        ("stream_datum", {"descriptor": "x"}),
        ("descriptor", {"uid": "a", "run_start": "b", "data_keys": {}}),
        ("stop", {"run_start": "nobody"}),
        ("start", {"no": "uid"}),
        ("nonsense", {}),
    ],
)
def test_malformed_documents_are_named_and_survived(
    name: str, doc: dict[str, Any]
) -> None:
    notes = Notes()
    announcer = Announcer(notes)
    with pytest.raises(DocumentError):
        announcer.feed(name, doc)
    for good_name, good in make_run(np.ones((4, 5))):
        announcer.feed(good_name, good)
    assert len(notes.frames) == 1


ODD_NAMES = (b"k", 3, None, ("a", 1))


@pytest.mark.parametrize(
    ("told", "name", "why"),
    [(["det_image"], ["no name"], "not list"), ([], "primary", "not bytes")],
)
def test_a_run_ends_though_its_descriptor_was_refused(
    told: list[str], name: Any, why: str
) -> None:
    """A stop was left out, and the run stayed open, where names were no texts."""
    start, (_, descriptor), _, stop = make_run(np.ones((4, 5)))
    image = descriptor["data_keys"]["det_image"]
    keys = dict.fromkeys((*ODD_NAMES, *told), image)
    notes = Notes()
    announcer = Announcer(notes)
    announcer.feed(*start)
    with pytest.raises(DocumentError, match=f"a text is expected, {why}"):
        announcer.feed("descriptor", descriptor | {"data_keys": keys, "name": name})
    announcer.feed(*stop)
    assert notes.stopped == notes.started != []


def test_an_image_that_nobody_can_ask_for_costs_no_other() -> None:
    run = make_run(np.ones((4, 5)))
    keys = run[1][1]["data_keys"]
    run[1][1]["data_keys"] = dict.fromkeys((*ODD_NAMES, *keys), keys["det_image"])
    notes = Notes()
    announcer = Announcer(notes)
    for document in run:
        announcer.feed(*document)
    assert [frame.data_key for frame in notes.frames] == ["det_image"]


def test_unknown_asset_kinds_lose_pixels_but_no_frame(
    tmp_path: Path, run_engine: RunEngine
) -> None:
    documents: list[tuple[str, dict[str, Any]]] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    run_engine(step_scan(detector_of("stream", tmp_path), 2))
    run_engine(step_scan(detector_of("datum", tmp_path), 2))
    changed = []
    strange = {
        "stream_resource": {"mimetype": "application/x-zarr"},
        "resource": {"spec": "MARBLE_TABLET"},
    }
    for name, doc in documents:
        changed.append((name, {**doc, **strange.get(name, {})}))
    notes = Notes()
    announcer = Announcer(notes)
    for name, doc in changed:
        announcer.feed(name, doc)
    assert len(notes.frames) == 4
    reasons = [ref.locator.reason for ref in notes.frames]  # type: ignore[union-attr]
    assert any("x-zarr" in r for r in reasons)
    assert any("MARBLE_TABLET" in r for r in reasons)


def test_pause_and_resume_announce_what_was_taken(
    tmp_path: Path, run_engine: RunEngine
) -> None:
    """Every frame that is announced has its own index; the later supersedes."""
    notes = Notes()
    announcer = Announcer(notes)  # kept: a RunEngine holds methods weakly
    run_engine.subscribe(announcer.feed)
    detector = detector_of("stream", tmp_path)
    paused = []

    def pausing_plan() -> Any:
        for msg in step_scan(detector, 5):
            if msg.command == "save" and len(notes.frames) >= 2 and not paused:
                paused.append(True)
                yield from bps.pause()
            yield msg

    with pytest.raises(RunEngineInterrupted):
        run_engine(pausing_plan())
    run_engine.resume()
    assert paused
    assert [ref.index for ref in notes.frames] == list(range(len(notes.frames)))
    assert len(notes.frames) >= 5
    assert {ref.seq_num for ref in notes.frames} == {1, 2, 3, 4, 5}
