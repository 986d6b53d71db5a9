"""Killed processes and damaged files: the next process goes on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks import recovery
from ringwatch.agent.spool.records import read_records

from .derived_documents import Derived, assert_whole, put_all
from .spooling import IN_HAND, Make, Spooling, catalog, kept, stored


def test_killed_process_is_continued(
    server: EmbeddedTiled, make: Make, spool: Path, tmp_path: Path
) -> None:
    """kill -9 at some moment: the next process delivers the rest and goes on."""
    derived = Derived("raw-kill9")
    named = derived.documents(400)
    process = Spooling(server, spool, kept(tmp_path / "doc", named[:300]))
    process.kill_after(random.Random(1).uniform(0.1, 0.6))
    sink = make()
    (found,) = sink.unfinished()
    assert (found.uid, found.raw_uid) == (derived.uid, "raw-kill9")
    assert not found.incomplete
    done = found.next_seq_num["primary"] - 1
    assert IN_HAND - 2 <= done < 300
    assert found.events == done
    put_all(sink, [derived.start, derived.descriptor])  # known: left out
    put_all(sink, named[2 + done :])
    assert sink.flush(60)
    assert_whole(catalog(server)[derived.uid], 400)
    assert stored(server, derived.uid) == 400
    assert (sink.failed, sink.pending) == (0, 0)
    assert sink.unfinished() == []


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


def test_what_is_damaged_here_and_final_in_tiled_stays_final(
    server: EmbeddedTiled, make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the third and of the last event only Tiled knows; both are final there."""
    derived = Derived("raw-damaged")
    sink = make()
    named = derived.documents(8)
    put_all(sink, named[:-2])
    assert sink.flush(60)
    sink.close(5)
    (path,) = spool.rglob("*.spool")
    data = bytearray(path.read_bytes())
    third, last = list(read_records(path))[4], list(read_records(path))[8]
    for record in (third, last):
        data[(record.begin + record.end) // 2] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(recovery, "ASK_S", 0.0)
    without = make("http://127.0.0.1:9")
    (found,) = without.unfinished()
    assert found.damaged
    assert found.final == {("primary", "det", n) for n in (0, 4)}
    without.close(0.1)
    late = make()
    (found,) = late.unfinished()
    assert found.final == {("primary", "det", n) for n in (0, 2, 4, 6)}
    assert found.next_seq_num == {"primary": 8}
    put_all(late, named[-2:])
    assert late.flush(60)
    assert_whole(catalog(server)[derived.uid], 8)
