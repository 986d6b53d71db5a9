"""Tiled as live source: real servers, real scans, connections cut, nothing lost."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import AgentClosedError
from ringwatch.agent.sources.tiled_live import TiledSource, TiledSourceError
from ringwatch.agent.tiled_client import connect
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .derived_documents import wait_until
from .watched_tiled import Document, Watch, at_event, rewinding, scan, wait_till_held


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


def test_live_in_order_and_final_as_a_replay(
    folder: Path, server: EmbeddedTiled, run_engine: RunEngine
) -> None:
    """All styles; a frame taken twice; a run stored to its end when first looked at."""
    lines = {
        style: powder_beamline(folder / style, detector=256, style=style)
        for style in ("stream", "inline", "datum")
    }
    writer = TiledWriter(server.catalog("raw_live"), batch_size=1)
    uids, seen = [], []
    with Watch(server, lines["stream"], "raw_live") as watch:
        for beamline in lines.values():
            before = watch.count("event")

            def note(wanted: int = before + 2) -> None:
                seen.append(wait_until(lambda: watch.count("event") >= wanted))

            plan = beamline.step_scan(5)
            if beamline is lines["stream"]:
                plan = rewinding(plan)
            uids.append(scan(run_engine, plan, writer, at_event(4, note)))
        assert seen == [True] * 3  # while the scans went on
        assert wait_until(lambda: watch.count("stop") == 3)
        assert watch.source.counters.notices > 15
        # While the agent is at work on one document, another run begins and ends.
        watch.go.clear()
        uids.append(
            scan(run_engine, lines["stream"].fly(3), writer, wait_till_held(watch))
        )
        uids.append(scan(run_engine, lines["inline"].step_scan(3), writer))
        watch.go.set()
        assert wait_until(lambda: watch.count("stop") == 5)
        watch.finish()
    assert watch.gaps == uids[:-1]
    assert watch.source.counters.refused == 0
    assert watch.source.open_runs == ()
    for uid, frames in zip(uids, (6, 5, 5, 3), strict=False):
        watch.check(uid, frames)
    watch.check(uids[-1], 3, provisional=False)
    watch.check_replays(*uids)


def test_joins_late_and_ends_without_a_stop(
    folder: Path, server: EmbeddedTiled, run_engine: RunEngine
) -> None:
    """A run that goes on when we begin, and whose stop never comes."""
    beamline = powder_beamline(folder / "late", detector=256)
    writer = TiledWriter(server.catalog("raw_late"), batch_size=1)
    over = scan(run_engine, beamline.step_scan(2), writer)

    def crashing(name: str, doc: Document) -> None:
        if name != "stop":
            writer(name, doc)

    with ExitStack() as stack:
        watches: list[Watch] = []

        def join() -> None:
            watch = Watch(server, beamline, "raw_late", backfill_patience_s=0.1)
            watches.append(stack.enter_context(watch))

        uid = scan(run_engine, beamline.step_scan(6), crashing, at_event(3, join))
        (watch,) = watches
        assert wait_until(lambda: watch.count("event") == 6)
        assert watch.source.open_runs == (uid,)
        watch.finish()
    watch.check(uid, 6)
    assert watch.of_raw_run(over) == []  # over before we began: not ours
    watch.check_replays(uid)


@pytest.mark.long
def test_server_killed_and_hanging(
    tmp_path: Path, run_engine: RunEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Its websockets are cut, it comes back without any, then with; then it hangs."""
    caplog.set_level(logging.DEBUG, logger="websockets")
    caplog.set_level(logging.DEBUG, logger="ringwatch")
    beamline = powder_beamline(tmp_path / "files", detector=256)
    server = EmbeddedTiled(tmp_path / "tiled", readable_storage=[tmp_path])
    with server:
        writer = TiledWriter(server.catalog("raw"), batch_size=1)
        notices: list[int] = []
        with Watch(server, beamline, "raw", state=tmp_path / "state") as watch:

            def restart(frames: int, *, streams: bool) -> None:
                assert wait_until(lambda: watch.count("event") >= frames)
                notices.append(watch.source.counters.notices)
                assert server._process is not None
                server._process.kill()
                server._process.communicate()
                server.streams = streams
                server.start()
                if streams:
                    assert wait_until(lambda: watch.source._bells.work)

            uid = scan(
                run_engine,
                beamline.step_scan(6),
                writer,
                at_event(2, lambda: restart(2, streams=False)),
                at_event(4, lambda: restart(4, streams=True)),
            )
            assert wait_until(lambda: watch.count("stop"))
            uids = uid, scan(run_engine, beamline.step_scan(2), writer)
            assert wait_until(lambda: watch.count("stop") == 2)
            assert notices[0] > 3  # by websocket
            assert notices[1] == notices[0]  # by asking
            assert watch.source.counters.notices > notices[1]
            assert watch.source.counters.gaps  # it counts from one again
            assert watch.agent.wait_idle(60)
            # It hangs while a run goes on: we end all the same.
            assert server._process is not None
            os.kill(server._process.pid, signal.SIGSTOP)
            try:
                time.sleep(1.0)  # a look has begun
                began = time.monotonic()
                assert watch.source.close()
                assert time.monotonic() - began < 2
            finally:
                os.kill(server._process.pid, signal.SIGCONT)
            watch.finish()
        watch.check(uids[0], 6)
        watch.check(uids[1], 2)
        watch.check_replays(*uids)
    said = [r.getMessage() for r in caplog.records if "Tiled source" in r.getMessage()]
    assert any("offers no streams here" in line for line in said)
    assert any("come again" in line for line in said)
    assert server.api_key not in caplog.text


