"""Spooled sinks for the tests, in this process and in one that is killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.spooled import SpooledSink
from ringwatch.agent.spool.records import SpoolFile, pack

Make = Callable[..., SpooledSink]
IN_HAND = 5  # documents of each turn that are in the file before its process is killed


@contextmanager
def spooled_sinks(server: EmbeddedTiled, spool: Path) -> Iterator[Make]:
    """Makes sinks into one spool; in the end they are closed."""
    made: list[SpooledSink] = []

    def sink(uri: str = "", **options: Any) -> SpooledSink:
        options = {"interval": 0.2, "api_key": server.api_key} | options
        made.append(SpooledSink(spool, uri or server.uri, **options))
        return made[-1]

    yield sink
    for each in made:
        each.close(0.1)


def catalog(server: EmbeddedTiled) -> Any:
    """Where the sinks of these tests store."""
    return server.catalog("analysis")


def stored(server: EmbeddedTiled, uid: str) -> int:
    """Events of a derived run that a reader of Tiled finds."""
    run = catalog(server)[uid]
    streams = [run[name].base for name in run]
    tables = [base["internal"] for base in streams if "internal" in base]
    return sum(len(set(table.read(["seq_num"])["seq_num"])) for table in tables)


def files(spool: Path) -> set[str]:
    """Suffixes of what lies in a spool."""
    return {path.suffix for path in spool.rglob("*") if path.is_file()} - {""}


def kept(path: Path, named: list[NamedDocument]) -> Path:
    """Documents in a file, for a process to read."""
    file = SpoolFile(path)
    file.append(b"".join(pack(*each) for each in named))
    file.close()
    return path


class Spooling:
    """A process that begins a run or goes on with it, and never stops it.

    Parameters
    ----------
    server : EmbeddedTiled
    spool : Path
    documents : Path
        Made by ``kept``: start, descriptor and events of the run, without its stop.
    """

    def __init__(self, server: EmbeddedTiled, spool: Path, documents: Path) -> None:
        self._code = textwrap.dedent(
            f"""
            import time
            from pathlib import Path
            from ringwatch.agent.sinks.spooled import SpooledSink
            from ringwatch.agent.spool.records import read_records
            sink = SpooledSink({str(spool)!r}, {server.uri!r},
                               api_key={server.api_key!r}, batch=5, interval=0.05)
            known = sink.unfinished()
            known = 1 + known[0].next_seq_num.get("primary", 0) if known else 0
            records = list(read_records(Path({str(documents)!r})))[known:]
            for number, record in enumerate(records):
                if number == {IN_HAND}:
                    assert sink.save(10)
                    print("ready", flush=True)
                sink.put(record.name, record.doc)
                time.sleep(0.003)
            time.sleep(60)
            """
        )

    def kill_after(self, seconds: float) -> None:
        """Let it run, and kill it so long after its first documents of this turn."""
        with subprocess.Popen(
            [sys.executable, "-c", self._code], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
