"""Tiled away, hanging, failing, forgetting: the spool mends it all."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks import delivery

from .derived_documents import Derived, assert_whole, put_all, wait_until
from .flaky_proxy import FlakyProxy
from .spooling import Make, catalog, stored


@pytest.mark.slow
def test_server_killed_in_the_middle(
    server: EmbeddedTiled, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sink = make(batch=5)
    first, second = Derived("raw-killed"), Derived("raw-down")
    put_all(sink, [first.start, first.descriptor])
    put_all(sink, [first.event(n) for n in range(12)])
    assert sink.flush(60)
    put_all(sink, [first.event(n) for n in range(12, 20)])
    server._process.kill()  # type: ignore[union-attr]
    server.close()
    put_all(sink, second.documents(12))
    put_all(sink, [*(first.event(n) for n in range(20, 30)), first.stop()])
    assert not sink.flush(2)
    assert sink.save(5)
    assert sink.trouble
    server.start()
    assert sink.flush(60)
    assert_whole(catalog(server)[first.uid], 30)
    assert_whole(catalog(server)[second.uid], 12)
    assert (sink.sent, sink.failed, sink.trouble) == (48, 0, "")
    assert caplog.text.count("results wait in the spool") <= 3  # one a kind
    assert caplog.text.count("all is well again") == 1
    assert server.api_key not in caplog.text


@pytest.mark.slow
def test_server_that_hangs(
    server: EmbeddedTiled, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal while rows come: calls time out and may arrive later."""
    monkeypatch.setattr(
        "ringwatch.agent.tiled_client.TIMEOUT", httpx.Timeout(1.5, connect=1.0)
    )
    sink, derived = make(batch=3, interval=0.05), Derived("raw-hangs")
    put_all(sink, [derived.start, derived.descriptor])
    process = server._process
    assert process is not None
    events = 0
    for _ in range(2):
        for _ in range(15):
            put_all(sink, [derived.event(events)])
            events += 1
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            begin = time.perf_counter()
            for _ in range(15):
                put_all(sink, [derived.event(events)])
                events += 1
            assert sink.save(5)
            assert time.perf_counter() - begin < 2
            time.sleep(2)  # longer than a call may take
        finally:
            os.kill(process.pid, signal.SIGCONT)
    put_all(sink, [derived.stop()])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], events)
    assert sink.failed == 0


