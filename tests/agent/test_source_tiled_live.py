"""Tiled as live source: real servers, real scans, connections cut, nothing lost."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine
from bluesky.preprocessors import plan_mutator
from bluesky.utils import Msg, RunEngineInterrupted
from bluesky_tiled_plugins import TiledWriter

from ringwatch.agent import Agent
from ringwatch.agent.cli.compare import BOOKKEEPING, differences, final_verdicts
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import AgentClosedError
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import find_run, replay
from ringwatch.agent.sources.tiled_live import TiledSource, TiledSourceError
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

Document = dict[str, Any]


def wait_until(condition: Callable[[], object], timeout: float = 30) -> bool:
    until = time.monotonic() + timeout
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())


class Watch:
    """An agent and a Tiled source that feeds it, joined as a service joins them."""

    def __init__(
        self, server: EmbeddedTiled, beamline: Beamline, raw: str, **settings: Any
    ) -> None:
        self.server, self.raw = server, raw
        self.settings = {
            "poni": beamline.poni_path,
            "mask": beamline.mask_path,
            "detector": "detector_image",
            "classifier": "none",
        } | settings
        self.sink = MemorySink()
        self.documents: list[tuple[str, Document]] = []
        self.gaps: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.held = False
        self.agent = Agent(
            sinks=(self.sink,),
            api_key=server.api_key,
            tiled=server.uri,
            raw_container=raw,
            tiled_container=f"{raw}_analysis",
            **self.settings,
        )
        self.source = TiledSource(
            server.uri,
            self.feed,
            api_key=server.api_key,
            container=raw,
            gap=self.gap,
            detector="detector_image",
            derived=f"{raw}_analysis",
            poll_s=0.3,
        )

    def feed(self, name: str, doc: Document) -> None:
        self.held = not self.go.is_set()
        self.go.wait()
        self.documents.append((name, doc))
        self.agent.feed(name, doc)

    def gap(self, uid: str, why: str) -> None:
        self.gaps.append(uid)
        self.agent.documents_lost(uid, why)

    def count(self, name: str) -> int:
        return sum(1 for seen, _ in self.documents if seen == name)

    def finish(self) -> None:
        """Wait for the verdicts of what came, and close."""
        assert self.agent.wait_idle(60)
        began = time.monotonic()
        assert self.source.close()
        assert time.monotonic() - began < 2
        assert self.agent.close()

    def check(self, uid: str, frames: int, *, provisional: bool = True) -> None:
        """Live in order, then one final verdict a frame."""
        documents = self.of_raw_run(uid)
        assert [n for n, _ in documents].count("start") == 1
        verdicts = [d["data"] for n, d in documents if n == "event"]
        live = [d for d in verdicts if not d["final"]]
        final = [d for d in verdicts if d["final"]]
        assert [d["raw_index"] for d in final] == list(range(frames))
        assert [d["raw_index"] for d in live] == list(range(frames * provisional))
        assert {d["verdict"] for d in verdicts} == {"good"}

    def check_replays(self, *uids: str) -> None:
        """Final verdicts are those of a replay, to the last bit."""
        sink = MemorySink()
        with Agent(sinks=(sink,), attempt=2, **self.settings) as again:
            for uid in uids:
                run = find_run(self.server.catalog(self.raw), uid)
                for name, doc in replay(run):
                    again.feed(name, doc)
            assert again.wait_idle(60)
        live = [named for uid in uids for named in self.of_raw_run(uid)]
        assert len(final_verdicts(live)) == len(final_verdicts(sink.documents)) > 0
        unlike = differences(live, sink.documents)
        assert [d for d in unlike if d.field not in BOOKKEEPING] == []

    def of_raw_run(self, uid: str) -> list[tuple[str, Document]]:
        """What was published of a raw run."""
        documents = self.sink.documents
        own = {d["uid"] for n, d in documents if n == "start" and d["raw_uid"] == uid}
        streams = {
            d["uid"]
            for n, d in documents
            if n == "descriptor" and d["run_start"] in own
        }
        return [
            (name, doc)
            for name, doc in documents
            if doc.get("run_start", doc["uid"]) in own
            or doc.get("descriptor") in streams
        ]

    def __enter__(self) -> Self:
        self.source.begin()
        assert self.source.wait_connected(30)
        return self

    def __exit__(self, *exception: object) -> None:
        self.go.set()
        self.source.close(1)
        self.agent.close(1)


def scan(
    engine: RunEngine,
    plan: Any,
    *callbacks: Callable[[str, Document], Any],
) -> str:
    """Run a plan with some callbacks; the uid of its run."""
    uids: list[str] = []
    tokens = [engine.subscribe(callback) for callback in callbacks]
    tokens.append(engine.subscribe(lambda _, doc: uids.append(doc["uid"]), "start"))
    try:
        engine(plan)
    except RunEngineInterrupted:
        engine.resume()
    finally:
        for token in tokens:
            engine.unsubscribe(token)
    return uids[0]


def rewinding(plan: Any) -> Any:
    """The plan, with a pause in the middle of a point: its frame is taken again."""
    triggers: list[Msg] = []
    paused: list[Msg] = []

    def pause_once(msg: Msg) -> Any:
        if msg.command == "trigger":
            triggers.append(msg)
        if msg.command == "create" and len(triggers) == 3 and not paused:
            paused.append(msg)
            return None, bps.pause()
        return None, None

    return plan_mutator(plan, pause_once)


def at_event(number: int, action: Callable[[], object]) -> Any:
    """A callback that does something when the given event of a scan has come."""
    primary: set[str] = set()

    def callback(name: str, doc: Document) -> None:
        if name == "descriptor" and doc["name"] == "primary":
            primary.add(doc["uid"])
        if (
            name == "event"
            and doc["descriptor"] in primary
            and doc["seq_num"] == number
        ):
            action()

    return callback


def wait_till_held(watch: Watch) -> Any:
    """A callback that returns once the source is held up by its taker."""

    def callback(name: str, doc: Document) -> None:
        if name == "start":
            assert wait_until(lambda: watch.held)

    return callback


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


@pytest.mark.slow
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
