"""A stored run replays as the agent saw it live, in every style and trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.sources.stored_runs import StoredRuns
from ringwatch.agent.sources.tiled import (
    catalog,
    find_run,
    replay,
    run_of,
    with_dark_run,
)
from ringwatch.agent.tiled_client import RUN_SPEC, disconnect
from ringwatch.simulated_beamline.scans import fly, step_scan

from .seen_frames import STYLES, Frames, detector_of, live, pausing, replayed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def raw(server: EmbeddedTiled) -> Any:
    return server.catalog("raw")


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


UID = "ab_de%1"
ALIKE = ["_______", "ab_de%", UID[:-1] + "2", "%", "abc", "", "..", "a/b"]
NO_UID = ["\0" * 8, "\ud800" * 8, "a" * 100_000]


def test_a_run_is_looked_up_by_its_whole_uid(server: EmbeddedTiled) -> None:
    """A server takes ``_`` and ``%`` for any letters; no address holds the last three.

    Two uids are alike to it, so that it would give neither.
    """
    runs = server.catalog("raw-uids")
    for key, uid in (("first", UID), ("second", "abcdefg1")):
        start = {"uid": uid, "time": 1.0}
        runs.create_container(key=key, metadata={"start": start}, specs=[RUN_SPEC])
    found = run_of(runs, UID)
    assert found is not None
    assert found.metadata["start"]["uid"] == UID
    for other in ALIKE + NO_UID:
        assert run_of(runs, other) is None
    stored = StoredRuns(server.uri, server.api_key, container="raw-uids")
    for other in ALIKE + NO_UID:
        with pytest.raises(ReplayError, match="no run"):
            next(stored(other))