def test_forgets_a_run_without_news(server: EmbeddedTiled) -> None:
    start: Document = {"uid": str(uuid4()), "time": time.time(), "scan_id": 1}
    silent = TiledWriter(server.catalog("raw_silent"))
    silent("start", start)
    silent("start", start | {"uid": str(uuid4()), "time": time.time() - 3600})
    fed: list[tuple[str, Document]] = []
    source = TiledSource(
        server.uri,
        lambda *named: fed.append(named),
        api_key=server.api_key,
        container="raw_silent",
        poll_s=0.2,
        abandon_after_s=30.0,
    )
    with source:
        assert wait_until(lambda: fed)
        assert source.open_runs == (start["uid"],)
        source._abandon_after_s = 0.0  # or wait half a minute
        assert wait_until(lambda: not source.open_runs)
    assert fed == [("start", start)]  # the other was given up long ago


def test_too_many_open_runs_give_up_the_oldest(
    server: EmbeddedTiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringwatch.agent.sources.tiled_live.MOST_RUNS", 2)
    catalogue = server.catalog("raw_many")
    uids = [str(uuid4()) for _ in range(3)]
    fed: list[tuple[str, str]] = []
    gaps: list[tuple[str, str]] = []
    source = TiledSource(
        server.uri,
        lambda name, doc: fed.append((name, doc.get("run_start", doc["uid"]))),
        api_key=server.api_key,
        container="raw_many",
        gap=lambda *gap: gaps.append(gap),
        poll_s=0.2,
    )
    with source:
        assert source.wait_connected(30)
        for number, uid in enumerate(uids, 1):
            TiledWriter(catalogue)("start", {"uid": uid, "time": time.time()})
            assert wait_until(lambda told=number: len(gaps) >= told)  # type: ignore[misc]
        assert wait_until(lambda: len(gaps) == 4)
        assert source.open_runs == tuple(uids[1:])
    first, *others = uids
    assert fed == [
        ("start", first),
        ("start", others[0]),
        ("stop", first),
        ("start", others[1]),
    ]
    assert "2 newer runs began" in dict(gaps)[first]
    assert source.counters.given_up == 1


def test_a_taker_that_is_closed_ends_it(server: EmbeddedTiled) -> None:
    start: Document = {"uid": str(uuid4()), "time": time.time(), "scan_id": 1}
    TiledWriter(server.catalog("raw_taker"))("start", start)
    asked: list[str] = []

    def closed(name: str, _: Document) -> None:
        asked.append(name)
        raise AgentClosedError("the agent is closed")

    source = TiledSource(
        server.uri, closed, api_key=server.api_key, container="raw_taker", poll_s=0.1
    )
    with source:
        assert wait_until(lambda: asked)
        thread = source._thread
        assert thread is not None
        thread.join(10)
        assert not thread.is_alive()
    assert asked == ["start"]


def test_a_container_that_comes_later_is_waited_for_on_one_connection(
    server: EmbeddedTiled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each connection costs a core 50 ms and holds a megabyte for a while."""
    made: list[str] = []

    def counted(*where: str) -> object:
        made.append(where[0])
        return connect(*where)

    monkeypatch.setattr("ringwatch.agent.sources.tiled_server.connect", counted)
    monkeypatch.setattr("ringwatch.agent.sources.tiled_live._RETRY_S", 0.1)
    source = TiledSource(
        server.uri, lambda *_: None, api_key=server.api_key, container="raw_to_come"
    )
    with source:
        assert wait_until(lambda: "no container 'raw_to_come'" in caplog.text)
        time.sleep(1.0)
        assert not source.wait_connected(0)
        server.catalog("raw_to_come")
        assert source.wait_connected(30)
    assert len(made) == 1


def test_addresses() -> None:
    for wrong in ("tcp://127.0.0.1:5577", "127.0.0.1:8000", "http://"):
        with pytest.raises(TiledSourceError, match="give http://host:port"):
            TiledSource(wrong, lambda *_: None).begin()
    # Nobody listens there: it is waited for, and the key is not told.
    source = TiledSource("http://127.0.0.1:9?api_key=sesame", lambda *_: None)
    assert "sesame" not in str(source.addresses)
    with source:
        assert not source.wait_connected(0.2)
        with pytest.raises(TiledSourceError, match="runs already"):
            source.begin()
    assert source.close()
