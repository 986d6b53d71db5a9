"""Derived runs in a real Tiled server, while they go on and while it is away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky_tiled_plugins import TiledWriter
from event_model import DocumentNames, schema_validators
from tiled.queries import Key

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import SinkError
from ringwatch.agent.sinks.tiled import TiledSink
from ringwatch.agent.tiled_client import (
    CATALOG_SPEC,
    connect,
    disconnect,
    find_or_create,
)

from .derived_documents import Derived, Q, assert_whole, put_all, wait_until


class Forgetful:
    """A real table that acknowledges every second append without keeping it."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._calls = 0
        self.forgotten = 0

    def read(self, *arguments: Any) -> Any:
        return self._table.read(*arguments)

    def append_partition(self, *arguments: Any) -> None:
        self._calls += 1
        if self._calls % 2:
            self.forgotten += 1
            return
        self._table.append_partition(*arguments)


@pytest.fixture
def sink(server: EmbeddedTiled) -> Iterator[TiledSink]:
    sink = TiledSink(server.uri, api_key=server.api_key, interval=0.2)
    yield sink
    sink.close(5)


def test_found_by_raw_uid_while_the_run_goes_on(
    server: EmbeddedTiled, sink: TiledSink
) -> None:
    derived = Derived("raw-live")
    put_all(sink, [derived.start, derived.descriptor, derived.event(0)])
    runs = server.catalog("analysis")

    def found() -> list[Any]:
        return list(runs.search(Key("raw_uid") == "raw-live"))

    assert wait_until(lambda: found() == [derived.uid])
    assert sink.flush(30)
    assert runs[derived.uid]["primary"]["revision"].read().tolist() == [0]
    put_all(sink, [derived.event(1), derived.event(2)])
    assert sink.flush(30)
    run = runs[derived.uid]
    assert "stop" not in run.metadata
    assert run["primary"]["label"].read().tolist() == ["", "F---", ""]
    put_all(sink, [derived.stop()])
    assert sink.flush(30)
    run = runs[derived.uid]
    assert_whole(run, 3)
    assert run.metadata["stop"]["num_events"] == {"primary": 3}


def test_same_layout_as_tiled_writer(server: EmbeddedTiled, sink: TiledSink) -> None:
    """The same documents through Bluesky's own writer read back the same."""
    documents = Derived("raw-twice").documents(7)
    uid = documents[0][1]["uid"]
    put_all(sink, documents)
    assert sink.flush(30)
    writer = TiledWriter(server.catalog("reference"), batch_size=3)
    for name, doc in documents:
        writer(name, doc)
    ours, theirs = server.catalog("analysis")[uid], server.catalog("reference")[uid]
    assert ours.metadata["start"] == theirs.metadata["start"]
    assert ours.metadata["stop"] == theirs.metadata["stop"]
    assert ours.specs == theirs.specs
    mine, other = ours["primary"], theirs["primary"]
    assert mine.specs == other.specs
    assert dict(mine.metadata) == dict(other.metadata)
    assert set(mine.base) == set(other.base)
    table, reference = mine.base["internal"].read(), other.base["internal"].read()
    assert set(table) == set(reference)
    for key in set(table) - {"class_probs", "class_numbers"}:
        assert table[key].equals(reference[key]), key
        assert table[key].dtype == reference[key].dtype, key
    assert np.array_equal(
        mine["class_probs"].read(), other["class_probs"].read(), equal_nan=True
    )
    assert np.array_equal(mine["intensity"].read(), other["intensity"].read())
    assert mine["intensity"].dims == ("time", "q")
    replayed, expected = list(ours.documents()), list(theirs.documents())
    assert [name for name, _ in replayed] == [name for name, _ in expected]
    for name, doc in replayed:
        schema_validators[DocumentNames[name]].validate(dict(doc))


def test_nan_text_and_small_arrays_come_back(
    server: EmbeddedTiled, sink: TiledSink
) -> None:
    documents = Derived("raw-values").documents(2)
    put_all(sink, documents)
    assert sink.flush(30)
    stream = server.catalog("analysis")[documents[0][1]["uid"]]["primary"]
    assert np.isnan(stream["z_no_beam"].read()[1])
    assert stream["final"].read().tolist() == [True, False]
    assert stream["class_numbers"].read().tolist() == [
        [0, 2, 3, 4, -1],
        [1, 2, 3, 4, -1],
    ]
    assert np.isnan(stream["class_probs"].read()[:, 1]).all()
    assert stream.metadata["configuration"]["ringwatch"]["data"]["q"] == Q.tolist()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiled itself does not retry: another test may have imported it with its own."""
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.usefixtures("impatient")
def test_server_that_is_away_gets_everything_once(
    server: EmbeddedTiled, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed during one run, down at the start of another: each event once in both."""
    early = TiledSink(server.uri, api_key=server.api_key, batch=5, interval=0.1)
    first, second = Derived("raw-killed"), Derived("raw-down")
    put_all(early, [first.start, first.descriptor])
    put_all(early, [first.event(n) for n in range(12)])
    assert early.flush(30)
    for number in range(12, 20):  # some of these are on their way
        put_all(early, [first.event(number)])
    server._process.kill()  # type: ignore[union-attr]
    server.close()
    late = TiledSink(server.uri, api_key=server.api_key)
    put_all(late, second.documents(12))
    put_all(early, [*(first.event(n) for n in range(20, 30)), first.stop()])
    assert not early.flush(0.7)
    assert not late.flush(0.7)
    assert (late.sent, late.pending) == (0, 15)
    server.start()
    for sink, documents in ((early, 33), (late, 15)):
        assert sink.close(30)
        assert (sink.sent, sink.failed) == (documents, 0)
    assert_whole(server.catalog("analysis")[first.uid], 30)
    assert_whole(server.catalog("analysis")[second.uid], 12)
    assert "documents wait in memory" in caplog.text
    assert server.api_key not in caplog.text


