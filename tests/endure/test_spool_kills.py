"""One derived run, written by a process after the other, each killed but the last."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ringwatch.agent.embedded_tiled import EmbeddedTiled

from ..agent.derived_documents import (  # noqa: TID252 - tests are no package
    Derived,
    assert_whole,
    put_all,
)
from ..agent.spooling import (  # noqa: TID252
    Spooling,
    kept,
    spooled_sinks,
)
from .conftest import FULL

KILLS = 9
EVENTS = 1500


@pytest.mark.timeout(600)
@pytest.mark.skipif(not FULL, reason="quick form: test_killed_process_is_continued")
def test_killed_again_and_again(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    derived = Derived("raw-kills")
    named = derived.documents(EVENTS)
    moments = random.Random(20261121)
    with EmbeddedTiled(tmp_path / "tiled") as server:
        process = Spooling(server, spool, kept(tmp_path / "doc", named[:-1]))
        for _ in range(KILLS):
            process.kill_after(moments.uniform(0.0, 0.45))
        with spooled_sinks(server, spool) as make:
            sink = make()
            (found,) = sink.unfinished()
            assert found.events >= 3 * KILLS
            put_all(sink, named[1 + found.next_seq_num["primary"] :])
            assert sink.flush(100)
            assert (sink.failed, sink.pending) == (0, 0)
        assert_whole(server.catalog("analysis")[derived.uid], EVENTS)
