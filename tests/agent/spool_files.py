"""Spool files for the tests: documents of a small derived run, written as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from event_model import compose_run

from ringwatch.agent.results import NamedDocument
from ringwatch.agent.spool.records import SpoolFile, pack, read_records


def documents(events: int = 5) -> list[NamedDocument]:
    run = compose_run(uid="run-1", metadata={"raw_uid": "raw-1"})
    key: dict[str, Any] = {"source": "ringwatch", "shape": []}
    keys = {
        "raw_data_key": key | {"dtype": "string"},
        "raw_index": key | {"dtype": "integer"},
        "final": key | {"dtype": "boolean"},
        "intensity": key | {"dtype": "array", "shape": [40]},
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    found: list[NamedDocument] = [
        ("start", dict(run.start_doc)),
        ("descriptor", dict(stream.descriptor_doc)),
    ]
    for n in range(events):
        data = {
            "raw_data_key": "det",
            "raw_index": n,
            "final": n % 2 == 0,
            "intensity": np.linspace(n, n + 1, 40, dtype="<f4"),
        }
        event = stream.compose_event(data=data, timestamps=dict.fromkeys(data, 1.0))
        found.append(("event", dict(event)))
    return found


def write(path: Path, named: list[NamedDocument]) -> list[int]:
    """Write a file; where each record ends."""
    file = SpoolFile(path)
    ends = []
    for name, doc in named:
        file.append(pack(name, doc))
        ends.append(file.end)
    file.sync()
    file.close()
    return ends


def numbers(path: Path) -> list[int]:
    return [r.doc["seq_num"] for r in read_records(path) if r.name == "event"]