@pytest.mark.usefixtures("impatient")
def test_close_without_a_server_is_bounded_and_counted() -> None:
    sink = TiledSink(f"http://127.0.0.1:{free_port()}", api_key="key")
    put_all(sink, Derived("raw-lost").documents(3))
    start = time.monotonic()
    assert not sink.close(1.0)
    assert time.monotonic() - start < 3.0
    assert sink.failed == 6


def test_put_never_waits_for_tiled() -> None:
    sink = TiledSink(f"http://127.0.0.1:{free_port()}", api_key="key", limit=50)
    documents = Derived("raw-slow").documents(100)
    costs = []
    for name, doc in documents:
        start = time.perf_counter()
        sink.put(name, doc)
        costs.append(time.perf_counter() - start)
    assert sorted(costs)[50] < 2e-4
    assert max(costs) < 0.1
    assert sink.failed == 53
    sink.close(0.1)


def test_refused_run_is_given_up_and_the_next_goes_on(
    server: EmbeddedTiled, sink: TiledSink, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt, good = Derived("raw-spoilt"), Derived("raw-good")
    documents = spoilt.documents(3)
    documents[3][1]["data"]["class_numbers"] = "no numbers"
    put_all(sink, documents + good.documents(3))
    assert sink.flush(30)
    assert_whole(server.catalog("analysis")[good.uid], 3)
    assert (sink.sent, sink.failed) == (2 + 6, 4)
    assert caplog.text.count("is given up") == 1


def test_two_runs_at_once_keep_apart(server: EmbeddedTiled, sink: TiledSink) -> None:
    first, second = Derived("raw-a"), Derived("raw-b")
    for ours, theirs in zip(first.documents(4), second.documents(4), strict=True):
        put_all(sink, [ours, theirs])
    assert sink.flush(30)
    for derived in (first, second):
        assert_whole(server.catalog("analysis")[derived.uid], 4)


def test_two_writers_at_once_lose_nothing(
    server: EmbeddedTiled, sink: TiledSink
) -> None:
    """Tiled's own pool loses rows here, or ends the server: see ``tiled_server``."""
    raw = connect(server.uri, server.api_key)
    find_or_create(raw, "raw", specs=[CATALOG_SPEC])
    running = threading.Event()
    running.set()
    written: list[str] = []

    def write_raw_runs() -> None:
        while running.is_set():
            other = Derived(f"other-{len(written)}")
            writer = TiledWriter(raw["raw"], batch_size=1000)
            for name, doc in other.documents(30):
                writer(name, doc)
            written.append(other.uid)

    thread = threading.Thread(target=write_raw_runs)
    thread.start()
    derived = [Derived(f"raw-busy-{n}") for n in range(3)]
    for each in derived:
        put_all(sink, each.documents(20))
        assert sink.flush(60)
    running.clear()
    thread.join()
    for each in derived:
        assert_whole(server.catalog("analysis")[each.uid], 20)
    for uid in written:
        assert_whole(raw["raw"][uid], 30)
    disconnect(raw)


def test_rows_that_a_server_forgets_are_sent_again(
    server: EmbeddedTiled, sink: TiledSink
) -> None:
    derived = Derived("raw-forgotten")
    put_all(sink, [derived.start, derived.descriptor, derived.event(0)])
    assert sink.flush(30)
    (stored,) = sink._runs.values()
    (stream,) = stored._streams.values()
    stream._table = Forgetful(stream._table)
    for number in range(1, 6):
        put_all(sink, [derived.event(number)])
        assert sink.flush(30)
    assert stream._table.forgotten >= 3
    put_all(sink, [derived.stop()])
    assert sink.flush(30)
    assert_whole(server.catalog("analysis")[derived.uid], 6)


def test_wrong_key_is_told_without_the_key(
    server: EmbeddedTiled, caplog: pytest.LogCaptureFixture
) -> None:
    sink = TiledSink(server.uri + "?api_key=wr0ngkey")
    put_all(sink, [Derived("raw-key").start])
    assert not sink.flush(1.5)
    sink.close(0.1)
    assert "401" in caplog.text
    assert "wr0ngkey" not in caplog.text


def test_server_with_an_unusable_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="letters and digits"):
        EmbeddedTiled(tmp_path, api_key="no spaces!")


def test_server_that_cannot_start_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(SinkError, match=r"server\.log"):
        EmbeddedTiled(tmp_path).start()


@pytest.mark.parametrize("uri", ["127.0.0.1:8000", "ftp://host", "http://"])
def test_malformed_address_is_refused(uri: str) -> None:
    with pytest.raises(SinkError, match="http://host:port"):
        TiledSink(uri)
