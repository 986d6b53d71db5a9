"""The spool before a real Tiled server: nothing lost, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks import recovery

from .derived_documents import Derived, assert_whole, put_all, wait_until
from .spooling import Make, catalog, files, kept, stored


def test_through_the_file_and_then_gone(
    server: EmbeddedTiled, make: Make, spool: Path
) -> None:
    sink, derived = make(), Derived("raw-through")
    put_all(sink, [derived.start, derived.descriptor])
    put_all(sink, [derived.event(n) for n in range(30)])
    assert sink.save(5)
    assert files(spool) == {".spool", ".position"}
    assert sink.flush(60)
    assert stored(server, derived.uid) == 30
    put_all(sink, [derived.stop()])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], 30)
    assert catalog(server)[derived.uid].metadata["stop"]["num_events"] == {
        "primary": 30
    }
    assert (sink.sent, sink.failed, sink.pending) == (33, 0, 0)
    assert stored(server, derived.uid) == 30
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
    assert wait_until(lambda: "Connect" in sink.trouble, 5)


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
        from ringwatch.agent.spool.records import read_records
        from ringwatch.agent.spool.contents import contents
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
    server: EmbeddedTiled,
    make: Make,
    spool: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results go to Tiled all the same; the spool is used once it can be made."""
    spool.write_text("in the way")
    sink, derived = make(), Derived("raw-nowhere")
    assert "cannot be written" in sink.trouble
    put_all(sink, [derived.start, derived.descriptor, derived.event(0)])
    assert sink.flush(60)
    assert stored(server, derived.uid) == 1
    spool.unlink()
    assert wait_until(lambda: files(spool) == set() and spool.is_dir(), 10)
    put_all(sink, [derived.event(1), derived.event(2)])
    assert sink.flush(60)
    assert wait_until(lambda: files(spool) == {".spool", ".position"}, 10)
    assert sink.trouble == ""
    assert sink.close(5)
    monkeypatch.setattr(recovery, "ASK_S", 0.0)
    alone = make("http://127.0.0.1:9")  # as after a kill: Tiled alone knows event 0
    (found,) = alone.unfinished()
    assert found.incomplete
    assert "another final verdict" in caplog.text
    alone.close(0.1)
    late = make()
    (found,) = late.unfinished()
    assert not found.incomplete
    assert found.next_seq_num == {"primary": 4}
    assert found.final == {("primary", "det", 0), ("primary", "det", 2)}
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
    assert sink.troubles["lost"].startswith(f"{sink.failed} documents are lost")
    assert not sink.close(0.2)
    assert sink.failed == 53


def test_documents_of_no_known_run_are_counted(make: Make) -> None:
    sink, derived = make("http://127.0.0.1:9"), Derived("raw-unknown")
    put_all(sink, [derived.event(0), derived.stop(), ("start", {}), ("event", {})])
    assert (sink.failed, sink.pending) == (4, 0)
