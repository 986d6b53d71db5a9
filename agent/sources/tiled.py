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
from itertools import chain
from pathlib import Path
from typing import Any

from ringwatch.agent.data_roots import DataRoots
from ringwatch.agent.errors import ReplayError, TiledAwayError
from ringwatch.agent.results import NamedDocument, plain
from ringwatch.agent.sources.moments import moments
from ringwatch.agent.sources.stored_stream import StoredStream
from ringwatch.agent.tiled_client import connect, disconnect, public

# isort: split
import httpx

__all__ = [
    "StoredDocuments",
    "catalog",
    "find_run",
    "kind_of",
    "replay",
    "with_dark_run",
]

DARK_KEY = "sc_dk_field_uid"
"""Key of a start document that names the run with the dark frame (xpdAcq's word)."""

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
    try:
        root = connect(uri, api_key)
    except (httpx.HTTPError, OSError, RuntimeError, ValueError) as error:
        raise kind_of(error)(
            f"Tiled at {public(uri)} does not answer or refuses "
            f"({type(error).__name__}); check the address, that the server runs, and "
            "TILED_API_KEY"
        ) from error
    try:
        return root[container]
    except (httpx.HTTPError, KeyError) as error:
        seen = sorted(root)
        disconnect(root)
        raise kind_of(error)(
            f"Tiled at {public(uri)} has no container {container!r}; it has {seen}"
        ) from error


def kind_of(error: Exception) -> type[ReplayError]:
    """``TiledAwayError`` where asking again later may help: not if it was refused."""
    answer = getattr(error, "response", None)
    failed = answer is not None and answer.status_code >= 500
    broken = httpx.TransportError | ConnectionError | TimeoutError
    away = failed or isinstance(error, broken)
    return TiledAwayError if away else ReplayError


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
        raise ReplayError(
            f"no run {uid!r} in the catalogue: check the uid, the container, and that "
            "the run was written to this server"
        ) from error
    except ValueError as error:  # too short, or more than one
        raise ReplayError(f"{error} Give more of the uid {uid!r}.") from error
    except (httpx.HTTPError, OSError) as error:
        raise _failed(error) from error


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
    uid = run.metadata["start"].get(DARK_KEY)
    light = replay(run, detector=detector, roots=roots)
    if uid is None:
        return light
    try:
        dark = replay(find_run(runs, str(uid)), detector=detector, roots=roots)
    except ReplayError as error:
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
        If the run has no such image (the message names those seen), or if the server or
        a file fails on the way.
    """
    files = DataRoots(roots)
    try:
        run = run.include_data_sources()
        streams = [StoredStream(name, run[name], files) for name in run]
    except (httpx.HTTPError, KeyError) as error:
        raise _failed(error) from error
    seen = sorted({key for stream in streams for key in stream.images})
    if detector is not None and not any(
        key == detector or stream.data_keys[key].get("object_name") == detector
        for stream in streams
        for key in stream.images
    ):
        raise ReplayError(
            f"run {run.metadata['start']['uid']} has no image {detector!r}; it has "
            f"{seen or 'no images at all'}"
        )
    try:
        frames = sum(stream.frame_count(detector) for stream in streams)
    except (httpx.HTTPError, KeyError) as error:
        raise _failed(error) from error
    return StoredDocuments(_documents(run, streams), frames)


def _documents(run: Any, streams: list[StoredStream]) -> Iterator[NamedDocument]:
    start = plain(dict(run.metadata["start"]))
    yield "start", start
    last = start["time"]
    try:
        for when, documents in heapq.merge(
            *(moments(stream, start["uid"]) for stream in streams),
            key=lambda moment: moment[0],
        ):
            last = max(last, when)
            yield from documents
    except (httpx.HTTPError, OSError, KeyError) as error:
        raise _failed(error) from error
    stop = plain(dict(run.metadata.get("stop") or {}))
    yield (
        "stop",
        stop
        or {
            "uid": f"{start['uid']}-abandoned",
            "run_start": start["uid"],
            "time": last,
            "exit_status": "abandoned",
            "reason": "the stored run has no stop document",
        },
    )


def _failed(error: Exception) -> ReplayError:
    return kind_of(error)(
        f"replay broke off ({type(error).__name__}: {error}); check that the server "
        "and the detector files can be reached, then replay again"
    )
