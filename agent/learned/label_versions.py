"""Versions of labels in Tiled: each one whole, each beside the others.

A version is a Bluesky run of its own, never over an earlier one: one event a frame,
with the label before and after.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from event_model import compose_run

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.fields import DTYPES, OBJECT
from ringwatch.agent.learned.head_file import Head
from ringwatch.agent.learned.relabelling import Relabelled, changes
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sinks.archive import FAILURES, Archive

# isort: split
import httpx

__all__ = ["VERSIONS", "newest_version", "store_version", "version_documents"]

VERSIONS = "relabelled"
"""Container of the versions in Tiled."""
STREAM = "primary"
_ROWS = 500  # at once
_COLUMNS: Mapping[str, type] = {
    "raw_uid": str,
    "raw_stream": str,
    "raw_data_key": str,
    "raw_index": int,
    "before": str,
    "label": str,
    "changed": bool,
    "distance": float,
}


def newest_version(root: Any) -> tuple[int, dict[tuple[str, str, str, int], str]]:
    """Number of the newest version, 0 without one, and the label of each frame.

    Raises
    ------
    LearnedError
        If the server fails.
    """
    try:
        if VERSIONS not in root:
            return 0, {}
        runs = [run for _, run in root[VERSIONS].items() if run.metadata.get("stop")]
        if not runs:
            return 0, {}
        newest = max(runs, key=_number)
        table = newest["primary"].base["internal"].read()
    except (httpx.HTTPError, OSError, LookupError, ValueError) as error:
        raise LearnedError(
            f"versions of labels in {VERSIONS!r} cannot be read "
            f"({type(error).__name__}): check that the Tiled server answers"
        ) from error
    frames = zip(
        *(table[k] for k in ("raw_uid", "raw_stream", "raw_data_key", "raw_index")),
        strict=True,
    )
    keys = ((str(u), str(s), str(k), int(i)) for u, s, k, i in frames)
    return _number(newest), dict(zip(keys, map(str, table["label"]), strict=True))


def store_version(
    uri: str, done: Sequence[Relabelled], head: Head, by: str, number: int
) -> str:
    """Write a version beside the others; the uid of its run.

    Raises
    ------
    LearnedError
        If the server does not take it.
    """
    archive = Archive(uri, container=VERSIONS)
    documents = list(version_documents(done, head, by, number))
    start, descriptor, stop = documents[0][1], documents[1][1], documents[-1][1]
    events = [doc for name, doc in documents if name == "event"]
    try:
        run = archive.open(start)
        run.add_stream(descriptor)
        for first in range(0, len(events), _ROWS):
            run.append(events[first : first + _ROWS])
        run.stop(stop)
    except FAILURES as error:
        raise LearnedError(
            f"Tiled did not take the labels ({archive.told(error)}): try again; what "
            "is there already has no stop document and counts for nothing"
        ) from error
    finally:
        archive.close()
    return str(start["uid"])


def _number(run: Any) -> int:
    return int(run.metadata["start"].get("label_version", 0))


def version_documents(
    done: Sequence[Relabelled], head: Head, by: str, number: int
) -> Iterator[NamedDocument]:
    """Documents of one version of labels: start, descriptor, events, stop."""
    changed = changes(done)
    bundle = compose_run(
        metadata={
            "purpose": "labels of stored frames",
            "agent": OBJECT,
            "agent_version": version("ringwatch"),
            "label_version": number,
            "by": by,
            "head": head.name,
            "head_hash": head.digest,
            "model_hash": str(head.card.get("model_hash", "")),
            "frames": len(done),
            "frames_changed": sum(changed.values()),
            "runs_changed": len(changed),
        }
    )
    yield "start", dict(bundle.start_doc)
    keys = {name: _data_key(kind) for name, kind in _COLUMNS.items()}
    stream = bundle.compose_descriptor(
        name=STREAM, data_keys=keys, object_keys={OBJECT: list(keys)}
    )
    yield "descriptor", dict(stream.descriptor_doc)
    now = time.time()
    for each in done:
        data = asdict(each)
        stamps = dict.fromkeys(data, now)
        event = stream.compose_event(data=data, timestamps=stamps, validate=False)
        yield "event", dict(event)
    yield "stop", dict(bundle.compose_stop())


def _data_key(kind: type) -> dict[str, Any]:
    dtype, dtype_numpy = DTYPES[kind]
    return {
        "source": OBJECT,
        "dtype": dtype,
        "dtype_numpy": dtype_numpy,
        "shape": [],
    }
