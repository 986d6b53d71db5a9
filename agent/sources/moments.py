"""A stored stream as it went by: moments in time, each with its documents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sources.stored_stream import FrameSet, StoredStream, match_rows

__all__ = ["Moment", "moments"]

Moment = tuple[float, list[NamedDocument]]
"""A time, seconds since the epoch, and what was emitted then."""

Document = dict[str, Any]
RANGE = 50
"""Points in one StreamDatum where no events tell where they ended."""


def moments(stream: StoredStream, run_uid: str) -> Iterator[Moment]:
    """What one stream emits: descriptors, then each event after its frames."""
    events = stream.events()
    feeds = [
        _feed(frames, run_uid, events)
        for key in stream.images
        if (frames := stream.frames(key)) is not None
    ]
    descriptor, *updates = [_told(d, feeds) for d in stream.descriptors]
    yield descriptor["time"], [("descriptor", descriptor)]
    large = stream.arrays()
    for number, row in enumerate(events):
        while updates and updates[0]["time"] <= row["time"]:
            descriptor = updates.pop(0)
            yield descriptor["time"], [("descriptor", descriptor)]
        stored = {key: next(rows, None) for key, rows in large.items()}
        extra = {key: array for key, array in stored.items() if array is not None}
        event = _event(descriptor, row, extra)
        documents: list[NamedDocument] = []
        for feed in feeds:
            documents += feed.announce(number, event, descriptor)
        yield row["time"], [*documents, ("event", event)]
    # Frames without an event: all of a flight, the last of a broken scan.
    when = events[-1]["time"] if events else descriptor["time"]
    last = max((event["seq_num"] for event in events), default=0)
    for feed in feeds:
        for documents in feed.surplus(last, when, descriptor):
            yield when, documents


def _told(descriptor: Document, feeds: list[_Feed]) -> Document:
    """A descriptor that says of pixels inside events that they are there."""
    data_keys = dict(descriptor["data_keys"])
    for feed in feeds:
        key = feed.frames.data_key
        if isinstance(feed, _ArrayFeed) and key in data_keys:
            data_keys[key] = {
                word: said
                for word, said in data_keys[key].items()
                if word != "external"
            }
    return descriptor | {"data_keys": data_keys}


def _event(descriptor: Document, row: Document, extra: dict[str, Any]) -> Document:
    data = {
        key: value
        for key, value in row.items()
        if key not in {"seq_num", "time"} and key in descriptor["data_keys"]
    } | extra
    return {
        "uid": f"{descriptor['uid']}-{row['seq_num']}-{row['time']}",
        "descriptor": descriptor["uid"],
        "seq_num": row["seq_num"],
        "time": row["time"],
        "data": data,
        "timestamps": {key: row.get(f"ts_{key}", row["time"]) for key in data},
        "filled": {},
    }


class _Feed(ABC):
    """Announces the frames of one data key, in the order of their rows."""

    def __init__(self, frames: FrameSet, run_uid: str, events: list[Document]) -> None:
        self.frames = frames
        self.run_uid = run_uid
        self._rows = match_rows(events, frames)
        self._next = 0

    def announce(
        self, number: int, event: Document, descriptor: Document
    ) -> list[NamedDocument]:
        """Documents before an event; also puts into the event what belongs there."""
        if number >= len(self._rows):
            return []  # the frame of this event was never stored
        documents: list[NamedDocument] = []
        row = self._rows[number]
        while self._next < row:
            documents += self._pass(self._next, event, descriptor)
            self._next += 1
        self._next = row + 1
        return documents + self._take(row, event, descriptor)

    def surplus(
        self, last_seq_num: int, when: float, descriptor: Document
    ) -> Iterator[list[NamedDocument]]:
        """Points after the last event, some at a time."""
        seq_num = last_seq_num
        while self._next < self.frames.rows:
            event = _event(descriptor, {"seq_num": seq_num + 1, "time": when}, {})
            documents = self._pass(self._next, event, descriptor)
            self._next += 1
            seq_num += 1
            yield documents

    @abstractmethod
    def _take(
        self, row: int, event: Document, descriptor: Document
    ) -> list[NamedDocument]:
        """Announce a point with its event."""

    def _pass(
        self, row: int, event: Document, descriptor: Document
    ) -> list[NamedDocument]:
        """Announce a point whose event never came, if it was announced at all."""
        return []


class _StreamFeed(_Feed):
    """StreamResource once a file, then a StreamDatum per point."""

    def __init__(self, frames: FrameSet, run_uid: str, events: list[Document]) -> None:
        super().__init__(frames, run_uid, events)
        self._files = _Files(frames)

    def _take(
        self, row: int, event: Document, descriptor: Document
    ) -> list[NamedDocument]:
        return self._range(row, row + 1, event["seq_num"], descriptor)

    _pass = _take

    def surplus(
        self, last_seq_num: int, when: float, descriptor: Document
    ) -> Iterator[list[NamedDocument]]:
        """Ranges of points, none across two files."""
        first, seq_num = self._next, last_seq_num + 1
        while first < self.frames.rows:
            end = min(first + RANGE, self.frames.rows, self._files.end_of(first))
            yield self._range(first, end, seq_num, descriptor)
            seq_num += end - first
            first = self._next = end

    def _range(
        self, start: int, stop: int, seq_num: int, descriptor: Document
    ) -> list[NamedDocument]:
        file, local, is_new = self._files.at(start)
        uid = f"{descriptor['uid']}-{self.frames.data_key}-{file}"
        documents: list[NamedDocument] = []
        if is_new:
            resource = {
                "uid": uid,
                "run_start": self.run_uid,
                "data_key": self.frames.data_key,
                "mimetype": "application/x-hdf5",
                "uri": self.frames.uris[file],
                "parameters": {"dataset": self.frames.dataset},
            }
            documents.append(("stream_resource", resource))
        datum = {
            "uid": f"{uid}/{local}",
            "stream_resource": uid,
            "descriptor": descriptor["uid"],
            "indices": {"start": local, "stop": local + stop - start},
            "seq_nums": {"start": seq_num, "stop": seq_num + stop - start},
        }
        return [*documents, ("stream_datum", datum)]


class _DatumFeed(_Feed):
    """Resource once a file, then a Datum per point, which its event refers to."""

    def __init__(self, frames: FrameSet, run_uid: str, events: list[Document]) -> None:
        super().__init__(frames, run_uid, events)
        self._files = _Files(frames)

    def _take(
        self, row: int, event: Document, descriptor: Document
    ) -> list[NamedDocument]:
        file, local, is_new = self._files.at(row)
        uid = f"{descriptor['uid']}-{self.frames.data_key}-{file}"
        documents: list[NamedDocument] = []
        if is_new:
            path = self.frames.files[file]
            resource = {
                "uid": uid,
                "run_start": self.run_uid,
                "spec": "AD_HDF5",
                "root": path.anchor,
                "resource_path": path.relative_to(path.anchor).as_posix(),
                "path_semantics": "posix",
                "resource_kwargs": {
                    "frame_per_point": self.frames.per_row,
                    "dataset": self.frames.dataset,
                },
            }
            documents.append(("resource", resource))
        datum = {
            "datum_id": f"{uid}/{local}",
            "resource": uid,
            "datum_kwargs": {"point_number": local},
        }
        event["data"][self.frames.data_key] = datum["datum_id"]
        event["timestamps"][self.frames.data_key] = event["time"]
        event["filled"][self.frames.data_key] = False
        return [*documents, ("datum", datum)]

    def surplus(
        self, last_seq_num: int, when: float, descriptor: Document
    ) -> Iterator[list[NamedDocument]]:
        """None: a datum without an event was never a frame."""
        return iter(())


class _ArrayFeed(_Feed):
    """Pixels inside the event, read through the catalogue."""

    def __init__(self, frames: FrameSet, run_uid: str, events: list[Document]) -> None:
        super().__init__(frames, run_uid, events)
        self._points = frames.points(range(frames.rows))

    def _take(
        self, row: int, event: Document, descriptor: Document
    ) -> list[NamedDocument]:
        self._put(event, next(self._points))
        return []

    def _pass(
        self, row: int, event: Document, descriptor: Document
    ) -> list[NamedDocument]:
        point = next(self._points)
        if self.frames.external and not self.frames.announced_before_event:
            return []
        copy = event | {
            "uid": f"{event['uid']}-{row}",
            "data": dict(event["data"]),
            "timestamps": dict(event["timestamps"]),
        }
        self._put(copy, point)
        return [("event", copy)]

    def _put(self, event: Document, point: NDArray[np.generic]) -> None:
        key = self.frames.data_key
        event["data"][key] = point[0] if self.frames.per_row == 1 else point
        event["timestamps"][key] = event["time"]


class _Files:
    """Which file a row is in, for frame sets that fill one file after another."""

    def __init__(self, frames: FrameSet) -> None:
        self._ends = list(np.cumsum(frames.rows_per_file(), dtype=object))
        self._known: set[int] = set()

    def at(self, row: int) -> tuple[int, int, bool]:
        """File, row inside it, and whether it comes up for the first time."""
        file = self._index(row)
        is_new = file not in self._known
        self._known.add(file)
        return file, row - (self._ends[file - 1] if file else 0), is_new

    def end_of(self, row: int) -> int:
        """First row that is not in the same file."""
        return int(self._ends[self._index(row)])

    def _index(self, row: int) -> int:
        return next(
            (i for i, end in enumerate(self._ends) if row < end), len(self._ends) - 1
        )


def _feed(frames: FrameSet, run_uid: str, events: list[Document]) -> _Feed:
    kind: Callable[..., _Feed] = _ArrayFeed
    if frames.files:
        kind = _StreamFeed if frames.announced_before_event else _DatumFeed
    return kind(frames, run_uid, events)
