"""Stored verdicts by frame: the final one, of the newest pass that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from event_model import compose_run

from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.sinks.tiled import TiledSink
from ringwatch.agent.sources.derived import find_pass, whole_documents
from ringwatch.agent.sources.verdict_rows import verdict_rows

from .derived_documents import put_all

CONTAINER = "analysis-rows"
Event = tuple[int, int, bool]  # index, revision, final


def derived(attempt: int, events: Sequence[Event], **more: Any) -> list[Any]:
    """Documents of a pass; its embeddings tell attempt, index and revision."""
    start = {"raw_uid": "raw-rows", "attempt": attempt} | more
    run = compose_run(metadata=start)
    kinds = {
        "raw_data_key": ("string", "|O8", ()),
        "raw_index": ("integer", "<i8", ()),
        "revision": ("integer", "<i8", ()),
        "final": ("boolean", "|b1", ()),
        "class_probs": ("array", "<f8", (5,)),
        "embedding": ("array", "<f4", (64,)),
    }
    keys = {
        name: {
            "source": "test",
            "dtype": dtype,
            "dtype_numpy": dtype_numpy,
            "shape": list(shape),
        }
        for name, (dtype, dtype_numpy, shape) in kinds.items()
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    documents: list[Any] = [
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
    ]
    for index, revision, final in events:
        data = {
            "raw_data_key": "det",
            "raw_index": index,
            "revision": revision,
            "final": final,
            "class_probs": np.full(5, 0.2),
            "embedding": np.full(64, 100 * attempt + 10 * index + revision, np.float32),
        }
        stamps = dict.fromkeys(data, 1.0)
        documents.append(("event", stream.compose_event(data=data, timestamps=stamps)))
    return [*documents, ("stop", run.compose_stop())]


def test_each_frame_has_one_row(server: EmbeddedTiled) -> None:
    first = derived(1, [(0, 0, False), (1, 0, True), (0, 1, True), (2, 0, False)])
    rest = derived(2, [(2, 1, True)], final_before=[("primary", "det", 0, 1)])
    sink = TiledSink(server.uri, api_key=server.api_key, container=CONTAINER)
    try:
        put_all(sink, first)
        assert sink.flush(30)
        root = server.client()
        rows = verdict_rows(root, CONTAINER, "raw-rows", arrays={"embedding"})
        told = {key[2]: float(row.arrays["embedding"][0]) for key, row in rows.items()}
        assert told == {0: 101.0, 1: 110.0, 2: 120.0}
        put_all(sink, rest)
        assert sink.flush(30)
        rows = verdict_rows(root, CONTAINER, "raw-rows", arrays={"embedding"})
        told = {key[2]: float(row.arrays["embedding"][0]) for key, row in rows.items()}
        assert told == {0: 101.0, 1: 110.0, 2: 221.0}
        row = rows["primary", "det", 2]
        assert (row.start["attempt"], row.data["final"]) == (2, True)
        assert row.data["class_probs"] == [0.2] * 5
        assert verdict_rows(root, CONTAINER, "raw-rows")[row.key].arrays == {}
        newest = find_pass(root, CONTAINER, "raw-rows")
        whole = list(whole_documents(root, CONTAINER, newest))
        final = [doc["data"] for name, doc in whole if name == "event"]
        assert [each["raw_index"] for each in final if each["final"]] == [1, 0, 2]
        assert [name for name, _ in whole].count("start") == 1
        with pytest.raises(ReplayError, match="no verdicts stored"):
            verdict_rows(root, CONTAINER, "another")
    finally:
        sink.close(5)
