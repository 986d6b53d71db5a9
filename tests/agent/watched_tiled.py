"""An agent that watches runs in Tiled, and scans that are written there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import bluesky.plan_stubs as bps
from bluesky import RunEngine
from bluesky.preprocessors import plan_mutator
from bluesky.utils import Msg, RunEngineInterrupted

from ringwatch.agent import Agent
from ringwatch.agent.cli.compare import BOOKKEEPING, differences, final_verdicts
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.sources.tiled import find_run, replay
from ringwatch.agent.sources.tiled_live import TiledSource
from ringwatch.simulated_beamline.beamline import Beamline

from .derived_documents import wait_until

Document = dict[str, Any]


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
        assert differences(live, sink.documents, leaving_out=BOOKKEEPING) == []

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
