"""What the spool knows of its runs, and what it says when something ends early."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ringwatch.agent.sinks import KeepsRuns
from ringwatch.agent.spool.records import SpoolFile, pack, read_records

from .derived_documents import Derived, put_all, wait_until
from .spooling import Make

NOBODY = "http://127.0.0.1:9"  # nobody listens


def held() -> int:
    """Files that this process holds open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_finished_runs_are_known_until_they_are_in_tiled(make: Make) -> None:
    """Those of a former process too; a run with a further attempt is not finished."""
    sink = make(NOBODY)
    put_all(sink, Derived("raw-ended").documents(2))
    put_all(sink, Derived("raw-going-on").documents(2)[:-1])
    put_all(sink, Derived("raw-twice").documents(2))
    put_all(sink, Derived("raw-twice").documents(2)[:-1])
    assert sink.save(10)
    assert isinstance(sink, KeepsRuns)
    assert sink.finished() == ["raw-ended"]
    sink.close(0.1)
    late = make(NOBODY)
    assert late.finished() == ["raw-ended"]
    late.close(0.1)
    last = make()
    assert last.flush(60)
    assert last.finished() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_ends_by_an_error_says_so(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A descriptor such as nobody thought of: what is kept stays, and it is told."""
    told: list[str] = []

    def look(troubles: Mapping[str, str]) -> bool:
        told.extend(troubles)
        return False

    sink, derived = make(look=look), Derived("raw-unthought-of")
    name, descriptor = derived.descriptor
    put_all(sink, [derived.start, (name, descriptor | {"object_keys": []})])
    begin = time.monotonic()
    assert not sink.flush(60)
    assert time.monotonic() - begin < 30
    assert "AttributeError" in sink.troubles["tiled"]
    assert "restart the agent" in sink.trouble
    assert wait_until(lambda: "tiled" in told, 10)  # for the alarm
    assert caplog.text.count("the way to tiled ends") == 1
    assert not sink.close(0.5)


def test_disk_looked_at_again_holds_no_files_of_stopped_runs(make: Make) -> None:
    sink = make(NOBODY)
    put_all(sink, Derived("raw-first").documents(2))
    assert sink.save(10)
    before = held()
    for number in range(30):
        put_all(sink, Derived(f"raw-{number}").documents(2))
    assert sink.save(20)
    sink._spooler._fail(OSError("the disk did not keep a file, for a moment"))
    assert "spool" in sink.troubles
    assert wait_until(lambda: "spool" not in sink.troubles, 10)
    assert held() <= before + 4


def test_files_closed_while_they_are_synced(tmp_path: Path) -> None:
    """The spooler lets a file go while the delivery syncs it: nobody fails."""
    file = SpoolFile(tmp_path / "shared.spool")
    record, failed = pack("event", {"seq_num": 1}), []
    over = threading.Event()

    def sync() -> None:
        while not over.is_set():
            try:
                file.sync()
            except OSError as error:
                failed.append(error)

    threads = [threading.Thread(target=sync) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns in the middle of everything
    try:
        for thread in threads:
            thread.start()
        for _ in range(100_000):
            file.append(record)
            file.close()
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert failed == []
    file.close()
    assert len(list(read_records(file.path))) == 100_000


def test_runs_that_are_found_late_are_named(
    make: Make, spool: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder cannot be opened when the agent begins, so nobody goes on with it."""
    first = make(NOBODY)
    put_all(first, Derived("raw-in-the-middle").documents(2)[:-1])
    put_all(first, Derived("raw-ended").documents(2))
    assert first.save(10)
    first.close(0.1)
    away = spool.rename(tmp_path / "away")
    spool.write_text("in the way")
    sink = make(NOBODY)
    assert sink.unfinished() == []
    spool.unlink()
    away.rename(spool)
    assert wait_until(lambda: sink.finished() == ["raw-ended"], 10)

    def errors() -> list[str]:
        return [r.message for r in caplog.records if "Restart the agent" in r.message]

    assert wait_until(lambda: len(errors()) == 1, 10)  # a run is taken, then told of
    assert "raw-in-the-middle" in errors()[0]


def test_run_that_gives_way_ends_after_the_other_has_begun(make: Make) -> None:
    """A kill in between leaves two unfinished runs, not none."""
    sink, old, new = make(NOBODY), Derived("raw-way"), Derived("raw-way")
    put_all(sink, [old.start, old.descriptor, old.event(0)])
    assert sink.save(10)
    stop = {"uid": "stop", "run_start": old.uid, "time": 1.0}
    with sink._backlog.cond:
        put_all(sink, [new.start, ("stop", stop | {"exit_status": "abort"})])
        taken = sink._spooler._take()
        for run, _ in taken:
            run.owner = ""
    assert [waiting[-1].name for _, waiting in taken] == ["start", "stop"]
