"""A stored run replays as the agent saw it live, in every style and trouble."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.data_roots import DataRoots
from ringwatch.agent.documents import Announcer
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FileLocator, FrameRef
from ringwatch.agent.sources.stored_stream import FrameSet, match_rows
from ringwatch.agent.sources.tiled import catalog, find_run, replay, with_dark_run
from ringwatch.agent.tiled_client import disconnect
from ringwatch.simulated_beamline.area_detector import DatumDetector, InlineDetector
from ringwatch.simulated_beamline.readout import ListedFrames
from ringwatch.simulated_beamline.scans import fly, step_scan
from ringwatch.simulated_beamline.stream_detector import StreamDetector

STYLES = {"inline": InlineDetector, "datum": DatumDetector, "stream": StreamDetector}
SHAPE = (12, 10)
# Frame numbers differ in every pixel, so a frame taken for another cannot go unseen.
FRAMES = [np.full(SHAPE, 100 + n, dtype=np.uint16) for n in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def raw(server: EmbeddedTiled) -> Any:
    return server.catalog("raw")


class Frames:
    """What an agent would make of documents: references, with the pixels read."""

    def __init__(self, detector: str = "det_image") -> None:
        self.refs: list[FrameRef] = []
        self.pixels: list[int] = []
        self.stops: list[dict[str, Any]] = []
        self._reader = FrameReader()
        self.announcer = Announcer(self, detector=detector)

    def run_started(self, start: dict[str, Any]) -> None:
        pass

    def frame_announced(self, ref: FrameRef) -> None:
        self.refs.append(ref)
        pixels = self._reader.read(ref)
        self.pixels.append(zlib.crc32(np.ascontiguousarray(pixels).tobytes()))

    def run_stopped(self, stop: dict[str, Any]) -> None:
        self.stops.append(stop)

    def feed(self, name: str, doc: dict[str, Any]) -> None:
        self.announcer.feed(name, doc)

    def told(self, *, by_event: bool = True) -> list[tuple[Any, ...]]:
        """All that a verdict may depend on."""
        return [
            (
                ref.run_uid,
                ref.stream,
                ref.data_key,
                ref.index,
                ref.seq_num,
                ref.shape,
                crc,
                (ref.time, ref.readbacks) if by_event else None,
            )
            for ref, crc in zip(self.refs, self.pixels, strict=True)
        ]


def detector_of(style: str, folder: Path) -> Any:
    return STYLES[style](
        name="det", source=ListedFrames(FRAMES), folder=folder, exposure_time=0.001
    )


def live(
    engine: RunEngine, raw: Any, plan: Any, *, pauses: int = 0, batch_size: int = 10
) -> tuple[Any, Frames, list[str]]:
    """Run a plan, written to Tiled and seen live; the stored run, frames, names."""
    seen, names, uids = Frames(), [], []
    engine.subscribe(TiledWriter(raw, batch_size=batch_size))
    engine.subscribe(seen.feed)
    engine.subscribe(lambda name, doc: names.append(name))
    engine.subscribe(lambda name, doc: uids.append(doc["uid"]), "start")
    if pauses:
        with pytest.raises(RunEngineInterrupted):
            engine(plan)
        for _ in range(pauses - 1):
            with pytest.raises(RunEngineInterrupted):
                engine.resume()
        engine.resume()
    else:
        engine(plan)
    return raw[uids[-1]], seen, names


def replayed(
    documents: Iterator[tuple[str, dict[str, Any]]],
) -> tuple[Frames, list[str]]:
    seen, names = Frames(), []
    for name, doc in documents:
        names.append(name)
        seen.feed(name, doc)
    return seen, names


def pausing(plan: Any, command: str, *numbers: int) -> Any:
    """The plan with a pause before the n-th message of a kind."""
    count = 0
    for msg in plan:
        if msg.command == command:
            count += 1
            if count in numbers:
                yield from bps.pause()
        yield msg


@pytest.mark.parametrize("style", STYLES)
def test_step_scan_replays_in_its_own_style(
    style: str, folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    plan = step_scan(detector_of(style, folder), 12)
    run, seen, names = live(run_engine, raw, plan)
    again, names_again = replayed(replay(run, detector="det"))
    assert len(seen.refs) == 12
    assert again.told() == seen.told()
    assert names_again == names


def test_fly_scan(folder: Path, raw: Any, run_engine: RunEngine) -> None:
    run, seen, _ = live(run_engine, raw, fly(detector_of("stream", folder), 60))
    again, _ = replayed(replay(run))
    assert len(seen.refs) == 60
    assert again.told(by_event=False) == seen.told(by_event=False)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("command", ["save", "read", "trigger", "checkpoint"])
def test_pause_and_resume(
    style: str, command: str, folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    """A pause in a point takes it again: the frame given up may be announced or not."""
    plan = pausing(step_scan(detector_of(style, folder), 6), command, 3, 5)
    run, seen, names = live(run_engine, raw, plan, pauses=2)
    again, names_again = replayed(replay(run))
    assert len(seen.refs) >= 6
    assert again.told() == seen.told()
    assert names_again.count("event") == names.count("event")


@pytest.mark.parametrize("style", STYLES)
def test_rewound_points_are_kept_twice(
    style: str, folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    """One checkpoint for all points: a pause repeats those already saved."""
    detector = detector_of(style, folder)

    @bpp.stage_decorator([detector])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.checkpoint()
        for _ in range(5):
            yield from bps.trigger_and_read([detector])

    run, seen, _ = live(run_engine, raw, pausing(plan(), "save", 4), pauses=1)
    again, _ = replayed(replay(run))
    seq_nums = [ref.seq_num for ref in seen.refs]
    assert seq_nums[:3] == [1, 2, 3]
    assert seq_nums[-5:] == [1, 2, 3, 4, 5]
    assert again.told() == seen.told()


@pytest.mark.parametrize("style", STYLES)
def test_dark_stream_comes_first(
    style: str, folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    """Streams are interleaved by time; each has a file of its own."""
    detector = detector_of(style, folder)

    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.stage(detector)
        yield from bps.trigger_and_read([detector], name="dark")
        yield from bps.unstage(detector)
        yield from bps.stage(detector)
        for _ in range(3):
            yield from bps.trigger_and_read([detector], name="primary")
        yield from bps.unstage(detector)
        yield from bps.stage(detector)
        yield from bps.trigger_and_read([detector], name="after")
        yield from bps.unstage(detector)

    run, seen, names = live(run_engine, raw, plan())
    again, names_again = replayed(replay(run))
    assert [ref.stream for ref in seen.refs] == ["dark", *["primary"] * 3, "after"]
    assert again.told() == seen.told()
    assert names_again == names


def test_dark_run_that_the_start_names(
    folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    detector = detector_of("stream", folder)
    dark, dark_seen, _ = live(
        run_engine, raw, step_scan(detector, 1, md={"dark_frame": True})
    )
    uid = dark.metadata["start"]["uid"]
    engine = RunEngine({}, call_returns_result=False)
    light, seen, _ = live(
        engine, raw, step_scan(detector, 2, md={"sc_dk_field_uid": uid})
    )
    again, _ = replayed(with_dark_run(raw, light, detector="det_image"))
    assert again.told() == dark_seen.told() + seen.told()


def test_dark_run_that_is_lost_is_logged(
    folder: Path, raw: Any, run_engine: RunEngine, caplog: pytest.LogCaptureFixture
) -> None:
    plan = step_scan(detector_of("inline", folder), 1, md={"sc_dk_field_uid": "gone"})
    run, seen, _ = live(run_engine, raw, plan)
    again, _ = replayed(with_dark_run(raw, run))
    assert again.told() == seen.told()
    assert "'gone'" in caplog.text


@pytest.mark.parametrize("style", ["datum", "stream"])
def test_file_out_of_reach_comes_through_tiled(
    style: str, folder: Path, raw: Any, run_engine: RunEngine, monkeypatch: Any
) -> None:
    """As from another machine: same pixels, same identity, inside the events."""
    run, seen, _ = live(run_engine, raw, step_scan(detector_of(style, folder), 12))
    monkeypatch.setattr(
        "ringwatch.agent.sources.stored_stream.Path.is_file", lambda path: False
    )
    again, names = replayed(replay(run))
    assert again.told() == seen.told()
    assert not {"datum", "stream_datum"} & set(names)


def test_fly_scan_out_of_reach(
    folder: Path, raw: Any, run_engine: RunEngine, monkeypatch: Any
) -> None:
    run, seen, _ = live(run_engine, raw, fly(detector_of("stream", folder), 25))
    monkeypatch.setattr(
        "ringwatch.agent.sources.stored_stream.Path.is_file", lambda path: False
    )
    again, _ = replayed(replay(run))
    assert again.told(by_event=False) == seen.told(by_event=False)


def test_run_without_stop_is_abandoned(
    folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    """As after a crash: what was written replays, and the end says so."""
    writer = TiledWriter(raw, batch_size=1)
    documents: list[Any] = []
    run_engine.subscribe(lambda name, doc: documents.append((name, doc)))
    run_engine(step_scan(detector_of("stream", folder), 4))
    seen = Frames()
    for name, doc in documents[:-1]:
        writer(name, doc)
        seen.feed(name, doc)
    again, names = replayed(replay(raw[documents[0][1]["uid"]]))
    assert again.told() == seen.told()
    assert names[-1] == "stop"
    assert again.stops[0]["exit_status"] == "abandoned"


def test_aborted_run_keeps_its_status(
    folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    detector = detector_of("stream", folder)
    plan = pausing(step_scan(detector, 6), "checkpoint", 4)
    seen = Frames()
    uids: list[str] = []
    run_engine.subscribe(TiledWriter(raw))
    run_engine.subscribe(seen.feed)
    run_engine.subscribe(lambda name, doc: uids.append(doc["uid"]), "start")
    with pytest.raises(RunEngineInterrupted):
        run_engine(plan)
    run_engine.abort(reason="enough")
    again, _ = replayed(replay(raw[uids[0]]))
    assert again.told() == seen.told()
    assert again.stops[0]["exit_status"] == "abort"


def test_wrong_requests_are_refused_with_a_remedy(
    folder: Path,
    raw: Any,
    server: EmbeddedTiled,
    run_engine: RunEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    run, _, _ = live(run_engine, raw, step_scan(detector_of("inline", folder), 1))
    with pytest.raises(ReplayError, match=r"no image 'eiger'.*det_image"):
        replay(run, detector="eiger")
    with pytest.raises(ReplayError, match=r"no run 'nothing'.*check the uid"):
        find_run(raw, "nothing")
    with pytest.raises(ReplayError, match=r"no container 'cooked'.*raw"):
        catalog(server.uri, server.api_key, container="cooked")
    with pytest.raises(ReplayError, match="does not answer"):
        catalog("http://127.0.0.1:9", "key")


def test_catalog_by_address(server: EmbeddedTiled, raw: Any) -> None:
    runs = catalog(server.uri, server.api_key)
    assert runs.item["id"] == raw.item["id"]
    disconnect(runs)


def test_locators_point_into_the_file(
    folder: Path, raw: Any, run_engine: RunEngine
) -> None:
    run, _, _ = live(run_engine, raw, fly(detector_of("stream", folder), 3))
    again, _ = replayed(replay(run))
    locators = [ref.locator for ref in again.refs]
    assert all(isinstance(locator, FileLocator) for locator in locators)
    assert [locator.start for locator in locators] == [0, 1, 2]  # type: ignore[union-attr]


def frame_file(folder: Path, frames: int, **columns: Any) -> FrameSet:
    """A frame set of a classic datum stream, of which the catalogue knows 3 points."""
    path = folder / "frames.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.zeros((frames, 4, 4), dtype=np.uint16)
        for name, values in columns.items():
            file[f"entry/data/{name}"] = values
    return FrameSet(
        data_key="det_image",
        node=None,
        shape=(4, 4),
        rows=3,
        per_row=1,
        external="FILESTORE:",
        files=(path,),
        uris=(path.as_uri(),),
        dataset="entry/data/data",
    )


EVENTS = [
    {"time": t, "det_frame_number": n} for t, n in ((1.0, 7), (2.0, 9), (3.0, 10))
]


def test_counter_tells_which_point_was_given_up(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 4, frame_number=[7, 8, 9, 10])
    assert match_rows(EVENTS, frames) == [0, 2, 3]


def test_times_tell_where_there_is_no_counter(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 4, timestamp=[0.9, 1.2, 1.9, 2.9])
    assert match_rows(EVENTS, frames) == [0, 2, 3]


def test_without_a_hint_the_surplus_is_at_the_end_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert match_rows(EVENTS, frame_file(tmp_path, 4)) == [0, 1, 2]
    assert "neither a frame counter nor times" in caplog.text


def test_counters_that_do_not_fit_are_not_believed(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 4, frame_number=[0, 1, 2, 3], timestamp=[9.0] * 4)
    assert match_rows(EVENTS, frames) == [0, 1, 2]


def test_equal_numbers_pair_up(tmp_path: Path) -> None:
    frames = frame_file(tmp_path, 3, frame_number=[10, 9, 7])
    assert match_rows(EVENTS, frames) == [0, 1, 2]


def test_a_file_that_is_cut_off_ends_the_replay(tmp_path: Path) -> None:
    """HDF5 never returns from such a file when asked for single-writer mode."""
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset(
            "entry/data/data", data=np.zeros((4, 64, 64), "u2"), chunks=(1, 64, 64)
        )
    (tmp_path / "x").mkdir()
    frames = replace(frame_file(tmp_path / "x", 4), files=(path,))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ReplayError, match=r"frames\.h5.*truncated"):
        match_rows(EVENTS, frames)
    path.unlink()
    with pytest.raises(ReplayError, match="not there"):
        match_rows(EVENTS, frames)


def test_columns_are_not_looked_for_outside_the_roots(tmp_path: Path) -> None:
    inside = tmp_path / "data"
    inside.mkdir()
    frames = replace(frame_file(inside, 4), roots=DataRoots((inside,)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["n"] = [7, 8, 9, 10]
    with h5py.File(inside / "frames.h5", "a") as file:
        file["entry/data/frame_number"] = h5py.ExternalLink("../other.h5", "n")
    with pytest.raises(ReplayError, match="allowed folders"):
        match_rows(EVENTS, frames)
    assert match_rows(EVENTS, replace(frames, roots=DataRoots())) == [0, 2, 3]


def test_files_outside_the_roots_come_through_tiled(
    folder: Path, raw: Any, run_engine: RunEngine, tmp_path: Path
) -> None:
    run, seen, _ = live(run_engine, raw, step_scan(detector_of("stream", folder), 3))
    again, names = replayed(replay(run, roots=(tmp_path,)))
    assert "stream_datum" not in names
    assert again.pixels == seen.pixels
