"""In what portions a Tiled server keeps the arrays of a run."""

from __future__ import annotations

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.sinks.tiled import TiledSink

from .derived_documents import Derived, put_all, wait_until


def test_the_first_events_wait_for_more(server: EmbeddedTiled) -> None:
    """Their number is the portion for good: in ones, each frame is a file an array."""
    sink = TiledSink(server.uri, api_key=server.api_key, batch=10, interval=60)
    derived, runs = Derived("raw-portions"), server.catalog("analysis")
    put_all(sink, [derived.start, derived.descriptor, derived.event(0)])
    assert wait_until(lambda: derived.uid in runs and "primary" in runs[derived.uid])
    put_all(sink, [derived.event(n) for n in range(1, 10)])
    assert wait_until(lambda: sink.pending == 0)
    put_all(sink, [derived.event(n) for n in range(10, 13)])
    assert sink.flush(30)
    assert runs[derived.uid]["primary"].base["intensity"].chunks[0] == (10, 3)
    assert sink.close(30)
