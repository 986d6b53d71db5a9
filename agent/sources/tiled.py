"""Replay: the documents of a run stored in Tiled, as they went by when it was live.

``run.documents()`` of the catalogue cannot serve: it gives all events before all
frames, merges points taken twice, and turns arrays into nested lists. Here streams are
interleaved by time, so that a dark taken first comes first, each frame comes with its
event and in the style in which it was announced, and pixels stay arrays.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from ringwatch.agent.errors import MALFORMED, ReplayError
from ringwatch.agent.files.data_roots import DataRoots
from ringwatch.agent.results import NamedDocument, plain
from ringwatch.agent.sources.moments import moments
from ringwatch.agent.sources.stored_stream import StoredStream
from ringwatch.agent.sources.tiled_server import container_of, kind_of, server
from ringwatch.agent.tiled_client import public

# isort: split
# After our tiled_client, which sets Tiled's retries before Tiled is imported.
import httpx
from jsonschema import ValidationError  # type: ignore[import-untyped]
from tiled.queries import Key

__all__ = [
    "StoredDocuments",
    "abandoned",
    "catalog",
    "find_run",
    "no_run",
    "replay",
    "run_of",
    "with_dark_run",
]

DARK_KEY = "sc_dk_field_uid"
"""Key of a start document that names the run with the dark frame (xpdAcq's word)."""

LONGEST_UID = 1000
"""Letters; what is longer was never stored, and no address would hold it."""

logger = logging.getLogger(__name__)


class StoredDocuments(Iterator[NamedDocument]):
    """Documents of stored runs, and how many frames they will announce.

    Attributes
    ----------
    frames : int
        As the catalogue counts them; points of a broken scan may change it a little.
    """

    def __init__(self, documents: Iterator[NamedDocument], frames: int) -> None:
        self._documents = documents
        self.frames = frames

    def __next__(self) -> NamedDocument:
        return next(self._documents)


def catalog(uri: str, api_key: str | None = None, *, container: str = "raw") -> Any:
    """The catalogue of stored runs ``container`` of the Tiled server at ``uri``.

    Close its connections with ``tiled_client.disconnect``.

    Raises
    ------
    ReplayError
        If the server cannot be reached, refuses, or has no such container.
    """
    root = server(uri, api_key)
    return container_of(root, container, f"Tiled at {public(uri)}")


def find_run(runs: Any, uid: str) -> Any:
    """The run ``uid`` of a catalogue; five and more of its first letters will do.

    Raises
    ------
    ReplayError
        If there is none, or more than one.
    """
    try:
        return runs[uid]
    except KeyError as error:
        raise no_run(uid) from error
    except ValueError as error:  # too short, or more than one
        raise ReplayError(f"{error} Give more of the uid {uid!r}.") from error
    except (httpx.HTTPError, OSError) as error:
        raise _failed(error) from error


def run_of(runs: Any, uid: str) -> Any | None:
    """The run of a Tiled catalogue with exactly this uid, None where there is none.

    ``runs[uid]`` would also take the first letters of a uid, and ``_`` and ``%`` for
    any letters: it is for what people type, this for what documents name.

    Raises
    ------
    httpx.HTTPError
        If the server fails.
    """
    if len(uid) > LONGEST_UID or not uid.isprintable():
        return None
    found = runs.search(Key("start.uid") == uid).values().head(1)
    return next((run for run in found if run.metadata["start"]["uid"] == uid), None)


def no_run(uid: str) -> ReplayError:
    """The error for a run that is not in a catalogue."""
    return ReplayError(
        f"no run {uid[:80]!r} in the catalogue: check the uid, the container, and that "
        "the run was written to this server"
    )


def with_dark_run(
    runs: Any,
    run: Any,
    *,
    detector: str | None = None,
    roots: tuple[Path, ...] = (Path("/"),),
) -> StoredDocuments:
    """Documents of the dark run that ``run`` names, if any, then those of ``run``.

    Raises
    ------
    ReplayError
        As ``replay`` does. A dark run that is not in the catalogue is only logged.
    """
    light = replay(run, detector=detector, roots=roots)
    uid = run.metadata["start"].get(DARK_KEY)
    if uid is None:
        return light
    try:
        dark_run = run_of(runs, str(uid))
        if dark_run is None:
            raise no_run(str(uid))
        dark = replay(dark_run, detector=detector, roots=roots)
    except (ReplayError, httpx.HTTPError) as error:
        logger.warning("the dark run cannot be replayed: %s", error)
        return light
    return StoredDocuments(
        chain(_logging_failure(dark), light), dark.frames + light.frames
    )


def _logging_failure(documents: Iterator[NamedDocument]) -> Iterator[NamedDocument]:
    try:
        yield from documents
    except ReplayError as error:
        logger.warning("the dark run cannot be replayed: %s", error)


def replay(
    run: Any, *, detector: str | None = None, roots: tuple[Path, ...] = (Path("/"),)
) -> StoredDocuments:
    """Documents of a stored run: start, descriptors, frames with their events, stop.

    Frames in HDF5 files that can be read here are announced as they were (Datum or
    StreamDatum); others come through Tiled as arrays inside the events, with the same
    ``seq_num`` and order, so that their identity is the same. A run without a stop
    document gets one with the exit status ``abandoned``.

    Parameters
    ----------
    run : BlueskyRun
        From ``catalog(...)[uid]``.
    detector : str, optional
        Data key of the images, or the name of its device; only to refuse early.
    roots : tuple of Path
        Files are opened only below these folders; frames in others come through Tiled.

    Raises
    ------
    ReplayError
        If the run has no such image (the message names those seen) or is malformed, or
        if the server or a file fails on the way.
    """
    files = DataRoots(roots)
    with _told():
        start = plain(dict(run.metadata["start"]))
        uid, _ = str(start["uid"]), float(start["time"])
        run = run.include_data_sources()
        streams = [StoredStream(name, run[name], files) for name in run]
    seen = sorted({key for stream in streams for key in stream.images})
    if detector is not None and not any(
        key == detector or stream.data_keys[key].get("object_name") == detector
        for stream in streams
        for key in stream.images
    ):
        raise ReplayError(
            f"run {uid} has no image {detector!r}; it has {seen or 'no images at all'}"
        )
    with _told():
        frames = sum(stream.frame_count(detector) for stream in streams)
        stop = plain(dict(run.metadata.get("stop") or {}))
    return StoredDocuments(_documents(start, streams, stop), frames)


def _documents(
    start: dict[str, Any], streams: list[StoredStream], stop: dict[str, Any]
) -> Iterator[NamedDocument]:
    yield "start", start
    last = start["time"]
    with _told():
        for when, documents in heapq.merge(
            *(moments(stream, start["uid"]) for stream in streams),
            key=lambda moment: moment[0],
        ):
            last = max(last, when)
            yield from documents
    why = "the stored run has no stop document"
    yield "stop", stop or abandoned(str(start["uid"]), last, why)


def abandoned(run_uid: str, time: float, why: str) -> dict[str, Any]:
    """A stop document for a run that has none."""
    said = {"uid": f"{run_uid}-abandoned", "run_start": run_uid, "time": time}
    return said | {"exit_status": "abandoned", "reason": why}


@contextmanager
def _told() -> Iterator[None]:
    """Make ``ReplayError`` of what a server, or a malformed run, may raise."""
    try:
        yield
    except (httpx.HTTPError, OSError) as error:
        raise _failed(error) from error
    except (ValidationError, *MALFORMED) as error:
        raise ReplayError(
            f"the run cannot be replayed as it is stored ({type(error).__name__}: "
            f"{str(error)[:200]}): its documents are malformed or not all there; look "
            "at them in the catalogue"
        ) from error


def _failed(error: Exception) -> ReplayError:
    return kind_of(error)(
        f"replay broke off ({type(error).__name__}: {error}); check that the server "
        "and the detector files can be reached, then replay again"
    )