def test_nobody_waits_at_the_end_for_a_server_that_never_answers(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "HANGING_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = make(f"http://127.0.0.1:{silent.getsockname()[1]}")
        put_all(sink, Derived("raw-silence").documents(3))
        assert sink.save(5)
        begin = time.monotonic()
        assert not sink.close(60)
        assert time.monotonic() - begin < 5
    assert (sink.failed, sink.pending) == (0, 6)
    assert "6 documents are not in Tiled yet: they stay in the spool" in caplog.text


def test_nobody_waits_in_vain_for_a_server_that_is_not_there(make: Make) -> None:
    sink = make("http://127.0.0.1:9")
    put_all(sink, Derived("raw-nobody").documents(3))
    begin = time.monotonic()
    assert not sink.flush(60)
    assert not sink.close(60)
    assert time.monotonic() - begin < 15
    assert (sink.failed, sink.pending) == (0, 6)


@pytest.mark.slow
def test_server_that_answers_500_before_or_after_it_did_the_work(
    server: EmbeddedTiled, make: Make
) -> None:
    rng = random.Random(20261121)

    def sometimes(method: str, path: str, body: bytes) -> tuple[int, bool]:
        draw = rng.random()
        return (500, draw < 0.1) if draw < 0.2 else (0, True)

    with FlakyProxy(server.uri) as proxy:
        sink = make(proxy.uri, batch=5)
        first, second = Derived("raw-500-a"), Derived("raw-500-b")
        put_all(sink, [first.start, first.descriptor])
        assert sink.flush(60)
        proxy.policy = sometimes
        put_all(sink, [*(first.event(n) for n in range(40)), first.stop()])
        put_all(sink, second.documents(40))
        sink.flush(8)
        proxy.policy = lambda *_: (0, True)
        assert sink.flush(60)
        assert proxy.failures >= 3
    for derived in (first, second):
        assert_whole(catalog(server)[derived.uid], 40)


@pytest.mark.parametrize(
    "status",
    [
        401,
        pytest.param(409, marks=pytest.mark.slow),
        pytest.param(507, marks=pytest.mark.slow),
    ],
)
def test_refused_for_a_while_costs_nothing(
    server: EmbeddedTiled, make: Make, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with FlakyProxy(server.uri) as proxy:
        sink, derived = make(proxy.uri), Derived(f"raw-{status}")
        put_all(sink, [derived.start, derived.descriptor, derived.event(0)])
        assert sink.flush(60)
        proxy.policy = lambda method, path, body: (status, False)
        put_all(sink, [derived.event(1), derived.event(2), derived.stop()])
        assert not sink.flush(2)
        assert str(status) in sink.trouble
        proxy.policy = lambda *_: (0, True)
        assert sink.flush(60)
        assert sink.trouble == ""
    assert_whole(catalog(server)[derived.uid], 3)
    assert caplog.text.count(f"{status}; results wait in the spool") == 1


def test_refused_run_stays_and_the_others_go_on(
    server: EmbeddedTiled,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(delivery, "ASIDE_S", 2.0)
    refused, good = Derived("raw-422"), Derived("raw-not-422")

    def policy(method: str, path: str, body: bytes) -> tuple[int, bool]:
        bad = method == "PATCH" and refused.uid in path
        return (422, False) if bad else (0, True)

    with FlakyProxy(server.uri) as proxy:
        proxy.policy = policy
        sink = make(proxy.uri)
        put_all(sink, refused.documents(3))
        put_all(sink, good.documents(3))
        assert not sink.flush(60)
        assert_whole(catalog(server)[good.uid], 3)
        assert sink.held == 4  # its events and its stop
        assert sink.trouble.startswith("Tiled refuses 4 documents")
        assert f"refuses a document of run {refused.uid}" in caplog.text
        assert (sink.failed, stored(server, refused.uid)) == (0, 0)
        proxy.policy = lambda *_: (0, True)
        assert wait_until(lambda: not sink.pending, 30)
        assert caplog.text.count("refuses a document") == 1
    assert_whole(catalog(server)[refused.uid], 3)


def test_tiled_that_lost_rows_gets_them_again(
    server: EmbeddedTiled, make: Make
) -> None:
    """Somebody deletes a run that goes on: the spool still has it."""
    sink, derived = make(), Derived("raw-deleted")
    put_all(sink, [derived.start, derived.descriptor])
    put_all(sink, [derived.event(n) for n in range(10)])
    assert sink.flush(60)
    catalog(server).delete_contents(derived.uid, recursive=True, external_only=False)
    put_all(sink, [derived.event(10), derived.stop()])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], 11)
    assert sink.failed == 0


def test_rows_that_arrive_twice_are_mended(
    server: EmbeddedTiled, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that was given up comes through after its repetition."""
    sink, derived = make(), Derived("raw-doubled")

    def double(events: list[NamedDocument]) -> None:
        """What the late call does."""
        (run,) = sink._backlog.runs.values()
        assert run.stored is not None
        (stream,) = run.stored._streams.values()
        rows = [stream._row(doc) for _, doc in events]
        table = pa.Table.from_pylist(rows, schema=stream._schema())
        node = catalog(server)[derived.uid]["primary"].base["internal"]
        node.append_partition(0, table)

    events = [derived.event(n) for n in range(20)]
    put_all(sink, [derived.start, derived.descriptor])
    put_all(sink, events[:10])
    assert sink.flush(60)
    double(events[5:10])
    put_all(sink, events[10:])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], 20)
    double(events[15:])
    put_all(sink, [derived.stop()])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], 20)
    assert caplog.text.count(f"has events of run {derived.uid} twice") == 2
    assert (sink.failed, stored(server, derived.uid)) == (0, 20)
    assert list(catalog(server)[derived.uid].documents())


def test_many_runs_that_wait_hold_no_files_open(make: Make, spool: Path) -> None:
    def held() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    sink = make("http://127.0.0.1:9")
    put_all(sink, Derived("raw-0").documents(2))
    assert sink.save(10)
    before = held()
    for number in range(1, 40):
        put_all(sink, Derived(f"raw-{number}").documents(2))
    assert sink.save(20)
    assert len(list(spool.rglob("*.spool"))) == 40
    assert held() <= before + 3
    sink.close(0.5)
    assert len(make("http://127.0.0.1:9").unfinished()) == 0
    assert held() <= before + 6  # adopted and stopped: closed as well
