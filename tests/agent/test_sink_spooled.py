"""The spool before a real Tiled server: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks import delivery
from ringwatch.agent.sinks.spooled import SpooledSink

from .derived_documents import Derived, assert_whole, put_all, wait_until
from .flaky_proxy import FlakyProxy

Make = Callable[..., SpooledSink]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def make(
    server: EmbeddedTiled, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Sinks that are closed in the end; Tiled's client itself does not retry."""
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    made: list[SpooledSink] = []

    def sink(uri: str = "", **options: Any) -> SpooledSink:
        options = {"interval": 0.2, "api_key": server.api_key} | options
        made.append(SpooledSink(spool, uri or server.uri, **options))
        return made[-1]

    yield sink
    for each in made:
        each.close(0.1)


def files(spool: Path) -> set[str]:
    return {path.suffix for path in spool.rglob("*") if path.is_file()} - {""}


def catalog(server: EmbeddedTiled) -> Any:
    return server.catalog("analysis")


def test_through_the_file_and_then_gone(
    server: EmbeddedTiled, make: Make, spool: Path
) -> None:
    sink, derived = make(), Derived("raw-through")
    put_all(sink, [derived.start, derived.descriptor])
    put_all(sink, [derived.event(n) for n in range(30)])
    assert sink.save(5)
    assert files(spool) == {".spool", ".position"}
    assert sink.flush(60)
    assert sink.stored("raw-through") == 30
    put_all(sink, [derived.stop()])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], 30)
    assert catalog(server)[derived.uid].metadata["stop"]["num_events"] == {
        "primary": 30
    }
    assert (sink.sent, sink.failed, sink.pending) == (33, 0, 0)
    assert sink.stored("raw-through") == 30
    assert wait_until(lambda: files(spool) == set())
    assert sink.close(5)
    assert list(spool.iterdir()) == [spool / "lock"]


def test_put_costs_microseconds_while_tiled_hangs(make: Make) -> None:
    """As ``test_put_never_waits_for_tiled``, on the way through the spool."""
    sink = make("http://127.0.0.1:9")  # nobody listens
    costs = []
    for name, doc in Derived("raw-slow").documents(200):
        begin = time.perf_counter()
        sink.put(name, doc)
        costs.append(time.perf_counter() - begin)
    assert sorted(costs)[100] < 2e-4
    assert max(costs) < 0.1
    assert sink.save(10)
    assert not sink.flush(0.1)
    assert (sink.failed, sink.pending) == (0, 203)
    assert "Connect" in sink.trouble


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
    for _ in range(3):
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
            time.sleep(3)
        finally:
            os.kill(process.pid, signal.SIGCONT)
    put_all(sink, [derived.stop()])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], events)
    assert sink.failed == 0


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
        assert (sink.failed, sink.stored("raw-422")) == (0, 0)
        proxy.policy = lambda *_: (0, True)
        assert wait_until(lambda: not sink.pending, 30)
        assert caplog.text.count("refuses a document") == 1
    assert_whole(catalog(server)[refused.uid], 3)


