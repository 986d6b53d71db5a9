"""``ringwatch serve`` on a bad day: a full disk, Tiled away, told to end."""

from __future__ import annotations

import json
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from event_model import DocumentNames, schema_validators
from tiled.queries import Key

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.service_alarms import PURPOSE
from ringwatch.agent.sinks.spooled import SpooledSink
from ringwatch.agent.sources.zmq import ZmqSource
from ringwatch.plans.publisher import DocumentPublisher

from .derived_documents import wait_until
from .flaky_proxy import FlakyProxy
from .service import Service, inline_run


@pytest.fixture
def proxy(server: EmbeddedTiled) -> Iterator[FlakyProxy]:
    with FlakyProxy(server.uri) as before_tiled:
        yield before_tiled


@pytest.fixture
def config(proxy: FlakyProxy, poni: Path, tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'poni = "{poni}"\n'
        'classifier = "none"\n'
        'documents = ["tcp://127.0.0.1:0"]\n'
        "documents_bind = true\n"
        'publish = "tcp://127.0.0.1:0"\n'
        f'tiled = "{proxy.uri}"\n'
        f'tiled_container = "{tmp_path.name}"\n'
        f'state = "{tmp_path}/state"\n'
        # The first frames wait for compiled code.
        "shed_labels_after_s = 600\nshed_frames_after_s = 600\n"
    )
    return path


class Heard:
    """What a listener to the verdicts hears."""

    def __init__(self) -> None:
        self.frames: Counter[int] = Counter()
        self.alarms: dict[str, str] = {}  # in force, by the uid of their run
        self.rung: list[str] = []
        self.over: list[str] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "event":
            if doc["data"]["final"]:
                self.frames[doc["data"]["raw_index"]] += 1
        elif doc.get("purpose") == PURPOSE:
            schema_validators[DocumentNames.start].validate(doc)
            self.alarms[doc["uid"]] = doc["alarm"]
            self.rung.append(f"{doc['alarm']}: {doc['reason']}")
        elif doc.get("run_start") in self.alarms:
            schema_validators[DocumentNames.stop].validate(doc)
            self.over.append(self.alarms.pop(doc["run_start"]))


def finals(server: EmbeddedTiled, container: str, uid: str) -> Counter[int]:
    """Final verdicts in Tiled, by frame."""
    found: Counter[int] = Counter()
    for run in server.catalog(container).search(Key("raw_uid") == uid).values():
        table = run["primary"].base["internal"].read()
        found.update(int(i) for i in table["raw_index"][table["final"]])
        assert run.metadata["stop"]["exit_status"] == "success"
    return found


def away(method: str, path: str, body: bytes) -> tuple[int, bool]:
    return 503, False


def well(method: str, path: str, body: bytes) -> tuple[int, bool]:
    return 0, True


def limit_files(service: Service, size: int) -> None:
    """No file of the service can become larger: as a disk without room."""
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, -1))


def test_a_full_disk_and_an_absent_tiled_ring_once_and_cost_no_verdict(
    server: EmbeddedTiled,
    proxy: FlakyProxy,
    config: Path,
    tmp_path: Path,
    ring_frames: list[Any],
) -> None:
    heard, named = Heard(), inline_run(ring_frames[:20])
    uid = named[0][1]["uid"]
    with Service(config, TILED_API_KEY=server.api_key) as service:
        listening = ZmqSource(service.address("verdicts"), heard)
        publish = DocumentPublisher(service.address("documents"))
        with listening, closing(publish):
            assert listening.wait_connected(10)
            feed(publish, named[:7])
            assert wait_until(lambda: len(heard.frames) == 5)
            assert wait_until(lambda: list(tmp_path.rglob("*.spool")) != [])
            limit_files(service, 1000)
            feed(publish, named[7:12])
            assert wait_until(lambda: len(heard.frames) == 10)
            assert wait_until(lambda: sorted(heard.alarms.values()) == ["spool"])
            proxy.policy = away
            feed(publish, named[12:17])
            assert wait_until(lambda: len(heard.frames) == 15)
            assert wait_until(lambda: "tiled" in heard.alarms.values())
            proxy.policy = well
            limit_files(service, resource.RLIM_INFINITY)
            assert wait_until(lambda: not heard.alarms)
            feed(publish, named[17:])
            assert wait_until(lambda: len(heard.frames) == 20)
        assert service.end() == 0
    assert set(heard.frames.values()) == {1}
    assert sorted(heard.over) == ["spool", "tiled"]
    assert [text.partition(":")[0] for text in heard.rung] == ["spool", "tiled"]
    assert any("File too large" in text for text in heard.rung)
    assert service.log.count("Make room, or mend the folder") == 1
    assert service.log.count("results wait in the spool") == 1
    assert service.log.count("the disk takes documents again") == 1
    assert service.log.count("all is well again") == 1
    assert finals(server, tmp_path.name, uid) == dict.fromkeys(range(20), 1)


def feed(publish: DocumentPublisher, named: list[NamedDocument]) -> None:
    for name, doc in named:
        publish(name, doc)


def test_told_to_end_while_tiled_is_away_it_waits_for_nothing(
    server: EmbeddedTiled,
    proxy: FlakyProxy,
    config: Path,
    tmp_path: Path,
    ring_frames: list[Any],
) -> None:
    """It ends in seconds, says what waits, and when it was last there."""
    proxy.policy = away
    heard, named = Heard(), inline_run(ring_frames[:4])
    options = ("--close-after", "200")
    with Service(config, *options, TILED_API_KEY=server.api_key) as service:
        listening = ZmqSource(service.address("verdicts"), heard)
        publish = DocumentPublisher(service.address("documents"))
        with listening, closing(publish):
            assert listening.wait_connected(10)
            feed(publish, named)
            assert wait_until(lambda: len(heard.frames) == 4), service.log
            told = time.time()
            assert service.end(seconds=60) == 0  # it may take 200
    assert "7 documents are not in Tiled yet: they stay in the spool" in service.log
    assert "4 of 4 frames have their final verdict; not all went out" in service.log
    seen = json.loads((tmp_path / "state" / "last_seen.json").read_text())
    assert told <= seen["time"] <= told + 30
    proxy.policy = well
    spool = tmp_path / "state" / "spool"
    late = SpooledSink(
        spool, server.uri, api_key=server.api_key, container=tmp_path.name
    )
    assert late.flush(60)
    assert late.close(5)
    uid = named[0][1]["uid"]
    assert finals(server, tmp_path.name, uid) == dict.fromkeys(range(4), 1)


def test_told_to_end_it_keeps_its_deadline(
    server: EmbeddedTiled, proxy: FlakyProxy, config: Path, ring_frames: list[Any]
) -> None:
    """An event was lost, and the run cannot be fetched: a second pass that waits."""
    proxy.policy = away
    named = inline_run(ring_frames[:3])
    heard: list[str] = []
    with Service(config, "--close-after", "2", TILED_API_KEY=server.api_key) as service:
        listening = ZmqSource(
            service.address("verdicts"), lambda name, _: heard.append(name)
        )
        publish = DocumentPublisher(service.address("documents"))
        with listening, closing(publish):
            assert listening.wait_connected(10)
            feed(publish, [*named[:2], *named[3:]])
            assert service.says("verdicts are provisional")
            assert wait_until(lambda: heard.count("event") == 2)
            assert service.end(seconds=25) == 0
            assert service.says("not all went out")


def test_two_with_one_state_would_take_each_others_runs(
    server: EmbeddedTiled, config: Path, tmp_path: Path
) -> None:
    """The second says who is there; once the first is killed another may begin."""
    key = {"TILED_API_KEY": server.api_key}
    with Service(config, **key) as first:
        assert first.says("documents from"), first.log
        again = config.with_name("again.toml")
        again.write_text(config.read_text())
        with Service(again, **key) as second:
            assert second.process.wait(60) == 78
            assert f"process {first.process.pid}" in second.log.replace("\n", " ")
    with Service(config, **key) as third:
        assert third.says("documents from"), third.log
        assert third.end() == 0