def test_closed_without_a_server_and_opened_with_one(
    server: EmbeddedTiled, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    derived = Derived("raw-kept")
    sink = make("http://127.0.0.1:9")
    put_all(sink, derived.documents(10))
    begin = time.monotonic()
    assert not sink.close(1.0)
    assert time.monotonic() - begin < 3
    assert (sink.failed, sink.pending) == (0, 13)
    assert "13 documents are not in Tiled yet" in caplog.text
    late = make()
    assert late.flush(60)
    assert_whole(catalog(server)[derived.uid], 10)
    assert late.sent == 13
    assert late.unfinished() == []
    put_all(sink, [derived.start])
    assert sink.failed == 1


def spooling(spool: Path, uri: str, key: str, documents: Path) -> str:
    """Code of a process that puts documents, one each 3 ms, or goes on with them."""
    return textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from ringwatch.agent.sinks.spooled import SpooledSink
        from ringwatch.agent.spool import read_records
        sink = SpooledSink({str(spool)!r}, {uri!r}, api_key={key!r}, batch=5,
                           interval=0.05)
        known = sink.unfinished()
        known = 1 + known[0].next_seq_num.get("primary", 0) if known else 0
        print("ready", flush=True)
        for record in list(read_records(Path({str(documents)!r})))[known:]:
            sink.put(record.name, record.doc)
            time.sleep(0.003)
        time.sleep(60)
        """
    )


def kept(path: Path, named: list[NamedDocument]) -> Path:
    from ringwatch.agent.spool import SpoolFile, pack  # noqa: PLC0415

    file = SpoolFile(path)
    file.append(b"".join(pack(*each) for each in named))
    file.close()
    return path


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_process_is_continued(
    server: EmbeddedTiled, make: Make, spool: Path, tmp_path: Path, seed: int
) -> None:
    """kill -9 at some moment: the next process delivers the rest and goes on."""
    derived = Derived(f"raw-kill9-{seed}")
    named = derived.documents(400)
    code = spooling(spool, server.uri, server.api_key, kept(tmp_path / "doc", named))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        time.sleep(random.Random(seed).uniform(0.1, 1.5))
        other.kill()
    sink = make()
    (found,) = sink.unfinished()
    assert (found.uid, found.raw_uid) == (derived.uid, f"raw-kill9-{seed}")
    assert not found.incomplete
    done = found.next_seq_num["primary"] - 1
    assert 0 < done < 400
    assert found.events == done
    put_all(sink, [derived.start, derived.descriptor])  # known: left out
    put_all(sink, named[2 + done :])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], 400)
    assert sink.stored(derived.start[1]["raw_uid"]) == 400
    assert (sink.failed, sink.pending) == (0, 0)
    assert sink.unfinished() == []


@pytest.mark.slow
def test_killed_again_and_again(
    server: EmbeddedTiled, make: Make, spool: Path, tmp_path: Path
) -> None:
    """Ten processes in turn go on with one run; each but the last is killed."""
    derived = Derived("raw-kills")
    named = derived.documents(1500)
    code = spooling(spool, server.uri, server.api_key, kept(tmp_path / "doc", named))
    moments = random.Random(20261121)
    for _ in range(9):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.0, 0.5))
            other.kill()
    sink = make()
    (found,) = sink.unfinished()
    put_all(sink, named[1 + found.next_seq_num["primary"] :])
    assert sink.flush(100)
    assert_whole(catalog(server)[derived.uid], 1500)
    assert (sink.failed, sink.pending) == (0, 0)


def test_torn_and_flipped_file_is_delivered_without_what_is_lost(
    server: EmbeddedTiled, make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    derived = Derived("raw-flipped")
    sink = make("http://127.0.0.1:9")
    put_all(sink, derived.documents(6)[:-1])
    sink.close(0.3)
    (path,) = spool.rglob("*.spool")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # in the middle of some event
    path.write_bytes(data[:-20])
    late = make()
    (found,) = late.unfinished()
    assert found.events == 4
    assert "damaged from byte" in caplog.text
    assert "no whole record" in caplog.text
    stop = {"uid": "stop", "run_start": derived.uid, "time": 1.0}
    put_all(late, [("stop", stop | {"exit_status": "success"})])
    assert late.flush(60)
    stream = catalog(server)[derived.uid]["primary"]
    numbers = stream["revision"].read().tolist()
    assert len(numbers) == 4
    assert stream["intensity"].read()[:, 0].round(3).tolist() == [
        round(n + 0.479, 3) for n in numbers
    ]


def test_disk_full_and_free_again(
    server: EmbeddedTiled, spool: Path, tmp_path: Path
) -> None:
    """A limit on file sizes stops writing in the middle of a record, for a while."""
    derived = Derived("raw-full")
    named = kept(tmp_path / "doc", derived.documents(60))
    code = textwrap.dedent(
        f"""
        import json, resource, sys, time, logging
        from pathlib import Path
        logging.basicConfig(level="WARNING")
        from ringwatch.agent.sinks.spooled import SpooledSink
        from ringwatch.agent.spool import read_records
        from ringwatch.agent.spool_contents import contents
        spool = Path({str(spool)!r})
        records = list(read_records(Path({str(named)!r})))
        sink = SpooledSink(spool, {server.uri!r}, api_key={server.api_key!r},
                           interval=0.1)
        for record in records[:22]:
            sink.put(record.name, record.doc)
        assert sink.flush(30)
        size = max(p.stat().st_size for p in spool.rglob("*.spool"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, -1))
        for record in records[22:42]:
            sink.put(record.name, record.doc)
        direct = sink.flush(30)
        trouble = sink.trouble
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        time.sleep(1.2)  # the disk is tried every second
        for record in records[42:-1]:
            sink.put(record.name, record.doc)
        assert sink.flush(30)
        deadline = time.monotonic() + 5
        while sink.trouble and time.monotonic() < deadline:
            time.sleep(0.1)
        (path,) = spool.rglob("*.spool")
        found = contents(path)
        after = sink.trouble
        sink.put(records[-1].name, records[-1].doc)
        closed = sink.close(30)
        print(json.dumps([direct, trouble, after, sink.sent, sink.failed, closed,
                          found.events, len(list(spool.rglob("*.spool")))]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    direct, trouble, after, sent, failed, closed, events, left = json.loads(done.stdout)
    assert direct
    assert "File too large" in trouble
    assert done.stderr.count("cannot be written") == 1
    assert done.stderr.count("the disk takes documents again") == 1
    assert (after, sent, failed, closed, left) == ("", 63, 0, True, 0)
    assert 38 <= events < 60
    assert_whole(catalog(server)[derived.uid], 60)


def test_folder_that_cannot_be_made(
    server: EmbeddedTiled, make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Results go to Tiled all the same; the spool is used once it can be made."""
    spool.write_text("in the way")
    sink, derived = make(), Derived("raw-nowhere")
    assert "cannot be written" in sink.trouble
    put_all(sink, [derived.start, derived.descriptor, derived.event(0)])
    assert sink.flush(60)
    assert sink.stored("raw-nowhere") == 1
    spool.unlink()
    assert wait_until(lambda: files(spool) == set() and spool.is_dir(), 10)
    put_all(sink, [derived.event(1), derived.event(2)])
    assert sink.flush(60)
    assert wait_until(lambda: files(spool) == {".spool", ".position"}, 10)
    assert sink.trouble == ""
    assert sink.close(5)
    late = make()  # as after a kill: the file alone does not know event 1
    (found,) = late.unfinished()
    assert found.incomplete
    assert found.descriptors[0]["uid"] == derived.descriptor[1]["uid"]
    put_all(late, [derived.stop()])
    assert late.flush(60)
    assert_whole(catalog(server)[derived.uid], 3)
    assert caplog.text.count("Make room, or mend the folder") == 1


def test_memory_is_bounded_in_bytes(
    make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool.write_text("in the way")
    sink = make("http://127.0.0.1:9", max_memory_bytes=100_000)
    put_all(sink, Derived("raw-bounded").documents(50))
    assert 10 < sink.pending < 30
    assert sink.pending + sink.failed == 53
    assert sink._backlog.bytes < 200_000
    assert caplog.text.count("too much waits in memory") == 1
    assert not sink.close(0.2)
    assert sink.failed == 53


def test_documents_of_no_known_run_are_counted(make: Make) -> None:
    sink, derived = make("http://127.0.0.1:9"), Derived("raw-unknown")
    put_all(sink, [derived.event(0), derived.stop(), ("start", {}), ("event", {})])
    assert (sink.failed, sink.pending) == (4, 0)


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
    assert (sink.failed, sink.stored("raw-doubled")) == (0, 20)
    assert list(catalog(server)[derived.uid].documents())
